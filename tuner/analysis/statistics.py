"""Numbers about the trials of a study: summaries, comparisons with vanilla, expected best of n."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Self

import numpy as np

from tuner.analysis.evidence import NotEnough
from tuner.ledger import Entry, best_first

LEVEL = 0.05
"""Level of the tests, over all comparisons of a study together (section 5.1 of the paper)."""

FEWEST = 3
"""Trials that a best tenth needs for a test."""

_RESAMPLES = 9999
_SEED = 1


@dataclasses.dataclass(frozen=True)
class Distribution:
    """What a box plot shows of some numbers.

    Attributes:
        count: how many numbers.
        minimum: the smallest.
        lower_quartile: a quarter of the numbers lies below.
        median: half of the numbers lies below.
        mean: their mean.
        upper_quartile: three quarters of the numbers lie below.
        maximum: the largest.
    """

    count: int
    minimum: float
    lower_quartile: float
    median: float
    mean: float
    upper_quartile: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Describes numbers; quartiles are interpolated linearly, as NumPy's default is.

        Args:
            values: finite numbers, at least one.

        Example:
            >>> Distribution.of([4.0, 1.0, 2.0, 3.0, 10.0])
            Distribution(count=5, minimum=1.0, lower_quartile=2.0, median=3.0, mean=4.0,
                         upper_quartile=4.0, maximum=10.0)
        """
        minimum, lower, median, upper, maximum = np.quantile(values, [0.0, 0.25, 0.5, 0.75, 1.0])
        return cls(
            count=len(values),
            minimum=float(minimum),
            lower_quartile=float(lower),
            median=float(median),
            mean=float(np.mean(values)),
            upper_quartile=float(upper),
            maximum=float(maximum),
        )


@dataclasses.dataclass(frozen=True)
class VariantSummary:
    """What the trials of one variant come to.

    Attributes:
        variant: code.
        finished: number of finished trials.
        failed: number of trials that could not be finished.
        planned: number of rows of the design.
        diverged: number of finished trials that diverged.
        best: the trial with the best validation score.
        top: the best tenth by validation, rounded up, the best first.
        test: test scores of all finished trials.
        top_test: test scores of the best tenth.
        parameters: trainable weights of the best tenth.
        seconds: training times of all finished trials.
    """

    variant: str
    finished: int
    failed: int
    planned: int
    diverged: int
    best: Entry
    top: tuple[Entry, ...]
    test: Distribution
    top_test: Distribution
    parameters: Distribution
    seconds: Distribution


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The test scores of a variant's best tenth against those of the baseline's best tenth.

    Attributes:
        variant: code.
        baseline: code of the variant that it is compared with.
        count: trials of the variant's best tenth.
        baseline_count: trials of the baseline's best tenth.
        difference: mean test score minus the baseline's, in the metric's unit: positive is worse.
        t: Welch's statistic of that difference.
        degrees_of_freedom: of the statistic, by Welch and Satterthwaite.
        p: two-sided p of Welch's test, for this comparison alone.
        p_holm: p after Holm's correction for all comparisons made with the baseline.
        p_bonferroni: p after Bonferroni's correction for the same comparisons.
        hedges_g: the difference in pooled standard deviations, corrected for small samples.
        g_interval: its 95 % bootstrap interval.
        p_mann_whitney: two-sided p of the Mann-Whitney test, uncorrected: a check that does not
            ask for normal scores.
        verdict: "worse" or "better" if `p_holm` is below the level, else "no difference shown".
    """

    variant: str
    baseline: str
    count: int
    baseline_count: int
    difference: float
    t: float
    degrees_of_freedom: float
    p: float
    p_holm: float
    p_bonferroni: float
    hedges_g: float
    g_interval: tuple[float, float]
    p_mann_whitney: float
    verdict: str


@dataclasses.dataclass(frozen=True)
class ExpectedBest:
    """What to expect of the best of n trials, for n = 1 to all of them; index 0 is n = 1.

    Attributes:
        variant: code.
        validation: expected validation score of the best by validation.
        test: expected test score of that same trial.
        spread: standard deviation of the validation score of the best.
    """

    variant: str
    validation: tuple[float, ...]
    test: tuple[float, ...]
    spread: tuple[float, ...]


def scores_of(entries: Sequence[Entry]) -> np.ndarray:
    """Gathers test scores as float64 of shape [trials]."""
    return np.array([entry.result.test.mean for entry in entries], dtype=np.float64)


def summarize(
    variant: str, entries: Sequence[Entry], failed: int, planned: int
) -> VariantSummary:
    """Summarizes the finished trials of a variant.

    The best tenth is chosen by validation and judged by test, as in section 5.1 of the paper (20 of
    200 trials); it is rounded up.

    Args:
        variant: code.
        entries: finished trials, at least one.
        failed: number of trials that could not be finished.
        planned: number of rows of the design.
    """
    ranked = tuple(best_first(entries))
    top = ranked[: math.ceil(len(ranked) / 10)]
    return VariantSummary(
        variant=variant,
        finished=len(ranked),
        failed=failed,
        planned=planned,
        diverged=sum(entry.result.diverged for entry in ranked),
        best=ranked[0],
        top=top,
        test=Distribution.of([entry.result.test.mean for entry in ranked]),
        top_test=Distribution.of([entry.result.test.mean for entry in top]),
        parameters=Distribution.of([entry.result.parameters for entry in top]),
        seconds=Distribution.of([entry.result.seconds for entry in ranked]),
    )


def compare(
    summaries: Sequence[VariantSummary], baseline: str = "V", level: float = LEVEL
) -> dict[str, Comparison | NotEnough]:
    """Compares the best tenth of every variant with the baseline's (section 5.1 of the paper).

    Welch's t-test as in the paper, with Holm's correction over the comparisons that could be made:
    where no variant differs, the chance that any is called different is at most `level`. A variant
    whose best tenth holds a score far above the others has a large variance, and Welch's test then
    shows no difference where the ranks (Mann-Whitney) may.

    Args:
        summaries: one for each variant.
        baseline: code of the variant that the others are compared with.
        level: of the verdicts.

    Returns:
        A comparison for each variant but the baseline, or what it lacks.
    """
    from scipy import stats
    from statsmodels.stats import multitest

    by_variant = {summary.variant: summary for summary in summaries}
    lacking = {
        variant: _lack(by_variant.get(baseline), baseline) or _lack(summary, variant)
        for variant, summary in by_variant.items()
        if variant != baseline
    }
    tested = [variant for variant, lack in lacking.items() if lack is None]
    results: dict[str, Comparison | NotEnough] = {
        variant: lack for variant, lack in lacking.items() if lack is not None
    }
    if tested:
        reference = scores_of(by_variant[baseline].top)
        scores = {variant: scores_of(by_variant[variant].top) for variant in tested}
        welch = {
            variant: stats.ttest_ind(scores[variant], reference, equal_var=False)
            for variant in tested
        }
        p = [float(welch[variant].pvalue) for variant in tested]
        holm = multitest.multipletests(p, method="holm")[1]
        bonferroni = multitest.multipletests(p, method="bonferroni")[1]
        for place, variant in enumerate(tested):
            difference = float(scores[variant].mean() - reference.mean())
            significant = "worse" if difference > 0.0 else "better"
            g, interval = effect_size(scores[variant], reference)
            results[variant] = Comparison(
                variant=variant,
                baseline=baseline,
                count=len(scores[variant]),
                baseline_count=len(reference),
                difference=difference,
                t=float(welch[variant].statistic),
                degrees_of_freedom=float(welch[variant].df),
                p=p[place],
                p_holm=float(holm[place]),
                p_bonferroni=float(bonferroni[place]),
                hedges_g=g,
                g_interval=interval,
                p_mann_whitney=float(stats.mannwhitneyu(scores[variant], reference).pvalue),
                verdict=significant if holm[place] < level else "no difference shown",
            )
    return {variant: results[variant] for variant in lacking}


def _lack(summary: VariantSummary | None, variant: str) -> NotEnough | None:
    """Says what the best tenth of a variant lacks for a test."""
    if summary is None:
        return NotEnough(f"{variant} has no finished trial to compare with")
    if len(summary.top) < FEWEST:
        trials = "1 trial" if len(summary.top) == 1 else f"{len(summary.top)} trials"
        return NotEnough(f"the best tenth of {variant} has {trials}; a test needs {FEWEST}")
    if summary.top_test.minimum == summary.top_test.maximum:
        return NotEnough(f"all trials in the best tenth of {variant} have the same test score")
    return None


def effect_size(
    scores: np.ndarray, reference: np.ndarray
) -> tuple[float, tuple[float, float]]:
    """Computes Hedges' g and its 95 % bootstrap interval.

        g = J(ν) (mean(scores) - mean(reference)) / s,   ν = n + m - 2

    with s the pooled standard deviation and J(ν) = Γ(ν/2) / (√(ν/2) Γ((ν-1)/2)), which makes g
    unbiased for normal scores (Hedges 1981, *Distribution theory for Glass's estimator of effect
    size and related estimators*). The interval is the percentile interval of resampling both sides;
    its seed is fixed, so that the same trials give the same report.

    Args:
        scores: float64 of shape [n].
        reference: float64 of shape [m].

    Example:
        >>> g, (low, high) = effect_size(np.array([3.0, 4.0, 5.0]), np.array([1.0, 2.0, 3.0]))
        >>> round(g, 4), low < g < high
        (1.5958, True)
    """
    generator = np.random.default_rng(_SEED)
    resampled = [
        side[generator.integers(len(side), size=(_RESAMPLES, len(side)))]
        for side in (scores, reference)
    ]
    low, high = np.quantile(_hedges_g(*resampled), [0.025, 0.975])
    return float(_hedges_g(scores, reference)), (float(low), float(high))


def _hedges_g(scores: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Hedges' g along the last axis."""
    from scipy.special import gammaln

    n, m = scores.shape[-1], reference.shape[-1]
    freedom = n + m - 2
    correction = math.exp(gammaln(freedom / 2) - gammaln((freedom - 1) / 2)) / math.sqrt(
        freedom / 2
    )
    squares = n * scores.var(axis=-1) + m * reference.var(axis=-1)
    difference = scores.mean(axis=-1) - reference.mean(axis=-1)
    # A resample can hold one trial over and over: without any spread.
    with np.errstate(divide="ignore", invalid="ignore"):
        g = correction * difference / np.sqrt(squares / freedom)
    return np.where(difference == 0.0, 0.0, g)


def expected_best(variant: str, entries: Sequence[Entry]) -> ExpectedBest:
    """Estimates the score of the best of n trials, for every n up to all of them.

    For n draws with replacement from the N finished trials, of which the k-th best by validation is
    chosen with probability ((N - k + 1)ⁿ - (N - k)ⁿ) / Nⁿ (Dodge et al. 2019, *Show Your Work:
    Improved Reporting of Experimental Results*, https://aclanthology.org/D19-1224). Draws repeat,
    so the estimate is biased: for n near N it is worse than what n new trials would give (Tang et
    al. 2020, *Showing Your Work Doesn't Always Work*,
    https://aclanthology.org/2020.acl-main.246).

    Args:
        variant: code.
        entries: finished trials, at least one.
    """
    ranked = best_first(entries)
    count = len(ranked)
    validation = np.array([entry.result.validation.mean for entry in ranked])
    draws = np.arange(1, count + 1)[:, None]
    at_least = (np.arange(count, -1, -1) / count) ** draws
    chosen = at_least[:, :-1] - at_least[:, 1:]
    expected = chosen @ validation
    variance = (chosen * (validation - expected[:, None]) ** 2).sum(axis=1)
    return ExpectedBest(
        variant=variant,
        validation=tuple(map(float, expected)),
        test=tuple(map(float, chosen @ scores_of(ranked))),
        spread=tuple(map(float, np.sqrt(variance))),
    )
