"""Trained models that come with the package: the best of each variant in the project's own study.

A model is a folder named `<task>-<variant>` with `model.keras` and `card.json`, which says what it
was trained on, how, and how good it is.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

MODEL = "model.keras"
"""The file of the network, as Keras saves it."""

CARD = "card.json"
"""The file of what is said about it."""

_HERE = Path(__file__).parent


def names() -> list[str]:
    """Lists the models.

    Example:
        >>> "music-NP" in names()
        True
    """
    return sorted(path.parent.name for path in _HERE.glob(f"*/{CARD}"))


def card(name: str) -> dict[str, Any]:
    """What a model was trained on, how, and how good it is.

    Args:
        name: a name of `names()`, in any case.

    Returns:
        The content of `card.json`.

    Raises:
        ValueError: if there is no such model.

    Example:
        >>> card("music-NP")["hyperparameters"]["units"]
        143
    """
    found: dict[str, Any] = json.loads((find(name) / CARD).read_text(encoding="utf-8"))
    return found


def find(name: str) -> Path:
    """Finds the folder of a model.

    Args:
        name: a name of `names()`, in any case.

    Returns:
        A folder with `model.keras` and `card.json`.

    Raises:
        ValueError: if there is no such model; the message names the nearest.

    Example:
        >>> find("music-np").name
        'music-NP'
    """
    known = {known.lower(): known for known in names()}
    if name.lower() in known:
        return _HERE / known[name.lower()]
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.0)[0]
    raise ValueError(
        f"Received an unknown pretrained model, expected one of {', '.join(known.values())}, "
        f"got {name!r}. Did you mean {known[near]!r}?"
    )
