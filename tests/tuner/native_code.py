"""Functions of the native engine by themselves."""

from __future__ import annotations

import functools
import types
from typing import Any

from tuner.training.native import compiling


@functools.cache
def alone(dispatcher: Any) -> Any:
    """Compiles what the engine compiles into its loops, and caches it as the engine's code is.

    Args:
        dispatcher: of `tuner.training.native.compiling.compiled`.
    """
    source = dispatcher.py_func
    return compiling.entry(types.FunctionType(source.__code__, source.__globals__))
