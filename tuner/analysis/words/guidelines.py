"""Guidelines: advice that a study's numbers support."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from common.text import bound, counted, listed, percent, significant
from tuner.analysis.importance.importance import Importance, Marginal
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.words import findings, lookup
from tuner.analysis.words.findings import Finding
from tuner.search.space import Hyperparameter
from tuner.tasks.task import Metric

NEAR = 0.02
"""Relative distance from the best average score within which an average score counts as good."""

_guideline = functools.partial(Finding, kind="guideline")


def guide(analysis: StudyAnalysis) -> tuple[Finding, ...]:
    """Derives advice from the trials of a study.

    Advice on hyperparameters is based on the marginal curves of the pooled trials, or of one
    variant if the pooled ones are too unlike. These average over all other hyperparameters, bad
    ones too, so the advice is about where to search, not about what the best model will score.
    """
    return tuple(_guidelines(analysis)) if analysis.summaries else ()


def _guidelines(analysis: StudyAnalysis) -> Iterator[Finding]:
    waiting = lookup.unfinished(analysis)
    if waiting and analysis.records.drawn != "by results":
        yield _guideline(
            "All advice here is preliminary and holds for the larger networks: the longest trials "
            "run first.",
            f"{waiting:,} of {sum(analysis.records.planned.values()):,} trials have not ended; "
            "until then the effect of size is unknown.",
            "axes",
        )
    result = lookup.choose(analysis, "test", lookup.POOLED_FIRST)
    if result is None:
        yield _guideline(
            "The trials support no advice on hyperparameters yet.",
            lookup.why_none(analysis, lookup.POOLED_FIRST),
            "marginals",
        )
    else:
        curves = {
            curve.name: curve for curve in result.marginals if curve.name != "units" or not waiting
        }
        if "learning_rate" in curves:
            yield _range(result, curves["learning_rate"])
        for factor in sorted(result.factors, key=lambda factor: factor.rank):
            if factor.name in curves and not factor.categories:
                yield from _end(result, factor, curves[factor.name])
        if "units" in curves:
            yield _size(analysis, result, curves["units"])
        if "noise_std" in curves:
            yield _noise(result, curves["noise_std"], analysis.metric)
        if "momentum" in curves:
            yield _momentum(result, curves["momentum"], analysis.metric)
    if analysis.records.drawn == "at random":
        yield _trials(analysis)


def _range(result: Importance, curve: Marginal) -> Finding:
    first, last = lookup.basin(curve, NEAR)
    low, high = (significant(curve.values[end], 2) for end in (first, last))
    best = lookup.best(curve)
    within = f"within {100 * NEAR:.0f} % of"
    if first == 0 and last == len(curve.values) - 1:
        sentence = (
            f"Any learning rate of the range, {low} to {high}, is on average {within} the best "
            "score."
        )
    else:
        sentence = (
            f"Search learning rates between {low} and {high}: there the average score is {within} "
            "its best."
        )
    return _guideline(
        sentence,
        f"Best average {significant(curve.mean[best])} (± {significant(curve.std[best], 2)}) at "
        f"{significant(curve.values[best], 2)}; {_basis(result)}",
        "marginals",
    )


def _end(result: Importance, factor: Hyperparameter, curve: Marginal) -> Iterator[Finding]:
    """Advises on a range whose best value lies in the last twentieth at one of its ends."""
    last = len(curve.values) - 1
    place = lookup.best(curve) / last
    if 0.05 < place < 0.95 or np.ptp(curve.mean) <= curve.std.mean():
        return
    end, other = (0, last) if place <= 0.05 else (last, 0)
    value = float(curve.values[end])
    if value <= factor.minimum:
        return
    upper = value > curve.values[other]
    side, direction = ("upper", "larger") if upper else ("lower", "smaller")
    yield _guideline(
        f"Extend the range of {factor.plural} beyond {bound(value)}: the best average lies at its "
        f"{side} end, so that {direction} ones may be better still.",
        f"The best value lies in the last twentieth of the range; {_basis(result)}",
        "marginals",
    )


def _no_clear_effect(of: str) -> str:
    return f"No clear effect of {of}: the change is within the forest's standard deviation"


def _size(analysis: StudyAnalysis, result: Importance, curve: Marginal) -> Finding:
    small, large = (f"{curve.values[end]:.0f}" for end in (0, -1))
    change, std = lookup.change(curve, 0, -1)
    times = lookup.slowdown(
        lookup.choose(analysis, "seconds", (result.variant, *lookup.POOLED_FIRST))
    )
    cost = "" if times is None else f" and take {times:.1f} times as long"
    if abs(change) <= std:
        sentence = _no_clear_effect("size")
        sentence += "." if times is None else f"; {large} units{cost[4:]} as {small}."
    elif change > 0:
        sentence = f"Stay small: {large} units instead of {small} are worse on average{cost}."
    else:
        half = int(np.argmax(curve.mean <= curve.mean[0] + change / 2))
        sentence = (
            f"Larger is better: {large} units instead of {small} lower the average score by "
            f"{percent(-change / float(curve.mean[0]))}{cost}; half of that is gained by "
            f"{curve.values[half]:.0f} units."
        )
    return _guideline(
        sentence,
        f"The average score changes by {lookup.difference(change, analysis.metric)} (± "
        f"{significant(std, 2)}); {_basis(result)}",
        "marginals",
    )


def _noise(result: Importance, curve: Marginal, metric: Metric) -> Finding:
    place = lookup.best(curve)
    gain, gain_std = lookup.change(curve, 0, place)
    harm, harm_std = lookup.change(curve, 0, -1)
    least, best, most = (significant(curve.values[end], 2) for end in (0, place, -1))
    if place > 0 and -gain > gain_std:
        sentence = f"Input noise of about {best} pays."
    elif harm > harm_std:
        sentence = f"Input noise does not pay; use little: {most} is clearly worse than {least}."
    else:
        sentence = f"{_no_clear_effect('input noise')}."
    return _guideline(
        sentence,
        f"Average score at {best} instead of {least}: {lookup.difference(gain, metric)}; at "
        f"{most}: {lookup.difference(harm, metric)}; {_basis(result)}",
        "marginals",
    )


def _momentum(result: Importance, curve: Marginal, metric: Metric) -> Finding:
    effect = result.main("momentum")
    best = lookup.best(curve)
    change, std = lookup.change(curve, best, int(np.argmax(curve.mean)))
    if change <= NEAR * float(curve.mean[best]):
        sentence = "Momentum is not worth tuning: on average any value of the range is about as "
        sentence += "good."
    elif change > std:
        sentence = f"Tune momentum too: the average score is best near {curve.values[best]:.2g}."
    else:
        sentence = f"{_no_clear_effect('momentum')}."
    share = f"; it explains {lookup.share(effect)} of the variance" if effect else ""
    return _guideline(
        sentence,
        f"Over its range the average score changes by {significant(change, 2)} "
        f"{metric.unit}{share}; {_basis(result)}",
        "marginals",
    )


def _trials(analysis: StudyAnalysis) -> Finding:
    long = [one for one in analysis.expected_best if len(one.test) >= findings.FEWEST_FOR_SEARCH]
    if not long:
        return _guideline(
            "How many trials are enough is unknown yet.",
            f"No variant has {findings.FEWEST_FOR_SEARCH} finished trials.",
            "expected_best",
        )
    needed = {one.variant: findings.search_needed(one) for one in long}
    count = {one.variant: len(one.test) for one in long}
    late = [variant for variant in needed if needed[variant] > count[variant] / 2]
    near = f"{100 * findings.NEAR:.0f} %"
    if late:
        sentence = (
            f"Search further: for {listed(late)} the best was still improving by more than {near} "
            "in the second half of the trials."
        )
    else:
        sentence = (
            f"{counted(max(needed.values()), 'trial')} of a variant are enough to come within "
            f"{near} of what this study found, on average."
        )
    return _guideline(
        sentence,
        "Expected test score of the best by validation of n trials; needed by variant: "
        + listed([f"{code} {needed[code]} of {count[code]}" for code in needed])
        + ".",
        "expected_best",
    )


def _basis(result: Importance) -> str:
    return f"averages over all else, of {lookup.whose(result)}; {lookup.reliability(result)}."
