"""What a study and those who train its trials tell each other; all of it can be pickled."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tuner.tasks.task import Task
from tuner.training.engines import Engine
from tuner.training.protocol import Failure, Problem, Protocol, Trial, TrialResult
from tuner.training.trial_state import TrialState


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a worker is told first: its engine, and the problem without the corpus.

    Attributes:
        engine: trains all of the worker's trials.
        task: what is learned.
        protocol: the rules.
        cells: see `tuner.training.protocol.Problem.cells`.
    """

    engine: Engine
    task: Task
    protocol: Protocol
    cells: tuple[str, ...]

    @classmethod
    def of(cls, problem: Problem, engine: Engine) -> Setup:
        """Leaves the corpus out of a problem."""
        return cls(engine, problem.task, problem.protocol, problem.cells)


@dataclasses.dataclass(frozen=True)
class Assignment:
    """A trial that is to be trained.

    Attributes:
        trial: which.
        engine: what trains it.
        checkpoint: where its checkpoint is.
    """

    trial: Trial
    engine: Engine
    checkpoint: Path


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
"""What a study is told about its trials."""
