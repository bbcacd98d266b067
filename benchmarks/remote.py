"""Objects in processes of their own, one thread each: how peers are measured side by side.

PyTorch and TensorFlow disturb each other in one process, and a library that takes a second thread
is no longer compared alike. So every peer is an object in a process of its own, which is told to
use one thread and, where the system can do that, kept on one core. The parent asks one object after
the other, so that repeats interleave:

    >>> with Remote("benchmarks.peers.sgemm:Sgemm") as sgemm:
    ...     rate = sgemm.call("gigaflops", size=64)
    >>> rate > 0
    True
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

# Where what is no part of the project's lock is installed: Ray by `make bench-ray`, the others by
# `make bench-peers`.
_ENVIRONMENTS = {"ray": ".venv-ray"}
_PEERS = ".venv-bench"

_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    # Everything is measured on the CPU, silently.
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


class Missing(Exception):
    """A library that the object needs cannot be imported; the text says which."""


class RemoteError(Exception):
    """The object raised an exception; the text is its traceback."""


def interpreter(library: str) -> str:
    """Finds the Python that has a library: this one, or that of an environment of the peers.

    Args:
        library: name of a module.

    Returns:
        Path of an interpreter; this one if neither has the library.
    """
    python = ROOT / _ENVIRONMENTS.get(library, _PEERS) / "bin" / "python"
    if importlib.util.find_spec(library) is None and python.exists():
        return str(python)
    return sys.executable


def cores() -> list[int]:
    """The cores that this process may use, the last first: the first gets most interrupts."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0), reverse=True)
    return list(range(os.cpu_count() or 1))


class Remote:
    """An object in a process of its own.

    Arguments and results of its methods go through JSON.
    """

    def __init__(
        self,
        target: str,
        *,
        python: str = sys.executable,
        core: int | None = None,
        environment: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> None:
        """Starts the process; the object is made in it before its first call.

        Args:
            target: `module:Class`.
            python: the interpreter, see `interpreter`.
            core: the only core that the process may use; the default is the last.
            environment: further environment variables.
            **arguments: of the constructor.
        """
        self._target = target
        # What libraries print at their start is only of interest when they fail.
        self._messages = tempfile.TemporaryFile(mode="w+")
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.remote", target, str(cores()[0] if core is None else core)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            text=True,
            cwd=ROOT,
            env={**os.environ, **_ONE_THREAD, **(environment or {})},
        )
        self._send(arguments)
        self._waiting = 1

    def start(self, method: str, **arguments: Any) -> None:
        """Asks for a method's result; `result` waits for it.

        Args:
            method: name of a method.
            **arguments: its arguments.
        """
        self._send([method, arguments])
        self._waiting += 1

    def result(self) -> Any:
        """Waits for the result of the method started last.

        Raises:
            Missing: if the object needs a library that cannot be imported.
            RemoteError: if the object raised an exception, or its process ended.
        """
        answer: dict[str, Any] = {}
        while self._waiting:
            line = self._process.stdout.readline() if self._process.stdout else ""
            if not line:
                self._process.wait()
                self._messages.seek(0)
                raise RemoteError(
                    f"{self._target}: the process ended with status {self._process.returncode}\n"
                    f"{self._messages.read()[-4000:]}"
                )
            self._waiting -= 1
            answer = json.loads(line)
            if "missing" in answer:
                raise Missing(answer["missing"])
            if "error" in answer:
                raise RemoteError(f"{self._target}: {answer['error']}")
        return answer["result"]

    def call(self, method: str, **arguments: Any) -> Any:
        """Calls a method and waits for its result; raises what `result` raises."""
        self.start(method, **arguments)
        return self.result()

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._messages):
            if stream:
                stream.close()

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _send(self, message: Any) -> None:
        if self._process.stdin:
            try:
                self._process.stdin.write(json.dumps(message) + "\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                # `result` says how the process ended.
                pass


def _answer(produce: Any) -> dict[str, Any]:
    try:
        return {"result": produce()}
    except ImportError as error:
        return {"missing": str(error)}
    except Exception:
        return {"error": traceback.format_exc()}


def _serve(target: str, core: int) -> None:
    """Makes the object and calls its methods, one JSON line in and one out each."""
    # Only answers may go to the parent, whatever a library prints.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    made: list[Any] = []

    def make(arguments: dict[str, Any]) -> None:
        module, _, name = target.partition(":")
        made.append(getattr(importlib.import_module(module), name)(**arguments))

    for line in sys.stdin:
        message = json.loads(line)
        if made:
            method, arguments = message
            answer = _answer(lambda: getattr(made[0], method)(**arguments))  # noqa: B023
        else:
            answer = _answer(lambda: make(message))  # noqa: B023
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
