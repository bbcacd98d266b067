"""The folder for what is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER_VARIABLE = "LSTM_ODYSSEY_CACHE"


def folder() -> Path:
    """The folder for kept files: `$LSTM_ODYSSEY_CACHE`, or the user's cache folder."""
    import pooch

    named = os.environ.get(FOLDER_VARIABLE)
    return Path(os.path.expanduser(named)) if named else Path(pooch.os_cache("lstm-odyssey"))
