"""Workers as seen by the study's process, wherever they run."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar
from typing import Protocol as Interface

from tuner.parallel.messages import Assignment, Pause
from tuner.training.engines import Engine
from tuner.training.protocol import Trial


@dataclasses.dataclass
class Job:
    """An assignment in progress.

    Attributes:
        assignment: the trial.
        epoch: the furthest epoch that the trial has reached.
        deaths: number of deaths of its worker since then.
        losses: number of workers lost with their machine since then.
        starts: number of consecutive workers that died before they were ready for it.
    """

    assignment: Assignment
    epoch: int = 0
    deaths: int = 0
    losses: int = 0
    starts: int = 0


class Worker(abc.ABC):
    """A process that trains with one engine.

    Attributes:
        engine: the engine that it trains with.
        capacity: number of trials that it trains at a time.
        jobs: the jobs that it is training.
        ready: whether it has started.
        lost: whether its machine is gone, which is not the fault of its trials.
    """

    def __init__(self, engine: Engine, capacity: int) -> None:
        self.engine = engine
        self.capacity = capacity
        self.jobs: dict[Trial, Job] = {}
        self.ready = False
        self.lost = False
        self._paused = False

    def assign(self, job: Job) -> None:
        """Sends a job."""
        self.jobs[job.assignment.trial] = job
        if self.ready:
            job.starts = 0
        self._paused = False
        self.send(job.assignment)

    def pause(self) -> None:
        """Signals the engine not to wait for more trials."""
        if not self._paused:
            self._paused = True
            self.send(Pause())

    def accepts(self, assignment: Assignment) -> bool:
        """Returns whether the engine, given room, can train a trial along with its current ones."""
        engine = self.engine
        if self.lost or assignment.engine.name != engine.name:
            return False
        if not self.jobs:
            return True
        # A trial whose worker has died is trained alone: it may be the cause.
        alone = any(job.deaths for job in self.jobs.values())
        other = next(iter(self.jobs.values())).assignment
        return (
            not alone
            and assignment.task == other.task
            and engine.group(assignment.trial) == engine.group(other.trial)
        )

    @abc.abstractmethod
    def send(self, message: Any) -> None:
        """Sends a message, unless the worker has died, which the next `receive` notices."""

    @abc.abstractmethod
    def receive(self) -> Any:
        """Returns the next message; None if the worker has died."""

    @abc.abstractmethod
    def terminate(self) -> None:
        """Asks the worker to end."""

    @abc.abstractmethod
    def join(self) -> str:
        """Waits until the worker has ended, and returns how it ended."""


SomeWorker = TypeVar("SomeWorker", bound=Worker)
"""A kind of worker."""


class Machines(Interface[SomeWorker]):
    """The place where workers of a kind run: this computer, or the nodes of a cluster."""

    @property
    def limit(self) -> int:
        """Maximum number of workers at a time; it may change."""

    def spawn(self, engine: Engine) -> SomeWorker:
        """Starts a worker where there is room; fewer than `limit` must be running."""

    def wait(self, workers: Sequence[SomeWorker]) -> Sequence[SomeWorker]:
        """Waits until some workers have a message or the limit has changed.

        Args:
            workers: all running workers.

        Returns:
            The workers with a message.
        """

    def shrink(self, worker: SomeWorker, left: int) -> None:
        """Takes into account that there is no room for a worker that has just died.

        Args:
            worker: the worker, which is no longer among the running ones.
            left: number of running workers.
        """

    def close(self) -> None:
        """Ends everything that runs there."""
