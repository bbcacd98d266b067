"""Peers to measure: each module runs one library on the same work, independently of the others.

Their classes run in separate processes, see `benchmarks.remote`: `prepare` sets up the work, `run`
does it once and returns numbers, including `seconds`. Those of PyTorch may import only PyTorch,
NumPy, `benchmarks.work` and this module, because their environment has nothing else.
"""

from __future__ import annotations

import importlib
import os
import time
import traceback
from collections.abc import Callable
from typing import Any


def serve(channel: Any) -> None:
    """Creates an object and calls its methods until the other side closes the channel.

    Args:
        channel: receives `module:Class`, the constructor's arguments, environment variables, cores,
            and a file for printed output; then methods and their arguments. Returns `result`,
            `missing` (a library) or `error`, and the value or reason.
    """
    target, arguments, variables, cores, messages = channel.receive()
    for stream in (1, 2):
        os.dup2(os.open(messages, os.O_WRONLY | os.O_APPEND), stream)
    os.environ.update(variables)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    module, _, name = target.partition(":")
    made: list[Any] = []

    def answer(method: str, arguments: dict[str, Any]) -> None:
        try:
            if not method:
                made.append(getattr(importlib.import_module(module), name)(**arguments))
            value = getattr(made[0], method)(**arguments) if method else None
            channel.send(("result", value))
        except ImportError as error:
            channel.send(("missing", str(error)))
        except Exception:
            channel.send(("error", traceback.format_exc()))

    answer("", arguments)
    try:
        for method, arguments in channel:
            answer(method, arguments)
    finally:
        if made and hasattr(made[0], "close"):
            made[0].close()


def repeated(work: Callable[[], Any], at_least: float = 1.0) -> float:
    """Repeats work for at least some seconds, and returns the mean time."""
    count, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < at_least or not count:
        work()
        count += 1
    return passed / count
