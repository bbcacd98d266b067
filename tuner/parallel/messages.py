"""The messages between a study and the workers that train its trials; all can be pickled."""

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
        task: the task to learn.
        protocol: the training protocol.
        cells: import paths of the cells that are not in the zoo.
    """

    task: Task
    protocol: Protocol
    cells: tuple[str, ...]

    def problem(self, corpus: Corpus) -> Problem:
        """Returns the problem with its corpus."""
        return Problem(self.task, corpus, self.protocol, self.cells)


@dataclasses.dataclass(frozen=True)
class Setup:
    """The first message to a worker.

    Attributes:
        engine: the engine that it trains with.
        rules: the rules of the problems that it may train, in the order of the corpora.
    """

    engine: Engine
    rules: tuple[Rules, ...]

    @classmethod
    def of(cls, problems: Problems, engine: Engine) -> Setup:
        """Makes the setup from problems, without their corpora."""
        rules = (Rules(each.task, each.protocol, each.cells) for each in problems.values())
        return cls(engine, tuple(rules))


@dataclasses.dataclass(frozen=True)
class Assignment:
    """A trial to be trained.

    Attributes:
        trial: the trial.
        engine: the engine that trains it.
        checkpoint: path of its checkpoint.
        task: name of the task that it learns.
    """

    trial: Trial
    engine: Engine
    checkpoint: Path
    task: str


@dataclasses.dataclass(frozen=True)
class Pause:
    """A worker gets no more trials now: its engine should not wait to fill its capacity."""


@dataclasses.dataclass(frozen=True)
class WorkerReady:
    """A worker has started and waits for its first trial."""


@dataclasses.dataclass(frozen=True)
class WorkerError:
    """A worker encountered an error that any other worker would encounter, too.

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
    """An epoch of a trial has ended.

    Attributes:
        trial: the trial.
        epoch: number of the epoch.
        validation: its validation score.
        best: the best validation score so far.
    """

    trial: Trial
    epoch: int
    validation: float
    best: float

    @classmethod
    def of(cls, trial: Trial, state: TrialState) -> EpochEnd:
        """Makes the message from the state of a trial, without its weights."""
        return cls(trial, state.epoch, state.curve[-1].validation, state.best_score.mean)


@dataclasses.dataclass(frozen=True)
class WorkerDied:
    """The worker of a trial has died; another one resumes from the trial's checkpoint.

    Attributes:
        trial: the trial.
        reason: what is known about the death.
    """

    trial: Trial
    reason: str


Event = Started | EpochEnd | WorkerDied | TrialResult | Failure
"""Events of trials that a study receives."""
