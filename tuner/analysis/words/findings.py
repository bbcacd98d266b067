"""What a study found, in words made from its numbers.

No sentence claims more than its evidence: "significantly" is used only where the tests say so, a
test that shows nothing is not called equality, and if there are too few trials, the text says so.
"""

from __future__ import annotations

import dataclasses
import math
import statistics as stdlib
from collections.abc import Iterator, Sequence
from typing import Literal

from common import text
from common.text import counted, listed
from tuner.analysis.importance.factors import VARIANT
from tuner.analysis.importance.importance import Importance
from tuner.analysis.statistics.progress import Progress
from tuner.analysis.statistics.summaries import (
    FEWEST,
    LEVEL,
    Comparison,
    ExpectedBest,
    InsufficientData,
    NotDrawnAtRandom,
    TooFewTrials,
)
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.words import lookup
from tuner.tasks.task import Metric
from tuner.training.protocol import TrialRecord

NEAR = 0.01
"""Relative distance from the best score within which a score counts as equally good."""

FEWEST_FOR_SEARCH = 10
"""Minimum number of finished trials of a variant for its search to be judged."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One sentence with its evidence.

    Attributes:
        text: the sentence.
        evidence: the test or the numbers that it rests on.
        figure: name of the figure that shows it, which may not have been drawn.
        kind: whether it says what was found, or what to do about it.
    """

    text: str
    evidence: str
    figure: str
    kind: Literal["finding", "guideline"] = "finding"


def find(analysis: StudyAnalysis) -> tuple[Finding, ...]:
    """Describes what the trials of a study show, the most important first."""
    return tuple(_findings(analysis))


def _findings(analysis: StudyAnalysis) -> Iterator[Finding]:
    planned = sum(analysis.records.planned.values())
    if analysis.best is None:
        sentence = "No trial has finished yet: there is nothing to report."
        yield Finding(sentence, f"{counted(planned, 'planned trial')}.", "variants")
        return
    yield _best(analysis, analysis.best.best)
    if lookup.unfinished(analysis):
        yield _unfinished(analysis)
    yield from _compared(analysis)
    yield from _importance(analysis)
    yield _followed(analysis.progress) if analysis.progress else _search(analysis)
    yield _time(analysis)
    yield _diverged(analysis)


def _best(analysis: StudyAnalysis, best: TrialRecord) -> Finding:
    metric = analysis.metric
    result, finished = best.result, counted(analysis.records.finished, "finished trial")
    return Finding(
        f"The best model by validation is {best.trial.variant} (trial {best.trial.index}): test "
        f"{metric.name} {text.significant(result.test.mean)} {metric.unit}.",
        f"Validation {text.significant(result.validation.mean)} at epoch {result.best_epoch}, "
        f"the lowest of {finished}. One trial says little about its variant.",
        "variants",
    )


def _unfinished(analysis: StudyAnalysis) -> Finding:
    records = analysis.records
    waiting = [trial for trials in records.waiting.values() for trial in trials]
    finished = [entry.trial for entry in records.all_entries]
    if records.drawn == "by results":
        return Finding(
            f"The study is incomplete: {counted(len(waiting), 'proposed trial')} "
            f"{'has' if len(waiting) == 1 else 'have'} not ended, and others may follow.",
            f"{counted(len(finished), 'trial')} have finished.",
            "progress",
        )
    medians = [stdlib.median(trial.units for trial in trials) for trials in (finished, waiting)]
    return Finding(
        f"The study is incomplete: {len(waiting):,} of {sum(records.planned.values()):,} trials "
        "have not ended. The longest run first, so the finished trials are a biased sample of the "
        "search space, and every statement here is preliminary.",
        f"Median size: {medians[0]:.0f} units in the finished trials, {medians[1]:.0f} in those "
        "that have not ended.",
        "axes",
    )


def _compared(analysis: StudyAnalysis) -> Iterator[Finding]:
    """Compares variants with the baseline."""
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
    if lacking and any(isinstance(one, NotDrawnAtRandom) for one in results):
        are = "is" if len(lacking) == 1 else "are"
        unable = f"{listed(list(lacking))} {are} not compared with V."
        yield Finding(unable, f"{text.capitalized(next(iter(lacking.values())))}.", "variants")
    elif lacking:
        evidence = f"{text.capitalized('; '.join(dict.fromkeys(lacking.values())))}."
        if any(isinstance(one, TooFewTrials) for one in results):
            least = 10 * (FEWEST - 1) + 1
            evidence += f" A best tenth of {FEWEST} trials needs {least} finished trials."
        unable = f"{listed(list(lacking))} could not be compared with V."
        yield Finding(unable, evidence, "variants")


def _different(
    comparisons: Sequence[Comparison], verdict: str, made: int, metric: Metric
) -> Finding:
    have = "has" if len(comparisons) == 1 else "have"
    return Finding(
        f"{listed([one.variant for one in comparisons])} {have} significantly {verdict} test "
        f"scores than {comparisons[0].baseline} in the best tenth of the trials.",
        "; ".join(
            f"{one.variant} {lookup.difference(one.difference, metric)}, Hedges' g {_g(one)}, "
            f"{_both(one)}"
            for one in comparisons
        )
        + f". Both p after Holm's correction for {counted(made, 'comparison')}; g with its "
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
        f"{counted(len(made), 'variant')} compared, best tenths of {sizes} trials; {mean}.",
        "variants",
    )


def _not_shown(comparisons: Sequence[Comparison], metric: Metric) -> Finding:
    detectable = [comparison.detectable for comparison in comparisons]
    low, high = (text.significant(end, 2) for end in (min(detectable), max(detectable)))
    size = low if low == high else f"{low} to {high}"
    welch = min(comparison.p_holm for comparison in comparisons)
    permutation = min(comparison.p_permutation_holm for comparison in comparisons)
    return Finding(
        f"No difference from {comparisons[0].baseline} is shown for "
        f"{listed([comparison.variant for comparison in comparisons])}, which is not evidence of "
        f"equality. Minimum detectable difference (80 % power): {size} {metric.unit}.",
        f"Smallest p after Holm's correction: Welch's test p {_p(welch)}, permutation test "
        f"p {_p(permutation)}; sizes by the bootstrap standard error of the difference.",
        "variants",
    )


def _disputed(alike: Sequence[Comparison], made: int) -> Iterator[Finding]:
    """Lists where only one of the tests finds a difference."""
    by_welch = [one for one in alike if one.p_holm < LEVEL]
    if by_welch:
        yield Finding(
            "Welch's test alone, which the paper used, would call "
            f"{listed([one.variant for one in by_welch])} different from {by_welch[0].baseline}; "
            "it treats the best tenths as if they had not been selected.",
            "; ".join(f"{one.variant}: {_both(one)}" for one in by_welch)
            + ", after Holm's correction. The permutation test repeats the selection.",
            "variants",
        )
    by_rank = [
        one for one in alike if one not in by_welch and made * one.p_mann_whitney < LEVEL
    ]
    if by_rank:
        yield Finding(
            f"By ranks, but not by means, {listed([one.variant for one in by_rank])} would differ "
            f"from {by_rank[0].baseline}: outliers may hide the difference, or ranks overstate it.",
            "Mann-Whitney on the best tenths, treated as if they had not been selected, after "
            "Bonferroni's correction: "
            + "; ".join(f"{one.variant} p {_p(made * one.p_mann_whitney)}" for one in by_rank)
            + ".",
            "variants",
        )


def search_needed(expected: ExpectedBest) -> int:
    """Counts the trials whose best is expected to be about as good as the best of all.

    Returns:
        The smallest n whose expected test score is within `NEAR` of that of all trials.
    """
    last = expected.test[-1]
    # Test scores may rise again: the best by validation need not be the best by test.
    above = [place for place, score in enumerate(expected.test) if score > (1 + NEAR) * last]
    return max(above, default=-1) + 2


def _followed(progress: Progress) -> Finding:
    """Describes the progress of a search that looked at results."""
    best, gain = progress.best, progress.last_gain
    half = best[max((len(best) - 1) // 2, 0)]
    if not math.isfinite(best[-1]):
        return Finding("Every trial diverged.", "No score can be compared.", "progress")
    of_half = f"is {text.significant(half)}" if math.isfinite(half) else "diverged"
    return Finding(
        f"The best validation score of a trial that did not diverge, {text.significant(best[-1])}, "
        f"was found by proposal {progress.places[gain] + 1:,} of {progress.proposed:,}.",
        f"The best of the first half of the trials {of_half}. How good the best "
        "of fewer trials would have been is known of this one search only.",
        "progress",
    )


def _search(analysis: StudyAnalysis) -> Finding:
    expected = analysis.expected_best
    if analysis.records.drawn != "at random":
        return Finding(
            "The gain from further search is unknown.",
            f"The sampler {analysis.records.sampler} drew no random samples, whose best could be "
            "told for fewer trials.",
            "learning_curves",
        )
    needed = {
        one.variant: (search_needed(one), len(one.test))
        for one in expected
        if len(one.test) >= FEWEST_FOR_SEARCH
    }
    if not needed:
        return Finding(
            "The gain from further search is unknown yet.",
            f"No variant has {FEWEST_FOR_SEARCH} finished trials.",
            "expected_best",
        )
    most = max(needed, key=lambda variant: needed[variant][0])
    least = min(needed, key=lambda variant: needed[variant][0])
    trials = (
        f"{needed[least][0]} ({least}) to {needed[most][0]} trials ({most})"
        if least != most
        else f"{counted(needed[most][0], 'trial')} ({most})"
    )
    return Finding(
        f"To come within {100 * NEAR:.0f} % of the best that all trials of a variant found takes "
        f"{trials} on average.",
        "Expected test score of the best by validation of n of the "
        + listed([f"{needed[code][1]} ({code})" for code in dict.fromkeys((least, most))])
        + " finished trials, drawn with replacement; the estimate is pessimistic for n near their "
        "number.",
        "expected_best",
    )


def _importance(analysis: StudyAnalysis) -> Iterator[Finding]:
    result = lookup.choose(analysis, "test", lookup.POOLED_FIRST)
    if result is None:
        sentence = "The importance of the hyperparameters is unavailable."
        yield Finding(sentence, lookup.why_none(analysis, lookup.POOLED_FIRST), "importance")
        return
    yield _first_factor(analysis, result)
    if result.pairs:
        largest = max(result.pairs, key=lambda effect: effect.share)
        yield Finding(
            f"All interactions together explain {lookup.share(lookup.interactions(result))}; the "
            f"largest is that of {lookup.nouns(result, largest)} ({lookup.share(largest)}).",
            f"Functional ANOVA ({result.backend}) of {lookup.whose(result)}: all pairs, and third- "
            "and higher-order interactions.",
            "interactions",
        )


def _first_factor(analysis: StudyAnalysis, result: Importance) -> Finding:
    first, *others = lookup.ranked(result)
    name = text.capitalized(lookup.nouns(result, first))
    score = "the test score" if result.variant is None else f"the test score of {result.variant}"
    if others and not lookup.clearly_above(first, others[0]):
        sentence = (
            f"{name} comes first in explaining the variance of {score} ({lookup.share(first)}), "
            f"but not clearly before {lookup.nouns(result, others[0])} ({lookup.share(others[0])})."
        )
    else:
        most = "most of the" if first.share > 0.5 else "the largest part of the"
        sentence = f"{name} explains {most} variance of {score}: {lookup.share(first)}."
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
        leaders = [lookup.ranked(one)[0] for one in own]
        names = [leader.names[0] for leader in leaders]
        # Within a variant, no trial differs in its variant.
        mode = stdlib.mode(names)
        leader = leaders[names.index(mode)] if first.names[0] == VARIANT else first
        evidence += (
            f" {text.capitalized(lookup.nouns(result, leader))} comes first in "
            f"{names.count(leader.names[0])} of {counted(len(own), 'variant')} that could be "
            "analyzed alone."
        )
    return Finding(sentence, evidence, "importance")


def _time(analysis: StudyAnalysis) -> Finding:
    summaries = analysis.summaries
    total = sum(summary.seconds.mean * summary.seconds.count for summary in summaries)
    sentence = f"Training took {text.duration(total)} in total, summed over the trials"
    result = lookup.choose(analysis, "seconds", lookup.POOLED_FIRST)
    evidence = ""
    if result is not None:
        first = lookup.ranked(result)[0]
        sentence += (
            f"; {lookup.nouns(result, first)} matters most for the time of a trial "
            f"({lookup.share(first)} of its variance)"
        )
        evidence = (
            f"Functional ANOVA of the training time of {lookup.whose(result)}; "
            f"{lookup.reliability(result)}. "
        )
    slow = max(summaries, key=lambda summary: summary.seconds.median)
    fast = min(summaries, key=lambda summary: summary.seconds.median)
    medians = " to ".join(
        f"{text.duration(one.seconds.median)} ({one.variant})"
        for one in ((fast,) if fast is slow else (fast, slow))
    )
    return Finding(f"{sentence}.", f"{evidence}Median time of a trial: {medians}.", "marginals")


def _diverged(analysis: StudyAnalysis) -> Finding:
    entries = analysis.records.all_entries
    diverged = [entry for entry in entries if entry.result.diverged]
    finished = counted(len(entries), "finished trial")
    failed = len(analysis.records.all_failures)
    note = f" In addition, {counted(failed, 'failed trial')}." if failed else ""
    if not diverged:
        return Finding("No trial diverged.", f"{finished}.{note}", "axes")
    most = max(analysis.summaries, key=lambda summary: summary.diverged / summary.finished)
    rates = [entry.trial.learning_rate for entry in diverged]
    return Finding(
        f"{len(diverged):,} of {finished} diverged "
        f"({text.percent(len(diverged) / len(entries))}), the largest share in "
        f"{most.variant} ({most.diverged} of {most.finished}).",
        f"Learning rates of the diverged trials: {text.significant(min(rates), 3)} to "
        f"{text.significant(max(rates), 3)}. Each counts with its best epoch before.{note}",
        "axes",
    )


def _g(comparison: Comparison) -> str:
    low, high = (text.significant(end, 3) for end in comparison.g_interval)
    return f"{text.significant(comparison.hedges_g, 3)} [{low}, {high}]"


def _both(comparison: Comparison) -> str:
    return (
        f"Welch's test p {_p(comparison.p_holm)}, permutation test "
        f"p {_p(comparison.p_permutation_holm)}"
    )


def _p(value: float) -> str:
    words = text.p_value(min(value, 1.0))
    return words if words.startswith("<") else f"= {words}"
