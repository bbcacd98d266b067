"""Whether comparisons of variants agree with a claim, by criteria fixed beforehand.

A test that shows nothing is not evidence of equality. That takes a test of equivalence: an interval
of the difference that lies within a margin.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

from common import text
from tuner.analysis.statistics.summaries import Comparison
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.words.verdicts import AGREES, DIFFERS, MARGIN, UNDECIDED, Judge, Verdict

ENOUGH = 10
"""Minimum number of trials in a best tenth for its interval to be trusted: half of the paper's."""

_Missing = dict[str, str]
"""Reasons why variants could not be compared, by variant."""


@dataclasses.dataclass(frozen=True)
class _Margin:
    """The smallest difference that counts, in the metric's unit."""

    size: float
    unit: str

    def excludes_gain(self, one: Comparison) -> bool:
        """Returns whether a variant is not better by this size: its interval ends before it."""
        return _smaller(one) >= ENOUGH and one.difference_interval[0] > -self.size

    def excludes_loss(self, one: Comparison) -> bool:
        """Returns whether a variant is not worse by this size."""
        return _smaller(one) >= ENOUGH and one.difference_interval[1] < self.size

    def excludes_both(self, one: Comparison) -> bool:
        """Returns whether a variant is equivalent to the baseline."""
        return self.excludes_gain(one) and self.excludes_loss(one)


def _compared(judge: Callable[[list[Comparison], _Missing, _Margin], Verdict]) -> Judge:
    """Makes a judge from a function of the comparisons (at least one) of some or all variants."""

    @functools.wraps(judge)
    def judged(analysis: StudyAnalysis, *variants: str) -> Verdict:
        made, missing = [], {}
        for variant in variants or analysis.comparisons:
            result = analysis.comparisons.get(variant)
            if isinstance(result, Comparison):
                made.append(result)
            else:
                missing[variant] = result.reason if result else f"{variant} has no finished trial"
        if not made:
            return _without(missing), UNDECIDED
        means = {one.variant: one.top_test.mean for one in analysis.summaries}
        size = MARGIN * abs(means[made[0].baseline])
        return judge(made, missing, _Margin(size, analysis.metric.unit))

    return judged


@_compared
def none_better(made: list[Comparison], missing: _Missing, margin: _Margin) -> Verdict:
    """Agrees if no variant with finished trials is better by the margin, otherwise undecided.

    Differs if one is significantly better.
    """
    better = [one.variant for one in made if one.verdict == "better"]
    if better:
        return f"Significantly better: {text.listed(better)}.", DIFFERS
    return _nothing_shown("gain", made, missing, margin, margin.excludes_gain)


@_compared
def worse(made: list[Comparison], missing: _Missing, margin: _Margin) -> Verdict:
    """Agrees if all are significantly worse; differs if one is better or not worse by a margin."""
    found = _described(made, missing)
    others = [one for one in made if one.verdict != "worse"]
    if any(one.verdict == "better" or margin.excludes_loss(one) for one in others):
        return found, DIFFERS
    return found, UNDECIDED if missing or others else AGREES


@_compared
def alike(made: list[Comparison], missing: _Missing, margin: _Margin) -> Verdict:
    """Agrees if all are equivalent within the margin; differs if one differs significantly."""
    if any(one.verdict in ("worse", "better") for one in made):
        return _described(made, missing), DIFFERS
    return _nothing_shown("difference", made, missing, margin, margin.excludes_both)


@_compared
def no_gain(made: list[Comparison], missing: _Missing, margin: _Margin) -> Verdict:
    """Agrees if a variant is worse, or not better by the margin; differs if it is better."""
    verdicts = {"better": DIFFERS, "worse": AGREES}
    if made[0].verdict in verdicts:
        return _described(made, missing), verdicts[made[0].verdict]
    return _nothing_shown("gain", made, missing, margin, margin.excludes_gain)


def _smaller(comparison: Comparison) -> int:
    return min(comparison.count, comparison.baseline_count)


def _nothing_shown(
    what: str,
    made: Sequence[Comparison],
    missing: _Missing,
    margin: _Margin,
    excludes: Callable[[Comparison], bool],
) -> Verdict:
    """Describes and judges comparisons of which none shows what is asked for."""
    smallest = min(map(_smaller, made))
    codes = text.listed([one.variant for one in made])
    reference = f"{100 * MARGIN:.0f} % of {made[0].baseline}'s score"
    size = f"a {what} of {text.significant(margin.size, 2)} {margin.unit} ({reference})"
    not_excluded = [one.variant for one in made if not excludes(one)]
    found = f"No {what} is shown: {codes}, best tenths of {smallest} trials or more; "
    if smallest < ENOUGH:
        found += f"fewer than {ENOUGH} are too few to call that agreement"
    elif not_excluded:
        found += f"{size} is not ruled out for {text.listed(not_excluded)}"
    else:
        found += f"{size} is ruled out"
    found += f"; {_resolution(made)}"
    if missing:
        found += f"; {_without(missing).rstrip('.')}"
    return f"{found}.", UNDECIDED if not_excluded or missing else AGREES


def _resolution(made: Sequence[Comparison]) -> str:
    """Describes how small a difference the comparisons can detect."""
    low = min(one.difference_interval[0] for one in made)
    high = max(one.difference_interval[1] for one in made)
    detectable = max(one.detectable for one in made)
    intervals = "interval" if len(made) == 1 else "intervals within"
    return (
        f"90 % {intervals} {text.significant(low, 2)} to {text.significant(high, 2)}, minimum "
        f"detectable difference (80 % power) {text.significant(detectable, 2)}"
    )


def _described(made: Sequence[Comparison], missing: _Missing) -> str:
    words = "; ".join(
        f"{one.variant} {one.verdict} (g {text.significant(one.hedges_g, 2)}, "
        f"p {text.p_value(max(one.p_holm, one.p_permutation_holm))}"
        + (")" if one.verdict in ("worse", "better") else f"; {_resolution([one])})")
        for one in made
    )
    return f"{words}; {_without(missing)}" if missing else f"{words}."


def _without(missing: _Missing) -> str:
    if not missing:
        return "There is no other variant."
    reasons = dict.fromkeys(missing.values())
    return f"{text.listed(list(missing))} not compared: {'; '.join(reasons)}."
