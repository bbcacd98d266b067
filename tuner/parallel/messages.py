"""What a study and those who train its trials tell each other; all of it can be pickled."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tuner.tasks.task import Corpus, Task
from tuner.training.engines import Engine
from tuner.training.protocol import Failure, Problem, Problems, Protocol, Trial, TrialResult
from tuner.training.trial_state import TrialState


@dataclasses.dataclass(frozen=True)
class Rules:
    """A problem without its corpus, which all workers map into memory.

    Attributes:
        task: what is learned.
        protocol: how.
        cells: import paths of the cells that are not of the zoo.
    """

    task: Task
    protocol: Protocol
    cells: tuple[str, ...]

    def problem(self, corpus: Corpus) -> Problem:
        """The problem."""
        return Problem(self.task, corpus, self.protocol, self.cells)


@dataclasses.dataclass(frozen=True)
class Setup:
    """The first message to a worker.

    Attributes:
        engine: what it trains with.
        rules: of what it may train, in the order in which it is given the corpora.
    """

    engine: Engine
    rules: tuple[Rules, ...]

    @classmethod
    def of(cls, problems: Problems, engine: Engine) -> Setup:
        """Leaves the corpora out of problems."""
        rules = (Rules(each.task, each.protocol, each.cells) for each in problems.values())
        return cls(engine, tuple(rules))


@dataclasses.dataclass(frozen=True)
class Assignment:
    """A trial that is to be trained.

    Attributes:
        trial: which.
        engine: what trains it.
        checkpoint: where its checkpoint is.
        task: name of the task that it learns.
    """

    trial: Trial
    engine: Engine
    checkpoint: Path
    task: str


@dataclasses.dataclass(frozen=True)
class Pause:
    """There is nothing more for a worker now: its engine shall not wait to fill its capacity."""


@dataclasses.dataclass(frozen=True)
class WorkerReady:
    """A worker has started and waits for its first trial."""


@dataclasses.dataclass(frozen=True)
class WorkerError:
    """A worker met an error that would meet any other worker, too.

    Attributes:
        error: the error, with the worker's traceback as a note.
    """

    error: Exception


@dataclasses.dataclass(frozen=True)
class Started:
    """A trial has been handed to its engine."""

    trial: Trial


@dataclasses.dataclass(frozen=True)
class EpochEnd:
    """An epoch of a trial is finished.

    Attributes:
        trial: which trial.
        epoch: which epoch.
        validation: its validation score.
        best: the best validation score so far.
    """

    trial: Trial
    epoch: int
    validation: float
    best: float

    @classmethod
    def of(cls, trial: Trial, state: TrialState) -> EpochEnd:
        """Says how far a trial has come, without its weights."""
        return cls(trial, state.epoch, state.curve[-1].validation, state.best_score.mean)


@dataclasses.dataclass(frozen=True)
class WorkerDied:
    """The worker of a trial has died; another one goes on from the trial's checkpoint.

    Attributes:
        trial: which trial.
        reason: what is known of the death.
    """

    trial: Trial
    reason: str


Event = Started | EpochEnd | WorkerDied | TrialResult | Failure
"""Events of trials that a study receives."""
