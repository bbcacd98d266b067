"""The paper's training rules, and the inputs and results of a trial.

All engines follow them, so a trial has the same results with every engine, up to rounding.
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
    """The training rules for all trials of a study (section 4 of the paper).

    The loss is the **sum** of the negative log-likelihood over time and outputs; weights are
    updated after every sequence by stochastic gradient descent with Nesterov momentum and learning
    rate × (1 - momentum); Gaussian noise is added to the inputs during training only; the test
    score is computed with the weights of the best validation epoch.

    Attributes:
        max_epochs: maximum number of epochs per trial.
        patience: number of epochs without a better validation score after which a trial stops.
        weight_std: standard deviation of the normal distribution from which initial weights and
            biases are drawn.
        order_seed: seed of the order in which each epoch visits the sequences; shared by all
            trials.
        optimizer: a key of `tuner.training.optimizers.OPTIMIZERS`.
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
        task: the task to learn.
        corpus: its data.
        protocol: the training rules.
        cells: import paths (`package.module:CellClass`) of the cells from outside the zoo.
    """

    task: Task
    corpus: Corpus
    protocol: Protocol
    cells: tuple[str, ...] = ()


Problems = Mapping[str, Problem]
"""The problems of one or several studies, by task name."""


_OF_TRAINING = {
    "units", "learning_rate", "momentum", "noise_std", "forget_bias", "ponder_price",
}  # fmt: skip
"""Hyperparameters that every engine knows by name."""

Options = tuple[tuple[str, int | float], ...]
"""Arguments of a cell other than its units, as (name, value) pairs; see `Trial.options`."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """One point of the search space.

    Attributes:
        index: position in the design of its variant, from 0.
        variant: code of the LSTM variant.
        values: the hyperparameters by name, see `tuner.search.space`.
        seed: seed of the initial weights and the noise.

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
        """Number of LSTM blocks in the hidden layer."""
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
        """Offset added to the initial biases of the forget gate; 0 if it is not varied."""
        return float(self.values.get("forget_bias", 0.0))

    @property
    def ponder_price(self) -> float:
        """Cost of an inner step, see `zoo.AdaptiveRNN`; 0 if it is not varied."""
        return float(self.values.get("ponder_price", 0.0))

    @functools.cached_property
    def options(self) -> Options:
        """The other hyperparameters that the cell accepts: (name, value) pairs, sorted by name."""
        others = {name: self.values[name] for name in sorted({*self.values} - _OF_TRAINING)}
        return tuple(registry.accepted(self.variant, others).items())


@dataclasses.dataclass(frozen=True)
class Score:
    """The task's metric on one split.

    Attributes:
        mean: total over the split divided by its size (frames, or characters for
            transcriptions); the study compares this number.
        sequence_mean: mean of the means of the individual sequences, which some papers report.
    """

    mean: float
    sequence_mean: float

    @classmethod
    def of(cls, totals: np.ndarray, sizes: np.ndarray) -> Score:
        """Averages the metric over the sequences of a split.

        Args:
            totals: the metric summed over each sequence, float64.
            sizes: size of each sequence, by which its total is divided.

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
        epoch: number of the epoch; 0 is the untrained network.
        loss: training loss per frame during the epoch, with noise and changing weights; None for
            epoch 0.
        validation: validation metric after the epoch.
    """

    epoch: int
    loss: float | None
    validation: float


@dataclasses.dataclass(frozen=True)
class Metrics:
    """The outcome of a finished trial.

    Attributes:
        best_epoch: epoch with the best validation score; 0 if training never improved it.
        validation: validation score of the best epoch.
        test: test score of the best epoch's weights.
        curve: all epochs with finite numbers, the untrained network first.
        diverged: whether a loss or validation score was not finite; the scores are then those of
            the best epoch before it.
        seconds: time spent on training and measuring.
        parameters: number of trainable weights.
        engine: name of the engine that trained it.
        test_grouped: test score after classes are merged into `tuner.tasks.task.Task.groups`;
            None for tasks without groups, and if no frame of the test set counts.
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
        """Says which score is not finite, so that the trial has failed; empty if all are finite.

        A diverged trial keeps the scores of an earlier epoch; but the untrained network's scores
        may not be finite either, nor the best epoch's scores on the test set.
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
        trial: the trial.
        result: its outcome.
        weights: weights of the best epoch, in the order of `keras.Model.get_weights()`.
    """

    trial: Trial
    result: Metrics
    weights: tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class TrialRecord:
    """A finished trial as the ledger stores it: without weights."""

    trial: Trial
    result: Metrics


@dataclasses.dataclass(frozen=True)
class Failure:
    """A trial that could not be finished.

    Attributes:
        trial: the trial.
        reason: why there is no result, as one human-readable line.
        engine: name of the engine that trained it.
    """

    trial: Trial
    reason: str
    engine: str
