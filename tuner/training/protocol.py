"""The paper's training rules, and what goes into and comes out of a trial.

They mean the same to every engine, so that a trial has the same numbers, up to rounding.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from tuner.tasks.task import Corpus, Task
from zoo import registry


@dataclasses.dataclass(frozen=True)
class Protocol:
    """The rules by which every trial of a study is trained (section 4 of the paper).

    The loss is the **sum** over time and outputs of the negative log-likelihood; weights change
    after every sequence by stochastic gradient descent with Nesterov momentum and learning rate ×
    (1 - momentum); inputs get Gaussian noise in training only; the test score is that of the
    weights of the best validation epoch.

    Attributes:
        max_epochs: most epochs of a trial.
        patience: epochs without a better validation score after which a trial stops.
        weight_std: standard deviation of the normal distribution from which every weight and bias
            starts.
        order_seed: seed of the order in which an epoch visits the sequences; the same for all
            trials.
        optimizer: a name of `tuner.training.optimizers.OPTIMIZERS`.
    """

    max_epochs: int = 150
    patience: int = 15
    weight_std: float = 0.1
    order_seed: int = 1
    optimizer: str = "nesterov"


@dataclasses.dataclass(frozen=True)
class Problem:
    """What all trials of a study have in common.

    Attributes:
        task: what is learned.
        corpus: its data.
        protocol: the rules.
        cells: import paths (`package.module:CellClass`) of the cells that are not of the zoo.
    """

    task: Task
    corpus: Corpus
    protocol: Protocol
    cells: tuple[str, ...] = ()


Problems = Mapping[str, Problem]
"""What the trials of one or several studies have in common, by the name of the task."""


_OF_TRAINING = {
    "units", "learning_rate", "momentum", "noise_std", "forget_bias", "ponder_price",
}  # fmt: skip
"""Hyperparameters that every engine knows by name."""

Options = tuple[tuple[str, int | float], ...]
"""Arguments of a cell besides its units, by name; see `Trial.options`."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """One point of the search space.

    Attributes:
        index: place in the design of its variant, from 0.
        variant: code of the LSTM variant.
        values: the hyperparameters by name, see `tuner.search.space`.
        seed: seed of initial weights and noise.

    Example:
        >>> trial = Trial(0, "V", {"units": 60, "learning_rate": 0.01, "momentum": 0.9}, seed=1)
        >>> trial.units, trial.noise_std
        (60, 0.0)
    """

    index: int
    variant: str
    values: Mapping[str, int | float]
    seed: int

    def __hash__(self) -> int:
        return hash((self.index, self.variant, self.seed))

    @property
    def units(self) -> int:
        """LSTM blocks of the hidden layer."""
        return int(self.values["units"])

    @property
    def learning_rate(self) -> float:
        """The learning rate before the factor (1 - momentum)."""
        return float(self.values["learning_rate"])

    @property
    def momentum(self) -> float:
        """Nesterov momentum, in [0, 1)."""
        return float(self.values["momentum"])

    @property
    def noise_std(self) -> float:
        """Standard deviation of the input noise; 0 if it is not varied."""
        return float(self.values.get("noise_std", 0.0))

    @property
    def forget_bias(self) -> float:
        """What is added to the initial bias of the forget gate; 0 if it is not varied."""
        return float(self.values.get("forget_bias", 0.0))

    @property
    def ponder_price(self) -> float:
        """What an inner step costs, see `zoo.AdaptiveRNN`; 0 if it is not varied."""
        return float(self.values.get("ponder_price", 0.0))

    @functools.cached_property
    def options(self) -> Options:
        """The other hyperparameters that are arguments of the cell, by name and in that order."""
        others = {name: self.values[name] for name in sorted({*self.values} - _OF_TRAINING)}
        return tuple(registry.accepted(self.variant, others).items())


@dataclasses.dataclass(frozen=True)
class Score:
    """The task's metric on one split.

    Attributes:
        mean: total over the split divided by its size (frames; for transcriptions characters);
            what the study compares.
        sequence_mean: mean over sequences of each sequence's own mean, which some papers report.
    """

    mean: float
    sequence_mean: float

    @classmethod
    def of(cls, totals: np.ndarray, sizes: np.ndarray) -> Score:
        """Averages the metric of the sequences of a split.

        Args:
            totals: the metric summed over each sequence, float64.
            sizes: what each sequence's own mean is over.

        Example:
            >>> Score.of(np.array([1.0, 6.0]), np.array([1, 3]))
            Score(mean=1.75, sequence_mean=1.5)
        """
        return cls(
            mean=float(totals.sum() / sizes.sum()), sequence_mean=float(np.mean(totals / sizes))
        )

    @property
    def finite(self) -> bool:
        """Whether both means are finite."""
        return bool(np.isfinite(self.mean) and np.isfinite(self.sequence_mean))


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One point of a learning curve.

    Attributes:
        epoch: 0 is the untrained network.
        loss: training loss a frame during the epoch, with noise and changing weights; None for
            epoch 0.
        validation: validation metric after the epoch.
    """

    epoch: int
    loss: float | None
    validation: float


@dataclasses.dataclass(frozen=True)
class Metrics:
    """What a finished trial says.

    Attributes:
        best_epoch: epoch with the best validation score; 0 if training never improved on the start.
        validation: validation score of the best epoch.
        test: test score of the best epoch's weights.
        curve: all epochs with finite numbers, the untrained network first.
        diverged: whether a loss or validation score was not finite; the scores are those of the
            best epoch before.
        seconds: time spent in training and measuring.
        parameters: trainable weights.
        engine: which engine trained it.
        test_grouped: test score after classes are merged into `tuner.tasks.task.Task.groups`;
            None for tasks without, and where no frame of the test set counts.
    """

    best_epoch: int
    validation: Score
    test: Score
    curve: tuple[Epoch, ...]
    diverged: bool
    seconds: float
    parameters: int
    engine: str
    test_grouped: float | None = None

    @property
    def not_finite(self) -> str:
        """Which score is not finite, so that the trial has failed; empty if none.

        Divergence leaves the scores of an epoch before; but the untrained network's may not be
        finite either, or those of the best epoch on the test set.
        """
        scores = {
            "validation": (self.validation.mean, self.validation.sequence_mean),
            "test": (self.test.mean, self.test.sequence_mean),
            "grouped test": (self.test_grouped or 0.0,),
        }
        for name, numbers in scores.items():
            for number in numbers:
                if not np.isfinite(number):
                    return f"the {name} score at epoch {self.best_epoch} is {number}"
        return ""


@dataclasses.dataclass(frozen=True)
class TrialResult:
    """A finished trial with the weights of its best epoch.

    Attributes:
        trial: what was tried.
        result: its outcome.
        weights: weights of the best epoch, in the order of `keras.Model.get_weights()`.
    """

    trial: Trial
    result: Metrics
    weights: tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class TrialRecord:
    """A finished trial as the ledger holds it: without weights."""

    trial: Trial
    result: Metrics


@dataclasses.dataclass(frozen=True)
class Failure:
    """A trial that could not be finished.

    Attributes:
        trial: what was tried.
        reason: why there is no result; one line for a person.
        engine: which engine trained it.
    """

    trial: Trial
    reason: str
    engine: str
