"""What a trial costs, fitted to trials that were run.

    seconds = epochs × (a + b G H + c weights)

for G gates and H units: a for the loop over frames, b for what is computed element by element, c
for the matrix products. How many epochs a trial takes is decided above all by its learning rate:
the smallest never stop improving.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls

from tuner.tasks.task import find_task
from tuner.training.protocol import Trial, TrialRecord
from zoo import registry
from zoo.variants import VARIANTS


def epochs_of(entry: TrialRecord) -> int:
    """Counts the epochs that a trial was trained for, one that diverged included."""
    return entry.result.curve[-1].epoch + entry.result.diverged


def _decade(trial: Trial) -> int:
    return math.floor(math.log10(trial.learning_rate))


def _features(variant: str, units: int) -> tuple[float, float, float]:
    task = find_task("music")
    weights = registry.count_params(variant, task.inputs, units) + (units + 1) * task.outputs
    return 1.0, float(len(VARIANTS[variant].gates) * units), float(weights)


class CostModel:
    """Seconds of a trial of the music task.

    Attributes:
        coefficients: a, b and c.
        error: median over the fitted trials of the relative error of the seconds an epoch.
    """

    def __init__(self, entries: Sequence[TrialRecord]) -> None:
        """Fits non-negative coefficients by relative errors, so that small trials count as much.

        Args:
            entries: finished trials.
        """
        trials = [entry.trial for entry in entries]
        features = np.array([_features(trial.variant, trial.units) for trial in trials])
        seconds = np.array([entry.result.seconds / epochs_of(entry) for entry in entries])
        scale = features.max(axis=0)
        solution, _ = nnls(features / scale / seconds[:, None], np.ones(len(seconds)))
        self.coefficients = tuple(float(value) for value in solution / scale)
        self.error = float(np.median(abs(features @ (solution / scale) / seconds - 1.0)))
        self._decades: dict[int, list[int]] = {}
        for entry in entries:
            self._decades.setdefault(_decade(entry.trial), []).append(epochs_of(entry))
        self._mean = statistics.fmean(map(epochs_of, entries))

    def epoch_seconds(self, variant: str, units: int) -> float:
        """Predicts the seconds of an epoch.

        Args:
            variant: code of the variant.
            units: LSTM blocks.
        """
        pairs = zip(self.coefficients, _features(variant, units), strict=True)
        return sum(coefficient * feature for coefficient, feature in pairs)

    def trial_seconds(self, trial: Trial) -> float:
        """Predicts the seconds of a trial.

        Args:
            trial: its epochs are the mean of the fitted trials whose learning rate is of the same
                decade.
        """
        decade = self._decades.get(_decade(trial))
        epochs = statistics.fmean(decade) if decade else self._mean
        return epochs * self.epoch_seconds(trial.variant, trial.units)
