"""Tests and intervals that repeat the selection of the best tenth.

A best tenth is not a random sample: where test scores follow validation scores, all of it moves
with the score of the trial at its edge, and the standard error that Welch's test takes from it is
too small. With 200 trials each, that test, corrected, called one of nine equal variants
different in 36 of 100 simulated studies, both tests together in 5
(`docs/studies/comparisons.py`). The functions here permute or resample all trials and select
again, so that the selection is part of the randomness.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Self

import numpy as np

from tuner.training.protocol import TrialRecord

DEALS = 9999
"""Number of random deals in a permutation test, whose smallest p is 1 / (DEALS + 1)."""

DRAWS = 2000
"""Number of bootstrap resamples for an interval."""

_SEED = 1


@dataclasses.dataclass(frozen=True)
class Ranked:
    """Scores of all finished trials of a variant, the best by validation first.

    Attributes:
        validation: float64 of shape [trials], ascending.
        test: float64 of shape [trials].
        top: number of trials in the best tenth.
    """

    validation: np.ndarray
    test: np.ndarray
    top: int

    @classmethod
    def of(cls, entries: Sequence[TrialRecord], top: int) -> Self:
        """Gathers the scores of trials.

        Args:
            entries: finished trials, the best by validation first.
            top: number of trials in the best tenth.
        """
        return cls(
            validation=np.array([entry.result.validation.mean for entry in entries]),
            test=np.array([entry.result.test.mean for entry in entries]),
            top=top,
        )

    @property
    def top_test(self) -> np.ndarray:
        """Test scores of the best tenth."""
        return self.test[: self.top]


def permutation_p(scores: Ranked, reference: Ranked) -> float:
    """Tests whether two best tenths differ in their mean test score, by permutation.

    All trials of both variants are randomly dealt into two heaps of the same sizes, and the best by
    validation of each heap are compared. p is the share of deals, including the true one, whose
    difference is at least as large as the true one. If the trials of both variants come from the
    same distribution, every deal is as likely as the true one, and p is below any level at most
    that often, whatever the distribution. The designs of a study ensure this: every variant's
    trials are drawn independently from the same space.

    Args:
        scores: scores of one variant.
        reference: scores of the other variant.

    Returns:
        Two-sided p; the deals are the same in every call.
    """
    order = np.argsort(np.concatenate([scores.validation, reference.validation]), kind="stable")
    pooled = np.concatenate([scores.test, reference.test])[order]
    sizes = len(scores.test), len(reference.test)
    weights = _deals(sizes, (scores.top, reference.top))
    differences = weights @ pooled[: weights.shape[1]]
    true = scores.top_test.mean() - reference.top_test.mean()
    # Sums of the same scores in another order differ in their last digits.
    as_large = np.abs(differences) >= abs(true) - 1e-12 * np.abs(pooled).max()
    return float((as_large.sum() + 1) / (DEALS + 1))


@functools.lru_cache(maxsize=4)
def _deals(sizes: tuple[int, int], tops: tuple[int, int]) -> np.ndarray:
    """Deals trials into two heaps, from the best by validation on, until both best tenths are full.

    Returns:
        Weights of the pooled test scores, the best by validation first, that yield each deal's
        difference of means: float64 of shape [DEALS, dealt].
    """
    generator = np.random.default_rng(_SEED)
    left = np.tile(sizes, (DEALS, 1))
    columns = []
    while np.any(np.subtract(sizes, left) < tops):
        first = generator.random(DEALS) * left.sum(axis=1) < left[:, 0]
        heap = np.column_stack([first, ~first])
        chosen = heap & (np.subtract(sizes, left) < tops)
        columns.append(chosen[:, 0] / tops[0] - chosen[:, 1] / tops[1])
        left -= heap
    return np.column_stack(columns)


@dataclasses.dataclass(frozen=True)
class Moments:
    """Mean and variance of the test scores of best tenths.

    Attributes:
        mean: float64 of any shape.
        variance: of the same shape, divided by the count minus 1.
        count: number of trials in each best tenth.
    """

    mean: np.ndarray
    variance: np.ndarray
    count: int

    @classmethod
    def of(cls, scores: np.ndarray) -> Self:
        """Computes the moments along the last axis.

        Args:
            scores: test scores, float64 of shape [..., count], count at least 2.
        """
        return cls(scores.mean(axis=-1), scores.var(axis=-1, ddof=1), scores.shape[-1])


def resample(scores: Ranked, variant: str) -> Moments:
    """Resamples all trials with replacement and selects the best tenth, many times.

    Args:
        scores: scores of a variant.
        variant: code of the variant; every variant has its own random stream.

    Returns:
        Moments of shape [DRAWS].
    """
    generator = np.random.default_rng([_SEED, *variant.encode()])
    count = len(scores.test)
    # Only the smallest of `count` uniform numbers are needed: they are the first arrivals of a
    # Poisson process divided by the time of the arrival after the last (Devroye 1986,
    # *Non-Uniform Random Variate Generation*, V.3).
    arrivals = generator.standard_exponential((DRAWS, scores.top)).cumsum(axis=1)
    rest = generator.standard_gamma(count + 1 - scores.top, size=(DRAWS, 1))
    best = (count * arrivals / (arrivals[:, -1:] + rest)).astype(np.intp)
    return Moments.of(scores.test[best])


def hedges_g(scores: Moments, reference: Moments) -> np.ndarray:
    """Computes Hedges' g, the standardized difference of two means.

        g = J(ν) (mean(scores) - mean(reference)) / s,   ν = n + m - 2

    with s the pooled standard deviation and J(ν) = Γ(ν/2) / (√(ν/2) Γ((ν-1)/2)), which makes g
    unbiased for normal scores (Hedges 1981, *Distribution theory for Glass's estimator of effect
    size and related estimators*).

    Example:
        >>> scores, reference = Moments.of(np.array([3, 4, 5])), Moments.of(np.array([1, 2, 3]))
        >>> float(hedges_g(scores, reference))
        1.5958
    """
    n, m = scores.count, reference.count
    freedom = n + m - 2
    correction = math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(
        freedom / 2
    )
    pooled = ((n - 1) * scores.variance + (m - 1) * reference.variance) / freedom
    difference = scores.mean - reference.mean
    # A resample can contain one trial over and over: no variance, and unbounded g.
    with np.errstate(divide="ignore", invalid="ignore"):
        g = correction * difference / np.sqrt(pooled)
    return np.where(difference == 0.0, 0.0, g)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Computes the percentile interval that contains 95% of the resampled values.

    Args:
        values: float64 of shape [DRAWS]; infinite ones count as the largest.
    """
    low, high = np.quantile(values, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)
