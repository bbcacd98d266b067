"""What trains the trials of a study: a pool of worker processes, or this process itself."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pipe, connection
from typing import Any, BinaryIO
from typing import Protocol as Interface

from common.errors import InputError
from common.machine import single_threaded_environment
from tuner.parallel import corpus_file
from tuner.parallel.messages import (
    Assignment,
    EpochEnd,
    Event,
    Pause,
    Setup,
    WorkerDied,
    WorkerError,
    WorkerReady,
)
from tuner.parallel.worker import run_trials
from tuner.training.engines import Engine, Trainer
from tuner.training.protocol import Failure, Problem, Trial, TrialResult

MAX_DEATHS = 3
"""Consecutive worker deaths after which a trial is recorded as failed.

A trial that has come to a new epoch in between starts counting again: a machine that kills a worker
now and then only delays a trial.
"""

_TERMINATE_TIMEOUT_SECONDS = 10.0
_TAIL_LINES = 3
_TAIL_BYTES = 2**14

Accept = Callable[[Trial, Engine], bool]


class TrialQueue(Interface):
    """The trials that remain to be trained, in order."""

    def take(self, accept: Accept) -> Assignment | None:
        """Takes the first trial that is accepted; None if none is, or none is ready yet."""

    @property
    def exhausted(self) -> bool:
        """Whether all trials have been taken; otherwise more may come when others have ended."""


class Pool(Interface):
    """Trains the trials of a study."""

    def run(
        self, problem: Problem, queue: TrialQueue, on_event: Callable[[Event], None]
    ) -> None:
        """Trains all trials of a queue.

        Args:
            problem: what they have in common.
            queue: the trials.
            on_event: called with what happens; every trial ends with a `TrialResult` or a
                `Failure`. What it raises ends the run.

        Raises:
            OSError: if a checkpoint cannot be written.
            Exception: whatever else the engine raises.
        """


def any_trial(trial: Trial, engine: Engine) -> bool:
    """Accepts every trial."""
    return True


@dataclasses.dataclass(frozen=True)
class InProcess:
    """Trains one trial at a time in this process.

    Attributes:
        make_trainer: makes the engine's trainer of a problem.
    """

    make_trainer: Callable[[Problem], Trainer]

    def run(
        self, problem: Problem, queue: TrialQueue, on_event: Callable[[Event], None]
    ) -> None:
        """Trains all trials one after the other; see `Pool.run`."""
        run_trials(self.make_trainer(problem), assignments(queue), on_event)


def assignments(queue: TrialQueue) -> Iterator[Assignment]:
    """Takes all trials of a queue, each when the one before has ended."""
    while (assignment := queue.take(any_trial)) is not None:
        yield assignment


@dataclasses.dataclass
class _Job:
    """An assignment underway: the furthest epoch of its trial, and its worker's deaths since."""

    assignment: Assignment
    epoch: int = 0
    deaths: int = 0


class _Worker:
    """A worker process as the parent sees it."""

    def __init__(
        self, command: Sequence[str], problem: Problem, engine: Engine, corpus: BinaryIO
    ) -> None:
        self.engine = engine
        self.capacity = engine.capacity()
        self.jobs: dict[Trial, _Job] = {}
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

    def assign(self, job: _Job) -> None:
        """Sends a job."""
        self.jobs[job.assignment.trial] = job
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


@dataclasses.dataclass(frozen=True)
class WorkerPool:
    """Trains trials in worker processes, each with one engine.

    The order in which trials finish changes no number. A worker that dies is replaced, and its
    trials go on from their checkpoints; after `MAX_DEATHS` deaths without a new epoch in between a
    trial has failed, and the others go on.

    Attributes:
        workers: most processes at a time.
        command: what starts a worker; the numbers of two descriptors are appended.
    """

    workers: int
    command: tuple[str, ...] = (sys.executable, "-m", "tuner.parallel.worker")

    def run(
        self, problem: Problem, queue: TrialQueue, on_event: Callable[[Event], None]
    ) -> None:
        """Trains all trials; see `Pool.run`.

        Raises:
            ChildProcessError: if workers keep dying before they can train anything.
        """
        with tempfile.TemporaryFile() as file:
            corpus_file.save(problem.corpus, file)
            run = _Run(self, problem, file, queue, on_event)
            try:
                run.run()
            finally:
                run.terminate()


class _Run:
    """The workers of one run, and what they are doing."""

    def __init__(
        self,
        pool: WorkerPool,
        problem: Problem,
        corpus: BinaryIO,
        queue: TrialQueue,
        on_event: Callable[[Event], None],
    ) -> None:
        self._pool = pool
        self._problem = problem
        self._corpus = corpus
        self._queue = queue
        self._on_event = on_event
        self._workers: list[_Worker] = []
        # Jobs whose worker has died.
        self._retries: list[_Job] = []
        self._startup_failures = 0

    def run(self) -> None:
        """Works until nothing is left to do.

        Raises:
            ChildProcessError: if workers keep dying before they are ready.
            Exception: whatever a worker or `on_event` raises.
        """
        self._dispatch()
        while any(worker.jobs for worker in self._workers):
            channels: Sequence[Any] = [worker.channel for worker in self._workers]
            ready = connection.wait(channels)
            for worker in [worker for worker in self._workers if worker.channel in ready]:
                self._handle(worker, worker.receive())
            self._dispatch()
        if not self._queue.exhausted:
            raise RuntimeError("the sampler waits for trials that nobody trains")

    def terminate(self) -> None:
        """Ends all workers that are left."""
        for worker in self._workers:
            worker.terminate()
        while self._workers:
            self._workers.pop().join()

    def _dispatch(self) -> None:
        """Gives trials to workers that can take more, and spawns workers for those left."""
        for worker in list(self._workers):
            self._fill(worker)
            if not worker.jobs and self._queue.exhausted and not self._retries:
                self._end(worker)
        while (job := self._next(None)) is not None:
            if len(self._workers) == self._pool.workers:
                # Its engine has nothing to do at the moment.
                self._end(next(worker for worker in self._workers if not worker.jobs))
            engine = job.assignment.engine
            worker = _Worker(self._pool.command, self._problem, engine, self._corpus)
            self._workers.append(worker)
            worker.assign(job)
            self._fill(worker)

    def _fill(self, worker: _Worker) -> None:
        while (job := self._next(worker)) is not None:
            worker.assign(job)
        if worker.jobs and len(worker.jobs) < worker.capacity:
            worker.pause()

    def _next(self, worker: _Worker | None) -> _Job | None:
        """Takes a job for a worker, or for one that is to be spawned; first those of dead ones."""
        if worker is None:
            if sum(bool(other.jobs) for other in self._workers) == self._pool.workers:
                return None
        elif len(worker.jobs) == worker.capacity:
            return None
        accept = any_trial if worker is None else worker.accepts
        if worker is None or not worker.jobs:
            for job in self._retries:
                if accept(job.assignment.trial, job.assignment.engine):
                    self._retries.remove(job)
                    return job
        assignment = self._queue.take(accept)
        return None if assignment is None else _Job(assignment)

    def _end(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.terminate()
        worker.join()

    def _handle(self, worker: _Worker, message: Any) -> None:
        match message:
            case None:
                self._respawn(worker)
            case WorkerReady():
                self._startup_failures, worker.ready = 0, True
            case WorkerError(error):
                raise error
            case TrialResult(trial):
                del worker.jobs[trial]
                # The next trial first: the worker need not wait until this one is recorded.
                self._dispatch()
                self._on_event(message)
            case _:
                if isinstance(message, EpochEnd):
                    job = worker.jobs[message.trial]
                    if job.epoch < message.epoch:
                        job.epoch, job.deaths = message.epoch, 0
                self._on_event(message)

    def _respawn(self, worker: _Worker) -> None:
        """Lets other workers go on with the trials of one that has died."""
        self._workers.remove(worker)
        reason = worker.join()
        if not worker.ready:
            self._startup_failures += 1
            if self._startup_failures == MAX_DEATHS:
                raise ChildProcessError(f"no worker can be started: {reason}")
        failed = []
        for job in worker.jobs.values():
            job.deaths += worker.ready
            if job.deaths < MAX_DEATHS:
                self._retries.append(job)
                self._on_event(WorkerDied(job.assignment.trial, reason))
            else:
                failed.append(job.assignment)
        self._dispatch()
        for assignment in failed:
            self._on_event(Failure(assignment.trial, reason, assignment.engine.name))


def parse_workers(text: str) -> int | None:
    """Reads how many workers a person wants.

    Args:
        text: a positive integer, or `auto`.

    Returns:
        The number; None for `auto`, for which the engine decides.

    Raises:
        InputError: if it is anything else.

    Example:
        >>> parse_workers("3"), parse_workers("auto")
        (3, None)
    """
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--workers: expected auto or a positive integer. Received: {text!r}")
    return int(text)

