"""PED-ANOVA on trials whose best tenth is known."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from tuner.analysis.importance import factors, ped_anova
from tuner.search.space import PAPER

FACTORS = (*PAPER, factors.variants(("V", "NP", "NFG")))


def table(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the cube and values in own units."""
    points = np.random.default_rng(1).random((count, 5))
    columns = [
        (20 * (201 / 20) ** points[:, 0]).astype(int),
        1e-6 * 1e4 ** points[:, 1],
        1 - 0.01 * 100 ** points[:, 2],
        points[:, 3],
        (3 * points[:, 4]).astype(int),
    ]
    return points, np.stack(columns, axis=1)


@pytest.mark.parametrize("decisive", range(5))
def test_what_the_best_tenth_has_in_common_matters(decisive: int) -> None:
    points, values = table()
    # The best tenth has the decisive factor near 0.1; beyond that every trial is as good.
    targets = np.abs(points[:, decisive] - 0.1) + 0.05 * points[:, (decisive + 1) % 5]
    shares = ped_anova.importance(values, targets, FACTORS)
    assert list(shares) == [factor.name for factor in FACTORS]
    assert sum(shares.values()) == pytest.approx(1.0)
    assert max(shares, key=shares.__getitem__) == FACTORS[decisive].name
    assert shares[FACTORS[decisive].name] > 0.6


def test_small_is_good() -> None:
    points, values = table()
    # Only where it is small, the target depends on the noise.
    targets = np.where(points[:, 1] < 0.5, 2.0, points[:, 3])
    shares = ped_anova.importance(values, targets, FACTORS)
    assert shares["noise_std"] > 0.7
    shares = ped_anova.importance(values, -targets, FACTORS)
    assert shares["learning_rate"] > 0.7


def test_optuna_stays_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    points, values = table(50)
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        ped_anova.importance(values, points[:, 0], FACTORS)
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(before)
    assert capfd.readouterr() == ("", "")
