"""Worker processes on this computer, as seen by the process that starts them."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing import Pipe, connection
from typing import Any, BinaryIO

from common.machine import single_threaded_environment
from tuner.parallel import corpus_file
from tuner.parallel.messages import Setup
from tuner.parallel.workers import Worker
from tuner.training.engines import Engine
from tuner.training.protocol import Problems

COMMAND = (sys.executable, "-m", "tuner.parallel.worker")
"""The command that starts a worker; see `WorkerProcess`."""

_TERMINATE_TIMEOUT_SECONDS = 10.0
_TAIL_LINES = 3
_TAIL_BYTES = 2**14


class WorkerProcess(Worker):
    """A worker process on this computer.

    Attributes:
        channel: the connection that carries `tuner.parallel.messages`.
    """

    def __init__(
        self, command: Sequence[str], setup: Setup, corpora: Sequence[BinaryIO]
    ) -> None:
        """Starts the process.

        Args:
            command: the command that starts it; descriptors are appended, the channel's first.
            setup: the first message to it.
            corpora: files written by `tuner.parallel.corpus_file`.
        """
        super().__init__(setup.engine, setup.engine.capacity())
        self.channel, theirs = Pipe()
        # The output of a worker must not disturb the display of the study's progress.
        self._output = tempfile.TemporaryFile()
        with theirs:
            descriptors = [theirs.fileno(), *(corpus.fileno() for corpus in corpora)]
            self.process = subprocess.Popen(
                [*command, *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env=single_threaded_environment(setup.engine.keras_backend),
                pass_fds=descriptors,
            )
        self.send(setup)

    def send(self, message: Any) -> None:
        """Sends a message, unless the worker has died, which the next `receive` notices."""
        try:
            self.channel.send_bytes(pickle.dumps(message))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self) -> Any:
        """Returns the next message; None if the worker has died."""
        try:
            return self.channel.recv()
        except (EOFError, OSError):
            return None

    def terminate(self) -> None:
        """Asks the process to end."""
        self.channel.close()
        self.process.terminate()

    def join(self) -> str:
        """Waits until the process has ended, and returns how it ended."""
        try:
            status = self.process.wait(_TERMINATE_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.channel.close()
        with self._output as output:
            size = output.seek(0, os.SEEK_END)
            output.seek(max(0, size - _TAIL_BYTES))
            lines = output.read().decode(errors="replace").split("\n")
        tail = [line.strip() for line in lines if line.strip()][-_TAIL_LINES:]
        return _describe_end(status) + (f"; its last output: {' | '.join(tail)}" if tail else "")


class ThisComputer:
    """Runs worker processes on this computer; see `tuner.parallel.workers.Machines`."""

    def __init__(self, limit: int, command: Sequence[str], problems: Problems) -> None:
        """Writes the corpora into files that all processes share.

        Args:
            limit: maximum number of processes at a time.
            command: the command that starts one; see `WorkerProcess`.
            problems: the problems of the trials, by the name of the task.

        Raises:
            OSError: if the disk is full.
        """
        self._limit = limit
        self._command = command
        self._problems = problems
        self._corpora: list[BinaryIO] = [tempfile.TemporaryFile() for _ in problems]
        for problem, file in zip(problems.values(), self._corpora, strict=True):
            corpus_file.save(problem.corpus, file)

    @property
    def limit(self) -> int:
        """Maximum number of processes at a time; reduced if no more can be started."""
        return self._limit

    def spawn(self, engine: Engine) -> WorkerProcess:
        """Starts a process."""
        return WorkerProcess(self._command, Setup.of(self._problems, engine), self._corpora)

    def wait(self, workers: Sequence[WorkerProcess]) -> Sequence[WorkerProcess]:
        """Waits until some processes have a message, or have died."""
        channels: Sequence[Any] = [worker.channel for worker in workers]
        ready = connection.wait(channels)
        return [worker for worker in workers if worker.channel in ready]

    def shrink(self, worker: WorkerProcess, left: int) -> None:
        """Limits the processes to those left: memory, for example, may suffice for only some."""
        self._limit = left

    def close(self) -> None:
        """Removes the files of the corpora."""
        for file in self._corpora:
            file.close()


def _describe_end(status: int) -> str:
    if status >= 0:
        return f"its process ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        # A real-time signal has no name.
        name = f"signal {-status}"
    hint = " (as when memory runs out)" if -status == signal.SIGKILL else ""
    return f"its process was killed by {name}{hint}"
