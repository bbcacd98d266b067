"""Worker processes as their parent sees them: hired, kept busy, replaced when they die."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pipe, connection
from typing import Any, BinaryIO

from tuner.parallel.messages import (
    Assignment,
    EpochEnd,
    Event,
    Setup,
    WorkerDied,
    WorkerError,
    WorkerReady,
)
from tuner.training.engines import KERAS_BACKENDS
from tuner.training.protocol import Failure, TrialResult

DEATHS = 3
"""So often in succession a trial's worker may die before the trial has failed.

A trial that has come to a new epoch in between starts counting again: a machine that kills a worker
now and then only delays a trial.
"""

_PATIENCE_SECONDS = 10.0
_LAST_LINES = 3
_LAST_BYTES = 2**14


def environment(engine: str) -> dict[str, str]:
    """The environment of a worker: one thread, and no more of Keras than the engine needs.

    The steps of a recurrent loop on one sequence are too small to share; the cores have other
    trials to train.

    Args:
        engine: name of the engine.
    """
    threads = (
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    )
    return {
        **os.environ,
        **dict.fromkeys(threads, "1"),
        "KERAS_BACKEND": KERAS_BACKENDS[engine],
        # The task may come from any place that this process can import from.
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "PYTHONUNBUFFERED": "1",
        # Workers on one accelerator share its memory.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }


@dataclasses.dataclass
class _Job:
    """An assignment underway.

    Attributes:
        assignment: what is to be done.
        epoch: the furthest epoch that it has come to.
        deaths: how often its worker died since then.
    """

    assignment: Assignment
    epoch: int = 0
    deaths: int = 0


class _Worker:
    """A worker process as the parent sees it."""

    def __init__(
        self, command: Sequence[str], setup: Setup, corpus: BinaryIO, job: _Job
    ) -> None:
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
                env=environment(setup.engine),
                pass_fds=descriptors,
            )
        self.ready = False
        self._send(setup)
        self.take(job)

    def take(self, job: _Job) -> None:
        """Hands a job out."""
        self.job = job
        self._send(job.assignment)

    def _send(self, message: Any) -> None:
        try:
            self.channel.send_bytes(pickle.dumps(message))
        except (BrokenPipeError, ConnectionResetError):
            # It has died, which is noticed when the next message is expected.
            pass

    def receive(self) -> Any:
        """Takes the next message; None if the worker has died."""
        try:
            return self.channel.recv()
        except (EOFError, OSError):
            return None

    def dismiss(self) -> None:
        """Tells the process to end."""
        self.channel.close()
        self.process.terminate()

    def bury(self) -> str:
        """Waits for the end of the process and says how it ended."""
        try:
            status = self.process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.channel.close()
        with self._output as output:
            size = output.seek(0, os.SEEK_END)
            output.seek(max(0, size - _LAST_BYTES))
            lines = output.read().decode(errors="replace").split("\n")
        last = [line.strip() for line in lines if line.strip()][-_LAST_LINES:]
        return _describe_end(status) + (f"; its last words: {' | '.join(last)}" if last else "")


def _describe_end(status: int) -> str:
    if status >= 0:
        return f"its process ended with status {status}"
    name = signal.Signals(-status).name
    hint = " (as when memory runs out)" if -status == signal.SIGKILL else ""
    return f"its process was killed by {name}{hint}"


class Crew:
    """The workers of one run, and what they are doing."""

    def __init__(
        self,
        command: Sequence[str],
        setup: Setup,
        corpus: BinaryIO,
        assignments: Iterator[Assignment],
        tell: Callable[[Event], None],
    ) -> None:
        """Takes what is to be done; nobody is hired yet.

        Args:
            command: what starts a worker; the numbers of its two descriptors are appended.
            setup: what all workers are told first.
            corpus: open file that `tuner.parallel.sharing` wrote.
            assignments: what is to be done, in that order.
            tell: is told what happens.
        """
        self._command = command
        self._setup = setup
        self._corpus = corpus
        self._jobs = (_Job(assignment) for assignment in assignments)
        self._tell = tell
        self._workers: list[_Worker] = []
        self._false_starts = 0

    def run(self, workers: int) -> None:
        """Works until nothing is left to do.

        Args:
            workers: most processes at a time.

        Raises:
            ChildProcessError: if workers keep dying before they are ready.
            Exception: whatever a worker or `tell` raises.
        """
        for job in itertools.islice(self._jobs, workers):
            self._hire(job)
        while self._workers:
            channels: Sequence[Any] = [worker.channel for worker in self._workers]
            ready = connection.wait(channels)
            for worker in [worker for worker in self._workers if worker.channel in ready]:
                self._attend(worker, worker.receive())

    def dismiss(self) -> None:
        """Ends all workers that are left."""
        for worker in self._workers:
            worker.dismiss()
        while self._workers:
            self._workers.pop().bury()

    def _hire(self, job: _Job) -> None:
        self._workers.append(_Worker(self._command, self._setup, self._corpus, job))

    def _attend(self, worker: _Worker, message: Any) -> None:
        match message:
            case None:
                self._replace(worker)
            case WorkerReady():
                self._false_starts, worker.ready = 0, True
            case WorkerError(error):
                raise error
            case TrialResult():
                # The next trial first: the worker need not wait until this one is recorded.
                self._keep_busy(worker)
                self._tell(message)
            case _:
                if isinstance(message, EpochEnd) and worker.job.epoch < message.epoch:
                    worker.job.epoch, worker.job.deaths = message.epoch, 0
                self._tell(message)

    def _keep_busy(self, worker: _Worker) -> None:
        job = next(self._jobs, None)
        if job is not None:
            worker.take(job)
            return
        self._workers.remove(worker)
        worker.dismiss()
        worker.bury()

    def _replace(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        reason, job = worker.bury(), worker.job
        if not worker.ready:
            self._false_starts += 1
            if self._false_starts == DEATHS:
                raise ChildProcessError(f"no worker can be started: {reason}")
        else:
            job.deaths += 1
        if job.deaths < DEATHS:
            self._tell(WorkerDied(job.assignment.trial, reason))
            self._hire(job)
            return
        following = next(self._jobs, None)
        if following is not None:
            self._hire(following)
        self._tell(Failure(job.assignment.trial, reason, self._setup.engine))
