"""Pools that train the trials of a study: in worker processes, or in this process itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic
from typing import Protocol as Interface

from common.errors import InputError
from tuner.parallel.messages import (
    Assignment,
    EpochEnd,
    Event,
    WorkerDied,
    WorkerError,
    WorkerReady,
)
from tuner.parallel.worker import run_trials
from tuner.parallel.worker_process import COMMAND, ThisComputer
from tuner.parallel.workers import Job, Machines, SomeWorker
from tuner.training.engines import Trainer
from tuner.training.protocol import Failure, Problem, Problems, TrialResult

MAX_DEATHS = 3
"""Consecutive worker deaths after which a trial is recorded as failed.

The count starts over when the trial reaches a new epoch, so a machine that kills a worker now and
then only delays a trial.
"""

MAX_LOSSES = 10
"""Consecutive machine losses after which a trial is recorded as failed.

Machines disappear for unrelated reasons, so a trial is given up only if it takes every machine down
with it, as when it needs more memory than a container has.
"""

Accept = Callable[[Assignment], bool]


class TrialQueue(Interface):
    """The trials that remain to be trained, in order."""

    def take(self, accept: Accept) -> Assignment | None:
        """Takes the first trial that is accepted; None if none is, or none is ready yet."""

    @property
    def exhausted(self) -> bool:
        """Whether all trials have been taken; if not, more may come when others have ended."""


class ListedTrials:
    """Trials in the order of a list; a `TrialQueue`."""

    def __init__(self, assignments: Iterable[Assignment]) -> None:
        """Copies the list.

        Args:
            assignments: the trials.
        """
        self._left = list(assignments)

    def take(self, accept: Accept) -> Assignment | None:
        """Takes the first trial that is accepted."""
        for assignment in self._left:
            if accept(assignment):
                self._left.remove(assignment)
                return assignment
        return None

    @property
    def exhausted(self) -> bool:
        """Whether no trials are left."""
        return not self._left


class Pool(Interface):
    """Trains the trials of one or several studies."""

    def run(
        self, problems: Problems, queue: TrialQueue, on_event: Callable[[Event], None]
    ) -> None:
        """Trains all trials of a queue.

        Args:
            problems: the problems of the trials, by the name of the task.
            queue: the trials; no two are equal.
            on_event: called with each event; every trial ends with a `TrialResult` or a
                `Failure`. An exception that it raises ends the run.

        Raises:
            OSError: if a checkpoint cannot be written.
            Exception: any other exception that the engine raises.
        """


def any_trial(assignment: Assignment) -> bool:
    """Accepts every trial."""
    return True


@dataclasses.dataclass(frozen=True)
class InProcess:
    """Trains the trials of one study in this process, one at a time.

    Attributes:
        make_trainer: makes the engine's trainer for a problem.
    """

    make_trainer: Callable[[Problem], Trainer]

    def run(
        self, problems: Problems, queue: TrialQueue, on_event: Callable[[Event], None]
    ) -> None:
        """Trains all trials one after another; see `Pool.run`."""
        (problem,) = problems.values()
        run_trials(self.make_trainer(problem), assignments(queue), on_event)


def assignments(queue: TrialQueue) -> Iterator[Assignment]:
    """Yields all trials of a queue, each when the previous one has ended."""
    while (assignment := queue.take(any_trial)) is not None:
        yield assignment


@dataclasses.dataclass(frozen=True)
class WorkerPool:
    """Trains trials in worker processes, each with one engine.

    The order in which trials finish does not affect the results. A worker that dies is replaced,
    and its trials resume from their checkpoints; after `MAX_DEATHS` deaths without a new epoch in
    between, a trial has failed, and the others continue.

    Attributes:
        workers: maximum number of processes at a time.
        command: command that starts a worker; see `tuner.parallel.worker_process.WorkerProcess`.
    """

    workers: int
    command: tuple[str, ...] = COMMAND

    def run(
        self, problems: Problems, queue: TrialQueue, on_event: Callable[[Event], None]
    ) -> None:
        """Trains all trials; see `Pool.run`.

        Raises:
            ChildProcessError: if workers keep dying before they can train anything.
        """
        machine = ThisComputer(self.workers, self.command, problems)
        train(machine, queue, on_event)


def train(
    machines: Machines[SomeWorker], queue: TrialQueue, on_event: Callable[[Event], None]
) -> None:
    """Trains all trials of a queue on workers, then ends the workers; see `Pool.run`.

    Args:
        machines: where the workers run; closed at the end.
        queue: the trials.
        on_event: called with each event.

    Raises:
        ChildProcessError: if workers keep dying before they can train anything.
    """
    run = _Run(machines, queue, on_event)
    try:
        run.run()
    finally:
        # A second Ctrl-C may interrupt this, too.
        try:
            run.terminate()
        finally:
            machines.close()


class _Run(Generic[SomeWorker]):
    """The workers of one run, and what they are doing."""

    def __init__(
        self,
        machines: Machines[SomeWorker],
        queue: TrialQueue,
        on_event: Callable[[Event], None],
    ) -> None:
        self._machines = machines
        self._queue = queue
        self._on_event = on_event
        self._workers: list[SomeWorker] = []
        # Jobs whose worker has died.
        self._retries: list[Job] = []

    def run(self) -> None:
        """Works until nothing is left to do.

        Raises:
            ChildProcessError: if workers keep dying before they are ready.
            Exception: whatever a worker or `on_event` raises.
        """
        self._dispatch()
        while self._unfinished():
            for worker in self._machines.wait(self._workers):
                # It may have been ended because of another worker's message.
                if worker in self._workers:
                    self._handle(worker, worker.receive())
            self._dispatch()
        if not self._queue.exhausted:
            raise RuntimeError("the sampler waits for trials that no worker trains")

    def _unfinished(self) -> bool:
        """Returns whether trials are running, or waiting for machines."""
        if self._retries or any(worker.jobs for worker in self._workers):
            return True
        return not self._machines.limit and not self._queue.exhausted

    def terminate(self) -> None:
        """Ends all workers that are left."""
        for worker in self._workers:
            worker.terminate()
        while self._workers:
            self._workers.pop().join()

    def _dispatch(self) -> None:
        """Assigns trials to workers that have room, and spawns workers for the rest."""
        for worker in list(self._workers):
            self._fill(worker)
            if not worker.jobs and self._queue.exhausted and not self._retries:
                self._end(worker)
        while (job := self._next(None)) is not None:
            while len(self._workers) >= self._machines.limit:
                # A worker whose engine has nothing to do at the moment.
                self._end(next(worker for worker in self._workers if not worker.jobs))
            worker = self._machines.spawn(job.assignment.engine)
            self._workers.append(worker)
            worker.assign(job)
            self._fill(worker)

    def _fill(self, worker: SomeWorker) -> None:
        while (job := self._next(worker)) is not None:
            worker.assign(job)
        if worker.jobs and len(worker.jobs) < worker.capacity:
            worker.pause()

    def _next(self, worker: SomeWorker | None) -> Job | None:
        """Takes a job for a worker, or for one to be spawned; jobs of dead workers come first."""
        if worker is None:
            if sum(bool(other.jobs) for other in self._workers) >= self._machines.limit:
                return None
        elif len(worker.jobs) == worker.capacity:
            return None
        accept = any_trial if worker is None else worker.accepts
        if worker is None or not worker.jobs:
            for job in self._retries:
                if accept(job.assignment):
                    self._retries.remove(job)
                    return job
        assignment = self._queue.take(accept)
        return None if assignment is None else Job(assignment)

    def _end(self, worker: SomeWorker) -> None:
        self._workers.remove(worker)
        worker.terminate()
        worker.join()

    def _handle(self, worker: SomeWorker, message: Any) -> None:
        match message:
            case None:
                self._respawn(worker)
            case WorkerReady():
                worker.ready = True
                for job in worker.jobs.values():
                    job.starts = 0
            case WorkerError(error):
                raise error
            case TrialResult(trial):
                del worker.jobs[trial]
                # The next trial first, so that the worker need not wait until this one is recorded.
                self._dispatch()
                self._on_event(message)
            case _:
                if isinstance(message, EpochEnd):
                    job = worker.jobs[message.trial]
                    if job.epoch < message.epoch:
                        job.epoch, job.deaths, job.losses = message.epoch, 0, 0
                self._on_event(message)

    def _respawn(self, worker: SomeWorker) -> None:
        """Hands the trials of a worker that has died over to other workers."""
        self._workers.remove(worker)
        reason = worker.join()
        if not worker.ready and not worker.lost:
            self._count_start(worker, reason)
        failed = []
        for job in worker.jobs.values():
            job.losses += worker.lost
            job.deaths += worker.ready and not worker.lost
            if job.deaths < MAX_DEATHS and job.losses < MAX_LOSSES:
                self._retries.append(job)
                self._on_event(WorkerDied(job.assignment.trial, reason))
            else:
                failed.append(job.assignment)
        self._dispatch()
        for assignment in failed:
            self._on_event(Failure(assignment.trial, reason, assignment.engine.name))

    def _count_start(self, worker: SomeWorker, reason: str) -> None:
        """Counts a worker that was never ready, separately for each of its jobs.

        Memory, for example, may suffice for only some workers: others with the same engine then
        train what this one should have trained.

        Raises:
            ChildProcessError: if workers of the engine keep dying, and no other is running.
        """
        for job in worker.jobs.values():
            job.starts += 1
        if max((job.starts for job in worker.jobs.values()), default=0) < MAX_DEATHS:
            return
        if not any(other.engine == worker.engine for other in self._workers):
            raise ChildProcessError(f"no worker can be started: {reason}")
        self._machines.shrink(worker, len(self._workers))


def parse_workers(text: str) -> int | None:
    """Parses the value of `--workers`.

    Args:
        text: a positive integer, or `auto`.

    Returns:
        The number; None for `auto`, for which the engine decides.

    Raises:
        InputError: if the text is anything else.

    Example:
        >>> parse_workers("3"), parse_workers("auto")
        (3, None)
    """
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--workers: expected auto or a positive integer. Received: {text!r}")
    return int(text)

