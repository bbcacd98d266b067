"""How the engine's functions are compiled."""

from __future__ import annotations

from typing import Any

from numba import njit

# A division by zero is infinity, as in the reference engine, and not an exception: the test for it
# would keep loops from being vectorized. Sums keep their order: results do not depend on how far
# the compiler vectorizes.
compiled: Any = njit(error_model="numpy", nogil=True, _nrt=False)
"""Compiles a function with the functions that call it."""

inlined: Any = njit(error_model="numpy", nogil=True, _nrt=False, forceinline=True)
"""Compiles a function into the loops that call it, so that they can be vectorized."""

entry: Any = njit(error_model="numpy", nogil=True, _nrt=False, cache=True)
"""Compiles a function that Python calls, and keeps the machine code on disk."""
