"""A worker process as the study's process sees it."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from multiprocessing import Pipe
from typing import Any, BinaryIO

from common.machine import single_threaded_environment
from tuner.parallel.messages import Assignment, Pause, Setup
from tuner.training.engines import Engine
from tuner.training.protocol import Problem, Trial

_TERMINATE_TIMEOUT_SECONDS = 10.0
_TAIL_LINES = 3
_TAIL_BYTES = 2**14


@dataclasses.dataclass
class Job:
    """An assignment underway.

    Attributes:
        assignment: the trial.
        epoch: the furthest epoch of the trial.
        deaths: deaths of its worker since then.
        starts: how many workers in a row have died before they were ready for it.
    """

    assignment: Assignment
    epoch: int = 0
    deaths: int = 0
    starts: int = 0


class WorkerProcess:
    """A worker process as the parent sees it.

    Attributes:
        engine: what it trains with.
        capacity: how many trials it trains at a time.
        jobs: what it is training.
        ready: whether it has started.
        channel: over which `tuner.parallel.messages` go.
    """

    def __init__(
        self, command: Sequence[str], problem: Problem, engine: Engine, corpus: BinaryIO
    ) -> None:
        """Starts the process.

        Args:
            command: what starts it; the numbers of two descriptors are appended.
            problem: what its trials have in common.
            engine: what trains them.
            corpus: a file of `tuner.parallel.corpus_file`.
        """
        self.engine = engine
        self.capacity = engine.capacity()
        self.jobs: dict[Trial, Job] = {}
        self.ready = False
        self._paused = False
        self.channel, theirs = Pipe()
        # Nothing that is printed in a worker disturbs the view of the study's progress.
        self._output = tempfile.TemporaryFile()
        with theirs:
            descriptors = (theirs.fileno(), corpus.fileno())
            self.process = subprocess.Popen(
                [*command, *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env=single_threaded_environment(engine.keras_backend),
                pass_fds=descriptors,
            )
        self.send(Setup(engine, problem.task, problem.protocol, problem.cells))

    def assign(self, job: Job) -> None:
        """Sends a job."""
        self.jobs[job.assignment.trial] = job
        if self.ready:
            job.starts = 0
        self._paused = False
        self.send(job.assignment)

    def pause(self) -> None:
        """Tells the engine not to wait for more trials."""
        if not self._paused:
            self._paused = True
            self.send(Pause())

    def accepts(self, trial: Trial, engine: Engine) -> bool:
        """Whether the engine, if it has room, can train a trial beside those that it has."""
        if engine.name != self.engine.name:
            return False
        others = list(self.jobs.values())
        if not others:
            return True
        # A trial whose worker has died is trained alone: it may be the cause.
        alone = any(job.deaths for job in others)
        return not alone and engine.group(trial) == engine.group(others[0].assignment.trial)

    def send(self, message: Any) -> None:
        """Sends a message, unless the worker has died, which the next `receive` notices."""
        try:
            self.channel.send_bytes(pickle.dumps(message))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self) -> Any:
        """Takes the next message; None if the worker has died."""
        try:
            return self.channel.recv()
        except (EOFError, OSError):
            return None

    def terminate(self) -> None:
        """Tells the process to end."""
        self.channel.close()
        self.process.terminate()

    def join(self) -> str:
        """Waits for the end of the process and says how it ended."""
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
