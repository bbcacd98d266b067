"""How the engine's functions are compiled."""

from __future__ import annotations

from typing import Any

import numba

# A division by zero is infinity, as in the reference engine, and not an exception: the test for it
# would keep loops from being vectorized. The interpreter's lock is not held. Nothing is allocated
# here, so references need not be counted, which a step of 20 units would notice.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}
_njit: Any = numba.njit

compiled = _njit(**_OPTIONS)
"""Compiles a function with the functions that call it."""

inlined = _njit(forceinline=True, **_OPTIONS)
"""Compiles a function into the loops that call it, so that they can be vectorized."""

entry = _njit(cache=True, **_OPTIONS)
"""Compiles a function that Python calls, and keeps the machine code on disk."""
