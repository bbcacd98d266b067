"""How the engine's functions are compiled, and where the machine code is cached."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from common import cache
from tuner.training import random_streams

# Division by zero yields infinity, as in the reference engine, not an exception: testing for it
# would keep loops from being vectorized. The interpreter's lock is released. Nothing is allocated
# here, so references need not be counted, which would be noticeable in a step of 20 units.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}
_njit: Any = numba.njit

compiled = _njit(**_OPTIONS)
"""Compiles a function with the functions that call it."""

inlined = _njit(forceinline=True, **_OPTIONS)
"""Compiles a function into the loops that call it, so that they can be vectorized."""

_UNUSED_SECONDS = 30 * 24 * 3600


@functools.cache
def _cache_folder() -> Path | None:
    """Makes the folder for the machine code of these sources; returns None if it is not writable.

    It is in `$NUMBA_CACHE_DIR`, else in `common.cache.folder()`. Folders of other sources that
    have been unused for a month are removed.
    """
    here = Path(__file__).parent
    sources = hashlib.sha256()
    # The functions that draw the noise are compiled, too.
    for path in [*sorted(here.rglob("*.py")), Path(random_streams.__file__)]:
        sources.update(path.read_bytes())
    root = Path(os.environ.get("NUMBA_CACHE_DIR") or cache.folder()) / "native"
    folder = root / sources.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Numba checks the file's time, so it is created once. The folder's time tells the last use.
        if not (folder / "sources").exists():
            (folder / "sources").touch()
        os.utime(folder)
        _remove_unused(root)
    except OSError:
        return None
    return folder


def _remove_unused(root: Path) -> None:
    """Removes machine code unused for a month; several processes may do so at once."""
    for sources in root.glob("*/sources"):
        try:
            if time.time() - sources.parent.stat().st_mtime > _UNUSED_SECONDS:
                shutil.rmtree(sources.parent, ignore_errors=True)
        except FileNotFoundError:
            continue


def entry(function: Callable[..., Any]) -> Any:
    """Compiles a function that is called from Python, and caches the machine code on disk.

    Numba finds cached code by path and time of the function's own file. Here, other files matter as
    much, and copies of the sources may share the code: so the function is declared to come from a
    file in a folder named by a hash of all the sources.

    Args:
        function: the function, which is compiled for its arguments' types when first called.
    """
    folder = _cache_folder()
    if folder is None:
        return compiled(function)
    function.__code__ = function.__code__.replace(co_filename=str(folder / "sources"))
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder)
    try:
        return _njit(cache=True, **_OPTIONS)(function)
    finally:
        settings.CACHE_DIR = before
