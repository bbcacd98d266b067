"""The cost model of the study's benchmark."""

from __future__ import annotations

import pytest

from benchmarks.study import CostModel, epochs_of
from tuner.training.protocol import Epoch, Metrics, Score, Trial, TrialRecord
from zoo.variants import VARIANTS


def entry(variant: str, units: int, learning_rate: float, epochs: int) -> TrialRecord:
    values = {"units": units, "learning_rate": learning_rate, "momentum": 0.5, "noise_std": 0.1}
    trial = Trial(0, variant, values, seed=1)
    weights = VARIANTS[variant].count_params(88, units) + (units + 1) * 88
    seconds = epochs * (0.01 + 2e-5 * len(VARIANTS[variant].gates) * units + 3e-7 * weights)
    curve = tuple(Epoch(epoch, 1.0, 1.0) for epoch in range(epochs + 1))
    score = Score(1.0, 1.0)
    return TrialRecord(trial, Metrics(1, score, score, curve, False, seconds, weights, "native"))


ENTRIES = [
    entry("V", 20, 2e-6, 150),
    entry("V", 190, 2e-3, 30),
    entry("FGR", 60, 3e-3, 50),
    entry("NIG", 110, 4e-6, 150),
    entry("CIFG", 150, 5e-5, 120),
]


def test_fit_recovers_the_law_that_made_the_trials() -> None:
    model = CostModel(ENTRIES)
    assert model.coefficients == pytest.approx((0.01, 2e-5, 3e-7), rel=1e-6)
    assert model.error < 1e-9


def test_epochs_are_those_of_the_same_decade() -> None:
    model = CostModel(ENTRIES)
    other = entry("NOG", 80, 7e-3, 1)
    alone = other.result.seconds
    assert model.trial_seconds(other.trial) == pytest.approx(40 * alone)
    unseen = entry("NOG", 80, 7e-4, 1).trial
    assert model.trial_seconds(unseen) == pytest.approx(100 * alone)


def test_an_epoch_that_diverged_counts() -> None:
    assert epochs_of(ENTRIES[0]) == 150
