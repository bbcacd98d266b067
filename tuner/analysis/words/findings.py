"""What a study found, in words made from its numbers.

No sentence says more than its evidence: "significantly" stands only where the tests say so, a test
that shows nothing is not called equality, and what there are too few trials for is said to be so.
"""

from __future__ import annotations

import dataclasses
import statistics as stdlib
from collections.abc import Iterator, Sequence

from tuner.analysis.importance.factors import VARIANT
from tuner.analysis.importance.importance import Importance
from tuner.analysis.statistics.evidence import InsufficientData
from tuner.analysis.statistics.summaries import FEWEST, LEVEL, Comparison, ExpectedBest
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.words import lookup, notation, wording
from tuner.study.progress import duration
from tuner.tasks.task import Metric
from tuner.training.protocol import TrialRecord

NEAR = 0.01
"""How near a score has to come to the best to be called as good, relative to it."""

FEWEST_FOR_SEARCH = 10
"""Finished trials of a variant from which on its search is judged."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One sentence with its evidence.

    Attributes:
        text: the sentence.
        evidence: the test or the numbers that it rests on.
        figure: name of the figure that shows it, which may not have been drawn.
    """

    text: str
    evidence: str
    figure: str


def find(analysis: StudyAnalysis) -> tuple[Finding, ...]:
    """Says in words what the trials of a study show, the most important first.

    Args:
        analysis: of the study.
    """
    return tuple(_findings(analysis))


def _findings(analysis: StudyAnalysis) -> Iterator[Finding]:
    planned = sum(analysis.records.planned.values())
    if analysis.best is None:
        text = "No trial is finished yet: nothing can be said."
        yield Finding(text, f"{wording.counted(planned, 'planned trial')}.", "variants")
        return
    yield _best(analysis, analysis.best.best)
    if lookup.unfinished(analysis):
        yield _unfinished(analysis)
    yield from _compared(analysis)
    yield from _importance(analysis)
    yield _search(analysis.expected_best)
    yield _time(analysis)
    yield _diverged(analysis)


def _best(analysis: StudyAnalysis, best: TrialRecord) -> Finding:
    metric = analysis.metric
    result, finished = best.result, wording.counted(analysis.records.finished, "finished trial")
    return Finding(
        f"The best model by validation is {best.trial.variant} (trial {best.trial.index}): test "
        f"{metric.name} {notation.significant(result.test.mean)} {metric.unit}.",
        f"Validation {notation.significant(result.validation.mean)} at epoch {result.best_epoch}, "
        f"the lowest of {finished}. One trial says little about its variant.",
        "variants",
    )


def _unfinished(analysis: StudyAnalysis) -> Finding:
    records = analysis.records
    waiting = [trial for trials in records.waiting.values() for trial in trials]
    finished = [entry.trial for entries in records.entries.values() for entry in entries]
    medians = [stdlib.median(trial.units for trial in trials) for trials in (finished, waiting)]
    return Finding(
        f"The study is not complete: {len(waiting):,} of {sum(records.planned.values()):,} trials "
        "have not ended. The longest are done first, so that the finished ones are a biased sample "
        "of the search space, and every statement here is for the time being.",
        f"Median size: {medians[0]:.0f} units in the finished trials, {medians[1]:.0f} in those "
        "that have not ended.",
        "axes",
    )


def _compared(analysis: StudyAnalysis) -> Iterator[Finding]:
    """Variants against the baseline."""
    results = analysis.comparisons.values()
    made = [result for result in results if isinstance(result, Comparison)]
    for verdict in ("worse", "better"):
        some = [comparison for comparison in made if comparison.verdict == verdict]
        if some:
            yield _different(some, verdict, len(made), analysis.metric)
    if made and not any(comparison.verdict == "better" for comparison in made):
        yield _nothing_better(made)
    alike = [comparison for comparison in made if comparison.verdict == "no difference shown"]
    if alike:
        yield _not_shown(alike, analysis.metric)
        yield from _disputed(alike, len(made))
    lacking = {
        variant: result.reason
        for variant, result in analysis.comparisons.items()
        if isinstance(result, InsufficientData)
    }
    if lacking:
        yield _not_compared(lacking)


def _different(
    comparisons: Sequence[Comparison], verdict: str, made: int, metric: Metric
) -> Finding:
    codes = wording.listed([comparison.variant for comparison in comparisons])
    baseline = comparisons[0].baseline
    have = "has" if len(comparisons) == 1 else "have"
    return Finding(
        f"{codes} {have} significantly {verdict} test scores than {baseline} in the best tenth of "
        "the trials.",
        "; ".join(
            f"{one.variant} {wording.difference(one.difference, metric)}, Hedges' g {_g(one)}, "
            f"{_both(one)}"
            for one in comparisons
        )
        + f". Both p after Holm's correction for {wording.counted(made, 'comparison')}; g with its "
        "95 % bootstrap interval.",
        "variants",
    )


def _nothing_better(made: Sequence[Comparison]) -> Finding:
    lowest = min(made, key=lambda one: one.difference)
    counts = sorted({comparison.count for comparison in made})
    sizes = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    mean = (
        f"the lowest mean is that of {lowest.variant} ({_both(lowest)}, after Holm's correction)"
        if lowest.difference < 0
        else "none has a lower mean"
    )
    return Finding(
        f"No variant is significantly better than {made[0].baseline}.",
        f"{wording.counted(len(made), 'variant')} compared, best tenths of {sizes} trials; {mean}.",
        "variants",
    )


def _not_shown(comparisons: Sequence[Comparison], metric: Metric) -> Finding:
    low, high = (
        notation.significant(end([comparison.detectable for comparison in comparisons]), 2)
        for end in (min, max)
    )
    size = low if low == high else f"{low} to {high}"
    welch = min(comparison.p_holm for comparison in comparisons)
    permutation = min(comparison.p_permutation_holm for comparison in comparisons)
    return Finding(
        f"For {wording.listed([comparison.variant for comparison in comparisons])} no difference "
        f"from {comparisons[0].baseline} is shown. That is not the same as no difference: a true "
        f"one has to be about {size} {metric.unit} to be found with a chance of 80 %.",
        f"Smallest p after Holm's correction: Welch's test p {_p(welch)}, permutation test "
        f"p {_p(permutation)}; sizes by the bootstrap standard error of the difference.",
        "variants",
    )


def _disputed(alike: Sequence[Comparison], made: int) -> Iterator[Finding]:
    """Where one test alone sees a difference."""
    by_welch = [one for one in alike if one.p_holm < LEVEL]
    if by_welch:
        codes = wording.listed([one.variant for one in by_welch])
        yield Finding(
            f"Welch's test alone, which the paper used, would call {codes} different from "
            f"{by_welch[0].baseline}; it takes the best tenths as if they had not been chosen.",
            "; ".join(
                f"{one.variant}: {_both(one)}" for one in by_welch
            )
            + ", after Holm's correction. The permutation test makes the choice again.",
            "variants",
        )
    by_rank = [
        one for one in alike if one not in by_welch and made * one.p_mann_whitney < LEVEL
    ]
    if by_rank:
        codes = wording.listed([one.variant for one in by_rank])
        yield Finding(
            f"By ranks, {codes} would differ from {by_rank[0].baseline}, by means not: scores far "
            "from the others may hide the difference, or the ranks overstate it.",
            "Mann-Whitney on the best tenths, which takes them as if they had not been chosen, "
            "after Bonferroni's correction: "
            + "; ".join(f"{one.variant} p {_p(made * one.p_mann_whitney)}" for one in by_rank)
            + ".",
            "variants",
        )


def _not_compared(lacking: dict[str, str]) -> Finding:
    reasons: dict[str, list[str]] = {}
    for variant, reason in lacking.items():
        reasons.setdefault(reason, []).append(variant)
    return Finding(
        f"Whether {wording.listed(list(lacking))} {_differ(lacking)} from V cannot be said.",
        f"{wording.capitalized('; '.join(reasons))}. A best tenth of {FEWEST} trials takes "
        f"{10 * (FEWEST - 1) + 1} finished ones.",
        "variants",
    )


def _differ(variants: dict[str, str]) -> str:
    return "differs" if len(variants) == 1 else "differ"


def search_needed(expected: ExpectedBest) -> int:
    """Counts the trials whose best is expected to be about as good as the best of all.

    Args:
        expected: of a variant.

    Returns:
        The least n whose expected test score is within `NEAR` of that of all trials.
    """
    last = expected.test[-1]
    near = [number for number, score in enumerate(expected.test) if score <= (1 + NEAR) * last]
    # Test scores may rise again: the best by validation need not be the best by test.
    above = [number for number in range(len(expected.test)) if number not in near]
    return max(above, default=-1) + 2


def _search(expected: Sequence[ExpectedBest]) -> Finding:
    long = [one for one in expected if len(one.test) >= FEWEST_FOR_SEARCH]
    if not long:
        return Finding(
            "How much more search would gain cannot be said yet.",
            f"No variant has {FEWEST_FOR_SEARCH} finished trials.",
            "expected_best",
        )
    needed = {one.variant: (search_needed(one), len(one.test)) for one in long}
    most = max(needed, key=lambda variant: needed[variant][0])
    least = min(needed, key=lambda variant: needed[variant][0])
    trials = (
        f"{needed[least][0]} ({least}) to {needed[most][0]} trials ({most})"
        if least != most
        else f"{wording.counted(needed[most][0], 'trial')} ({most})"
    )
    return Finding(
        f"To come within {100 * NEAR:.0f} % of the best that all trials of a variant found takes "
        f"{trials} on average.",
        "Expected test score of the best by validation of n of the "
        + wording.listed([f"{needed[code][1]} ({code})" for code in dict.fromkeys((least, most))])
        + " finished trials, drawn with replacement; that estimate is too high for n near their "
        "number.",
        "expected_best",
    )


def _importance(analysis: StudyAnalysis) -> Iterator[Finding]:
    result = lookup.choose(analysis, "test", lookup.POOLED_FIRST)
    if result is None:
        text = "Which hyperparameter matters cannot be said."
        yield Finding(text, lookup.why_none(analysis, lookup.POOLED_FIRST), "importance")
        return
    yield _first_factor(analysis, result)
    if result.pairs:
        yield _together(result)


def _first_factor(analysis: StudyAnalysis, result: Importance) -> Finding:
    first, *others = lookup.ranked(result)
    name = lookup.WORDS[first.names[0]]
    score = "the test score" if result.variant is None else f"the test score of {result.variant}"
    if others and not lookup.clearly_above(first, others[0]):
        text = (
            f"{wording.capitalized(name)} comes first in explaining the variance of {score} "
            f"({wording.share(first)}), but not clearly before "
            f"{lookup.WORDS[others[0].names[0]]} ({wording.share(others[0])})."
        )
    else:
        most = "most of the" if first.share > 0.5 else "the largest part of the"
        text = (
            f"{wording.capitalized(name)} explains {most} variance of {score}: "
            f"{wording.share(first)}."
        )
    own = [
        one
        for (variant, target), one in analysis.importance.items()
        if target == "test" and variant is not None and isinstance(one, Importance)
    ]
    evidence = (
        f"Functional ANOVA ({result.backend}) of {lookup.whose(result)}, ± standard deviation "
        f"over the trees; {lookup.reliability(result)}."
    )
    if own:
        leaders = [lookup.ranked(one)[0].names[0] for one in own]
        # Within a variant, no trial differs in its variant.
        leader = stdlib.mode(leaders) if first.names[0] == VARIANT else first.names[0]
        evidence += (
            f" {wording.capitalized(lookup.WORDS[leader])} comes first in "
            f"{leaders.count(leader)} of {wording.counted(len(own), 'variant')} that could be "
            "analyzed alone."
        )
    return Finding(text, evidence, "importance")


def _together(result: Importance) -> Finding:
    total = lookup.interactions(result)
    largest = max(result.pairs, key=lambda effect: effect.share)
    names = wording.listed([lookup.WORDS[name] for name in largest.names])
    return Finding(
        f"All interactions together explain {wording.share(total)}; the largest is that of "
        f"{names} ({wording.share(largest)}).",
        f"Functional ANOVA ({result.backend}) of {lookup.whose(result)}: all pairs and what only "
        "three and more explain together.",
        "interactions",
    )


def _time(analysis: StudyAnalysis) -> Finding:
    summaries = analysis.summaries
    total = sum(summary.seconds.mean * summary.seconds.count for summary in summaries)
    text = f"Training took {duration(total)} in all, summed over the trials"
    result = lookup.choose(analysis, "seconds", lookup.POOLED_FIRST)
    evidence = []
    if result is not None:
        first = lookup.ranked(result)[0]
        text += (
            f"; what decides the time of a trial most is {lookup.WORDS[first.names[0]]} "
            f"({wording.share(first)} of its variance)"
        )
        evidence.append(
            f"Functional ANOVA of the training time of {lookup.whose(result)}; "
            f"{lookup.reliability(result)}."
        )
    slow = max(summaries, key=lambda summary: summary.seconds.median)
    fast = min(summaries, key=lambda summary: summary.seconds.median)
    medians = [f"{duration(one.seconds.median)} ({one.variant})" for one in (fast, slow)]
    evidence.append(
        f"Median time of a trial: {medians[0]}."
        if fast is slow
        else f"Median time of a trial: {medians[0]} to {medians[1]}."
    )
    return Finding(f"{text}.", " ".join(evidence), "marginals")


def _diverged(analysis: StudyAnalysis) -> Finding:
    entries = [entry for trials in analysis.records.entries.values() for entry in trials]
    diverged = [entry for entry in entries if entry.result.diverged]
    finished = wording.counted(len(entries), "finished trial")
    failed = sum(summary.failed for summary in analysis.summaries)
    note = f" Beside them {wording.counted(failed, 'failed trial')}." if failed else ""
    if not diverged:
        return Finding("No trial diverged.", f"{finished}.{note}", "axes")
    most = max(analysis.summaries, key=lambda summary: summary.diverged / summary.finished)
    rates = [entry.trial.learning_rate for entry in diverged]
    return Finding(
        f"{len(diverged):,} of {finished} diverged "
        f"({notation.percent(len(diverged) / len(entries))}), the largest share in "
        f"{most.variant} ({most.diverged} of {most.finished}).",
        f"Learning rates of the diverged trials: {notation.significant(min(rates), 3)} to "
        f"{notation.significant(max(rates), 3)}. Each counts with its best epoch before.{note}",
        "axes",
    )


def _g(comparison: Comparison) -> str:
    low, high = (notation.significant(end, 3) for end in comparison.g_interval)
    return f"{notation.significant(comparison.hedges_g, 3)} [{low}, {high}]"


def _both(comparison: Comparison) -> str:
    return (
        f"Welch's test p {_p(comparison.p_holm)}, permutation test "
        f"p {_p(comparison.p_permutation_holm)}"
    )


def _p(value: float) -> str:
    text = notation.p_value(min(value, 1.0))
    return text if text.startswith("<") else f"= {text}"
