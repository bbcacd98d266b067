"""Objects in separate processes, to measure peers side by side.

PyTorch and TensorFlow interfere with each other in one process, and a library that uses a second
thread is not compared fairly. So every peer is an object in its own process (`execnet`), which is
told to use one thread and, where the system supports it, pinned to one core.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import execnet

from benchmarks.table import ROOT

_COUNTS = "OMP_NUM OPENBLAS_NUM MKL_NUM NUMBA_NUM TF_NUM_INTRAOP TF_NUM_INTEROP".split()

ONE_THREAD = {
    **{f"{name}_THREADS": "1" for name in _COUNTS},
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    # Everything is measured on the CPU, without messages.
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
"""Environment variables that limit libraries to one thread."""

_PATIENCE = 30.0


class Missing(Exception):
    """A library that the object needs cannot be imported; the message says which."""


class RemoteError(Exception):
    """The object raised an exception; the message is its traceback."""


def cores() -> list[int]:
    """Returns the cores that this process may use, last first: the first gets most interrupts."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0), reverse=True)
    return list(range(os.cpu_count() or 1))


class Remote(contextlib.AbstractContextManager["Remote"]):
    """An object in its own process.

    Arguments and results of its methods are numbers, strings, lists and dictionaries.
    """

    def __init__(
        self,
        target: str,
        *,
        python: str = sys.executable,
        on: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> None:
        """Starts the process, which creates the object before its first call.

        Args:
            target: `module:Class`.
            python: the Python interpreter.
            on: the cores that the process may use; by default only the last one.
            environment: further environment variables.
            **arguments: arguments of the constructor.
        """
        self._target, self._waiting = target, 1
        # What libraries print at start-up is only of interest if they fail.
        self._messages = tempfile.NamedTemporaryFile("r+")
        self._group = execnet.Group()
        gateway = self._group.makegateway(f"popen//python={python}//chdir={ROOT}")
        self._channel = gateway.remote_exec("from benchmarks.peers import serve; serve(channel)")
        variables = {**ONE_THREAD, **(environment or {})}
        where = list(on) or cores()[:1]
        self._channel.send((target, arguments, variables, where, self._messages.name))

    def start(self, method: str, **arguments: Any) -> None:
        """Starts a method; `result` waits for its result."""
        self._channel.send((method, arguments))
        self._waiting += 1

    def result(self) -> Any:
        """Waits for the result of the last method started.

        Raises:
            Missing: if the object needs a library that cannot be imported.
            RemoteError: if the object raised an exception, or its process ended.
        """
        value: Any = None
        while self._waiting:
            try:
                kind, value = self._channel.receive()
            except (EOFError, execnet.RemoteError) as error:
                said = f"{error}\n{self._messages.read()[-4000:]}"
                raise RemoteError(f"{self._target}: the process ended: {said}") from None
            self._waiting -= 1
            if kind != "result":
                raise (Missing if kind == "missing" else RemoteError)(f"{self._target}: {value}")
        return value

    def call(self, method: str, **arguments: Any) -> Any:
        """Calls a method and waits for its result; raises what `result` raises."""
        self.start(method, **arguments)
        return self.result()

    def close(self) -> None:
        """Ends the process, after the object's `close` if it has one."""
        self._channel.close()
        self._group.terminate(timeout=_PATIENCE)
        self._messages.close()

    def __exit__(self, *_: object) -> None:
        self.close()
