"""Engine `native`: the study's trials in compiled code (Numba), one trial a core.

One sequence an update is work on a few hundred kilobytes of weights, which a core holds in its
cache; a framework's loop around it takes ten times as long as the work. Here an epoch is one
compiled call, for all variants, heads and directions.

The machine code is kept in the user's cache folder (or in NUMBA_CACHE_DIR), in a folder that the
sources name: changed sources are compiled again.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numba
import pooch


def _cache_folder() -> Path:
    """Names the folder of the machine code of these sources."""
    sources = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    root = os.environ.get("NUMBA_CACHE_DIR") or pooch.os_cache("lstm_odyssey")
    return Path(root) / "native" / sources.hexdigest()[:16]


# Numba reads the folder when a function is decorated, and otherwise puts the code beside the
# source, where it is found by that one file's time alone.
_settings: Any = numba.config
_before = _settings.CACHE_DIR
_settings.CACHE_DIR = str(_cache_folder())
try:
    from tuner.native.engine import train
finally:
    _settings.CACHE_DIR = _before

__all__ = ["train"]
