"""Statistics of a study's trials: summaries, comparisons with vanilla, expected best of n."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from tuner.analysis.statistics import resampling
from tuner.analysis.statistics.resampling import Moments, Ranked
from tuner.study.ledger import best_first
from tuner.training.protocol import TrialRecord

LEVEL = 0.05
"""Significance level of the tests over all comparisons of a study (section 5.1 of the paper)."""

BASELINE = "V"
"""The variant that the others are compared with."""

FEWEST = 3
"""Number of trials that a best tenth needs for a test."""

_POWER = 0.8


@dataclasses.dataclass(frozen=True)
class InsufficientData:
    """Stands in for a result for which the trials are too few or too similar.

    Attributes:
        label: text for a cell of a table.
        reason: what is lacking, as a clause: "the best tenth of NFG has 2 trials; a test needs
            3".
    """

    label: ClassVar[str] = "no test"
    reason: str


@dataclasses.dataclass(frozen=True)
class TooFewTrials(InsufficientData):
    """Stands in for a comparison of best tenths with fewer than `FEWEST` trials."""

    label: ClassVar[str] = "not enough trials"


@dataclasses.dataclass(frozen=True)
class NotDrawnAtRandom(InsufficientData):
    """Stands in for a result that assumes trials drawn at random."""


@dataclasses.dataclass(frozen=True)
class Distribution:
    """The numbers that a box plot shows.

    Attributes:
        count: number of values.
        minimum: the smallest.
        lower_quartile: a quarter of the values are below.
        median: half of the values are below.
        mean: the mean.
        upper_quartile: three quarters of the values are below.
        maximum: the largest.
    """

    count: int
    minimum: float
    lower_quartile: float
    median: float
    mean: float
    upper_quartile: float
    maximum: float

    @property
    def tukey_fence(self) -> float:
        """Tukey's outer fence: 3 interquartile ranges above the upper quartile.

        Tukey 1977, *Exploratory Data Analysis*. Untrained or overshooting networks score beyond it.
        """
        return self.upper_quartile + 3 * (self.upper_quartile - self.lower_quartile)

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Describes values; quartiles are interpolated linearly, as by default in NumPy.

        Args:
            values: finite values, at least one.

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
    """A summary of the trials of one variant.

    Attributes:
        variant: code of the variant.
        planned: number of rows of the design.
        failed: number of trials that could not be finished.
        ranked: all finished trials, the best by validation first.
        test: their test scores.
        top_test: test scores of the best tenth.
        parameters: numbers of trainable weights in the best tenth.
        seconds: training times of all finished trials.
    """

    variant: str
    planned: int
    failed: int
    ranked: tuple[TrialRecord, ...]
    test: Distribution
    top_test: Distribution
    parameters: Distribution
    seconds: Distribution

    @property
    def finished(self) -> int:
        """Number of finished trials."""
        return len(self.ranked)

    @property
    def diverged(self) -> int:
        """Number of finished trials that diverged."""
        return sum(entry.result.diverged for entry in self.ranked)

    @property
    def best(self) -> TrialRecord:
        """The trial with the best validation score."""
        return self.ranked[0]

    @property
    def top(self) -> tuple[TrialRecord, ...]:
        """The best tenth by validation, rounded up, best first."""
        return _best_tenth(self.ranked)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A comparison of the test scores of a variant's best tenth with those of the baseline's.

    Attributes:
        variant: code of the variant.
        baseline: code of the variant that it is compared with.
        count: number of trials in the variant's best tenth.
        baseline_count: number of trials in the baseline's best tenth.
        difference: mean test score minus the baseline's, in the metric's unit: positive is worse.
        difference_interval: its 90% interval, d ± t_0.95(ν) SE with the bootstrap's SE, which
            repeats the selection of the best tenths. A difference outside is rejected by two
            one-sided tests at 5%, for this comparison alone (Schuirmann 1987, *A comparison of the
            two one-sided tests procedure and the power approach*).
        t: Welch's statistic for that difference.
        degrees_of_freedom: degrees of freedom of `t`, by Welch and Satterthwaite.
        p: two-sided p of Welch's test, for this comparison alone.
        p_holm: p after Holm's correction for all comparisons made with the baseline.
        p_bonferroni: p after Bonferroni's correction for the same comparisons.
        hedges_g: the difference in pooled standard deviations, corrected for small samples.
        g_interval: its 95% bootstrap interval, which repeats the selection of the best tenths; an
            end can be infinite if the best tenths are very small.
        p_mann_whitney: two-sided p of the Mann-Whitney test for this comparison alone: a check that
            does not assume normal scores.
        p_permutation: two-sided p, for this comparison alone, of a permutation test that repeats
            the selection of the best tenths (`tuner.analysis.statistics.resampling`).
        p_permutation_holm: `p_permutation` after Holm's correction.
        detectable: the approximate smallest true difference, in the metric's unit, that would be
            detected with a probability of 80%.
        verdict: "worse" or "better" if `p_holm` and `p_permutation_holm` are both below the level,
            else "no difference shown".
    """

    variant: str
    baseline: str
    count: int
    baseline_count: int
    difference: float
    difference_interval: tuple[float, float]
    t: float
    degrees_of_freedom: float
    p: float
    p_holm: float
    p_bonferroni: float
    hedges_g: float
    g_interval: tuple[float, float]
    p_mann_whitney: float
    p_permutation: float
    p_permutation_holm: float
    detectable: float
    verdict: str


@dataclasses.dataclass(frozen=True)
class ExpectedBest:
    """The expected best of n trials, for n = 1 to all of them; index 0 is n = 1.

    Attributes:
        variant: code of the variant.
        validation: expected validation score of the best by validation.
        test: expected test score of that same trial.
        std: standard deviation of the validation score of the best.
    """

    variant: str
    validation: tuple[float, ...]
    test: tuple[float, ...]
    std: tuple[float, ...]


def _best_tenth(ranked: tuple[TrialRecord, ...]) -> tuple[TrialRecord, ...]:
    return ranked[: math.ceil(len(ranked) / 10)]


def summarize(
    variant: str, entries: Sequence[TrialRecord], failed: int, planned: int
) -> VariantSummary:
    """Summarizes the finished trials of a variant.

    The best tenth is chosen by validation and judged by test, as in section 5.1 of the paper (20 of
    200 trials); it is rounded up.

    Args:
        variant: code of the variant.
        entries: finished trials, at least one.
        failed: number of trials that could not be finished.
        planned: number of rows of the design.
    """
    ranked = tuple(best_first(entries))
    top = _best_tenth(ranked)
    return VariantSummary(
        variant=variant,
        planned=planned,
        failed=failed,
        ranked=ranked,
        test=Distribution.of([entry.result.test.mean for entry in ranked]),
        top_test=Distribution.of([entry.result.test.mean for entry in top]),
        parameters=Distribution.of([entry.result.parameters for entry in top]),
        seconds=Distribution.of([entry.result.seconds for entry in ranked]),
    )


def compare(
    summaries: Sequence[VariantSummary], baseline: str = BASELINE, level: float = LEVEL
) -> dict[str, Comparison | InsufficientData]:
    """Compares the best tenth of every variant with the baseline's (section 5.1 of the paper).

    Uses Welch's t-test, as in the paper, and a permutation test that repeats the selection of the
    best tenth; each with Holm's correction over the comparisons that could be made. A difference is
    reported only if both tests find it: where test scores follow validation closely, Welch's test
    alone finds one in a third of all studies of equal variants, the verdict here in at most 5%
    (`docs/studies/comparisons.csv`). A best tenth with one score far above the others has a
    large variance, and neither test then finds a difference that the ranks (Mann-Whitney) may show.

    Args:
        summaries: one for each variant.
        baseline: code of the variant that the others are compared with.
        level: significance level of the verdicts.

    Returns:
        For each variant except the baseline, a comparison or what is lacking for one.
    """
    by_variant = {summary.variant: summary for summary in summaries}
    reference = by_variant.get(baseline)
    lacking = {
        variant: _lack(reference, baseline) or _lack(summary, variant)
        for variant, summary in by_variant.items()
        if variant != baseline
    }
    tested = [by_variant[variant] for variant, lack in lacking.items() if lack is None]
    made = _compare(tested, reference, level) if reference and tested else {}
    return {variant: lack or made[variant] for variant, lack in lacking.items()}


def _compare(
    summaries: Sequence[VariantSummary], baseline: VariantSummary, level: float
) -> dict[str, Comparison]:
    """Compares best tenths that are all large enough for a test."""
    from scipy import stats
    from statsmodels.stats.multitest import multipletests

    scores = [Ranked.of(summary.ranked, len(summary.top)) for summary in summaries]
    reference = Ranked.of(baseline.ranked, len(baseline.top))
    welch = [stats.ttest_ind(own.top_test, reference.top_test, equal_var=False) for own in scores]
    p = [float(result.pvalue) for result in welch]
    p_permutation = [resampling.permutation_p(own, reference) for own in scores]
    p_holm, p_bonferroni = (multipletests(p, method=name)[1] for name in ("holm", "bonferroni"))
    p_permutation_holm = multipletests(p_permutation, method="holm")[1]
    moments = Moments.of(reference.top_test)
    drawn = resampling.resample(reference, baseline.variant)
    results = {}
    for place, (summary, own) in enumerate(zip(summaries, scores, strict=True)):
        difference = float(own.top_test.mean() - reference.top_test.mean())
        redrawn = resampling.resample(own, summary.variant)
        freedom = float(welch[place].df)
        error = float((redrawn.mean - drawn.mean).std())
        within = error * float(stats.t.ppf(1 - level, freedom))
        significant = max(p_holm[place], p_permutation_holm[place]) < level
        direction = "worse" if difference > 0.0 else "better"
        results[summary.variant] = Comparison(
            variant=summary.variant,
            baseline=baseline.variant,
            count=own.top,
            baseline_count=reference.top,
            difference=difference,
            difference_interval=(difference - within, difference + within),
            t=float(welch[place].statistic),
            degrees_of_freedom=freedom,
            p=p[place],
            p_holm=float(p_holm[place]),
            p_bonferroni=float(p_bonferroni[place]),
            hedges_g=float(resampling.hedges_g(Moments.of(own.top_test), moments)),
            g_interval=resampling.interval(resampling.hedges_g(redrawn, drawn)),
            p_mann_whitney=float(stats.mannwhitneyu(own.top_test, reference.top_test).pvalue),
            p_permutation=p_permutation[place],
            p_permutation_holm=float(p_permutation_holm[place]),
            detectable=float(
                error
                * (stats.t.ppf(1 - level / len(p) / 2, freedom) + stats.t.ppf(_POWER, freedom))
            ),
            verdict=direction if significant else "no difference shown",
        )
    return results


def _lack(summary: VariantSummary | None, variant: str) -> InsufficientData | None:
    """Returns what the best tenth of a variant lacks for a test, if anything."""
    if summary is None:
        return TooFewTrials(f"{variant} has no finished trial to compare with")
    if len(summary.top) < FEWEST:
        trials = "1 trial" if len(summary.top) == 1 else f"{len(summary.top)} trials"
        return TooFewTrials(f"the best tenth of {variant} has {trials}; a test needs {FEWEST}")
    if summary.top_test.minimum == summary.top_test.maximum:
        return InsufficientData(
            f"all trials in the best tenth of {variant} have the same test score"
        )
    return None


def expected_best(variant: str, entries: Sequence[TrialRecord]) -> ExpectedBest:
    """Estimates the score of the best of n trials, for every n up to all of them.

    Considers n draws with replacement from the N finished trials; the k-th best by validation wins
    with probability ((N - k + 1)ⁿ - (N - k)ⁿ) / Nⁿ (Dodge et al. 2019, *Show Your Work: Improved
    Reporting of Experimental Results*, https://aclanthology.org/D19-1224). Draws repeat, so the
    estimate is biased: for n near N, it is worse than n new trials would be (Tang et al. 2020,
    *Showing Your Work Doesn't Always Work*,
    https://aclanthology.org/2020.acl-main.246).

    Args:
        variant: code of the variant.
        entries: finished trials, at least one.
    """
    count = len(entries)
    scores = Ranked.of(best_first(entries), top=1)
    draws = np.arange(1, count + 1)[:, None]
    at_least = (np.arange(count, -1, -1) / count) ** draws
    chosen = at_least[:, :-1] - at_least[:, 1:]
    expected = chosen @ scores.validation
    variance = (chosen * (scores.validation - expected[:, None]) ** 2).sum(axis=1)
    return ExpectedBest(
        variant=variant,
        validation=tuple(map(float, expected)),
        test=tuple(map(float, chosen @ scores.test)),
        std=tuple(map(float, np.sqrt(variance))),
    )
