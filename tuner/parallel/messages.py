"""What a study and those who train its trials tell each other; all of it can be pickled."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tuner.tasks.task import Task
from tuner.training.protocol import Failure, Protocol, Trial, TrialResult
from tuner.training.trial_state import TrialState


@dataclasses.dataclass(frozen=True)
class Setup:
    """What all trials of a study have in common, but for the corpus.

    Attributes:
        task: what is learned.
        protocol: training rules.
        engine: name of the engine.
    """

    task: Task
    protocol: Protocol
    engine: str


@dataclasses.dataclass(frozen=True)
class Assignment:
    """A trial that is to be trained.

    Attributes:
        trial: which.
        checkpoint: where its checkpoint is.
    """

    trial: Trial
    checkpoint: Path


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
    """A trial has been handed out."""

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
    def to(cls, trial: Trial, course: TrialState) -> EpochEnd:
        """Says how far a trial has come, without its weights."""
        return cls(trial, course.epoch, course.curve[-1].validation, course.best_score.mean)


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
