"""Permutation and bootstrap against enumeration of every deal and every draw."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import special

from tuner.analysis.statistics import resampling
from tuner.analysis.statistics.resampling import Moments, Ranked


def ranked(validation: list[float], test: list[float], top: int) -> Ranked:
    order = np.argsort(validation, kind="stable")
    return Ranked(np.array(validation)[order], np.array(test)[order], top)


SCORES = ranked([3.0, 1.0, 7.0, 5.0, 8.0, 6.5], [2.5, 1.2, 6.0, 5.5, 9.0, 6.0], top=2)
REFERENCE = ranked([4.0, 9.0, 3.5, 8.5], [4.4, 8.0, 5.0, 9.5], top=1)


def enumerate_deals(scores: Ranked, reference: Ranked) -> float:
    """The exact p: over all ways to give as many of the trials to the first variant."""
    trials = [
        *zip(scores.validation, scores.test, strict=True),
        *zip(reference.validation, reference.test, strict=True),
    ]

    def difference(first: tuple[int, ...]) -> float:
        heaps = [trials[place] for place in first], [
            trial for place, trial in enumerate(trials) if place not in first
        ]
        tops = (scores.top, reference.top)
        means = [
            np.mean([test for _, test in sorted(heap)[:top]])
            for heap, top in zip(heaps, tops, strict=True)
        ]
        return float(means[0] - means[1])

    true = abs(difference(tuple(range(len(scores.test)))))
    deals = list(itertools.combinations(range(len(trials)), len(scores.test)))
    return float(np.mean([abs(difference(deal)) >= true - 1e-9 for deal in deals]))


@pytest.mark.parametrize(
    ("scores", "reference"),
    [
        (SCORES, REFERENCE),
        (REFERENCE, SCORES),
        (ranked([1, 2, 3, 4], [5, 5, 1, 1], top=3), ranked([9, 8, 7, 2.5], [7, 8, 6, 9], top=2)),
    ],
)
def test_permutation_p_is_that_of_all_deals(scores: Ranked, reference: Ranked) -> None:
    exact = enumerate_deals(scores, reference)
    assert 0.05 < exact < 0.95
    error = math.sqrt(exact * (1 - exact) / resampling.DEALS)
    assert resampling.permutation_p(scores, reference) == pytest.approx(exact, abs=4 * error)


def test_permutation_p_of_heaps_that_do_not_overlap_is_the_smallest() -> None:
    low, high = np.arange(40.0), 1000 + np.arange(40.0)
    p = resampling.permutation_p(Ranked(low, low, 4), Ranked(high, high, 4))
    assert p == 1 / (resampling.DEALS + 1)


def test_permutation_p_of_the_same_trials_is_one() -> None:
    # Trials that tie in validation have the same test score, so that every deal draws level.
    scores = np.full(30, 8.0)
    assert resampling.permutation_p(Ranked(scores, scores, 3), Ranked(scores, scores, 3)) == 1.0


def test_a_huge_score_outside_the_best_tenth_does_not_matter_but_inside_it_does() -> None:
    generator = np.random.default_rng(1)
    validation = np.sort(generator.normal(8.0, 0.5, 40))
    test = validation + generator.normal(0.0, 0.05, 40)
    other = Ranked(validation + 1.2, test + 1.2, 4)
    sober = Ranked(validation, test, 4)
    assert resampling.permutation_p(sober, other) < 0.05
    diverged = np.where(np.arange(40) == 39, 500.0, test)
    assert resampling.permutation_p(Ranked(validation, diverged, 4), other) < 0.05
    overshot = np.where(np.arange(40) == 3, 500.0, test)
    assert resampling.permutation_p(Ranked(validation, overshot, 4), other) > 0.1


def test_resampled_moments_are_those_of_all_draws() -> None:
    scores = ranked([1.0, 2.0, 3.0, 4.0], [1.5, 2.0, 7.0, 4.0], top=2)
    drawn = resampling.resample(scores, "V")
    tops = [scores.test[sorted(places)[:2]] for places in itertools.product(range(4), repeat=4)]
    for moment, exact in (
        (drawn.mean, [top.mean() for top in tops]),
        (drawn.variance, [top.var(ddof=1) for top in tops]),
    ):
        assert moment.shape == (resampling.DRAWS,)
        # Every mean and variance that can be, as often as it should be.
        values, counts = np.unique(np.round(exact, 9), return_counts=True)
        shares = counts / len(tops)
        got = np.array([np.isclose(moment, value).mean() for value in values])
        error = np.sqrt(shares * (1 - shares) / resampling.DRAWS)
        assert got.sum() == pytest.approx(1.0)
        assert np.all(np.abs(got - shares) < 4 * error)


def test_variants_are_drawn_independently_and_each_always_alike() -> None:
    scores = Ranked(np.arange(50.0), np.arange(50.0), 5)
    vanilla = resampling.resample(scores, "V")
    other = resampling.resample(scores, "NP")
    assert np.array_equal(vanilla.mean, resampling.resample(scores, "V").mean)
    correlation = np.corrcoef(vanilla.mean, other.mean)[0, 1]
    assert abs(correlation) < 4 / math.sqrt(resampling.DRAWS)


def test_hedges_g_of_the_sleep_data() -> None:
    # R's data set `sleep`; effsize::cohen.d gives d = -0.8321811.
    first = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    second = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    g = resampling.hedges_g(Moments.of(first), Moments.of(second))
    exact = special.gamma(9.0) / (math.sqrt(9.0) * special.gamma(8.5))
    assert g == pytest.approx(-0.8321811 * exact, rel=1e-6)
    assert exact == pytest.approx(1 - 3 / (4 * 18 - 1), abs=3e-4)


def test_hedges_g_weighs_unequal_sizes() -> None:
    # By hand: variances 1 (n = 3) and 8 (n = 2) pool to (2·1 + 1·8) / 3; J(3) = Γ(1.5) / √1.5.
    scores, reference = Moments.of(np.array([1.0, 2.0, 3.0])), Moments.of(np.array([4.0, 8.0]))
    expected = special.gamma(1.5) / math.sqrt(1.5) * (2.0 - 6.0) / math.sqrt(10 / 3)
    assert resampling.hedges_g(scores, reference) == pytest.approx(expected)


def test_hedges_g_without_spread_is_not_bounded() -> None:
    constant, other = Moments.of(np.full(3, 8.0)), Moments.of(np.full(3, 9.0))
    assert resampling.hedges_g(constant, other) == -math.inf
    assert resampling.hedges_g(constant, constant) == 0.0


def test_interval_cuts_a_fortieth_on_each_side() -> None:
    values = np.random.default_rng(1).permutation(np.arange(2000.0))
    assert resampling.interval(values) == (49.0, 1949.0)
    assert resampling.interval(np.r_[values[:1000], np.full(1000, np.inf)])[1] == math.inf
