"""What to do about it: advice that a study's numbers support."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tuner.analysis.importance.importance import Importance, Marginal
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.words import findings, lookup, notation, wording
from tuner.tasks.task import Metric

NEAR = 0.02
"""How much worse than the best an average score may be to count as good, relative to it."""

# There is no less than no noise and no momentum.
_NATURAL_ENDS = {("noise_std", 0.0), ("one_minus_momentum", 1.0)}

_NOUNS = {
    "learning_rate": "learning rates",
    "units": "sizes",
    "noise_std": "input noises",
    "one_minus_momentum": "values of 1 - momentum",
}


@dataclasses.dataclass(frozen=True)
class Guideline:
    """One piece of advice with its evidence.

    Attributes:
        text: the advice.
        evidence: the numbers that it rests on.
        figure: name of the figure that shows it, which may not have been drawn.
    """

    text: str
    evidence: str
    figure: str


def guide(analysis: StudyAnalysis) -> tuple[Guideline, ...]:
    """Derives advice from the trials of a study.

    Advice on hyperparameters is read off the marginal curves of the pooled trials, or of one
    variant where the pooled ones are too unlike. An average over all other hyperparameters, bad
    ones too, it is about where to search, not about what the best model will score.

    Args:
        analysis: of the study.
    """
    return tuple(_guidelines(analysis)) if analysis.summaries else ()


def _guidelines(analysis: StudyAnalysis) -> Iterator[Guideline]:
    waiting = lookup.unfinished(analysis)
    if waiting:
        yield Guideline(
            "All advice here is for the time being, and for the larger networks: the trials that "
            "take longest are done first.",
            f"{waiting:,} of {sum(analysis.records.planned.values()):,} trials "
            "have not ended. What size buys cannot be said before.",
            "axes",
        )
    result = lookup.choose(analysis, "test", lookup.POOLED_FIRST)
    if result is None:
        text = "The trials support no advice on hyperparameters yet."
        yield Guideline(text, lookup.why_none(analysis, lookup.POOLED_FIRST), "marginals")
    else:
        curves = {
            curve.name: curve
            for curve in result.marginals
            if curve.name != "units" or not waiting
        }
        if "learning_rate" in curves:
            yield _range(result, curves["learning_rate"])
        yield from _ends(result, curves)
        if "units" in curves:
            yield _size(analysis, result, curves["units"])
        if "noise_std" in curves:
            yield _noise(result, curves["noise_std"], analysis.metric)
        if "one_minus_momentum" in curves:
            yield _momentum(result, curves["one_minus_momentum"], analysis.metric)
    yield _trials(analysis)


def _range(result: Importance, curve: Marginal) -> Guideline:
    first, last = lookup.basin(curve, NEAR)
    low, high = (notation.significant(curve.values[end], 2) for end in (first, last))
    best = lookup.best(curve)
    if first == 0 and last == len(curve.values) - 1:
        text = (
            f"Any learning rate of the range, {low} to {high}, is on average within "
            f"{100 * NEAR:.0f} % of the best score."
        )
    else:
        text = (
            f"Search learning rates between {low} and {high}: there the average score is within "
            f"{100 * NEAR:.0f} % of its best."
        )
    return Guideline(
        text,
        f"Best average {notation.significant(curve.mean[best])} "
        f"(± {notation.significant(curve.spread[best], 2)}) at "
        f"{notation.significant(curve.values[best], 2)}; {_basis(result)}",
        "marginals",
    )


def _ends(result: Importance, curves: dict[str, Marginal]) -> Iterator[Guideline]:
    """Ranges whose best value lies in the last twentieth at one of their ends."""
    for name, noun in _NOUNS.items():
        if name not in curves:
            continue
        curve = curves[name]
        last = len(curve.values) - 1
        end = {-1: 0, 1: last}.get(_side(lookup.best(curve), last))
        flat = np.ptp(curve.mean) <= curve.spread.mean()
        if end is None or flat or (name, float(curve.values[end])) in _NATURAL_ENDS:
            continue
        side, direction = ("upper", "larger") if end else ("lower", "smaller")
        yield Guideline(
            f"Extend the range of {noun} beyond {notation.bound(float(curve.values[end]))}: the "
            f"best average lies at its {side} end, so that {direction} ones may be better still.",
            f"The best value lies in the last twentieth of the range; {_basis(result)}",
            "marginals",
        )


def _side(place: int, last: int) -> int:
    """-1 at the lower end, 1 at the upper, 0 between."""
    return (place >= 0.95 * last) - (place <= 0.05 * last)


def _size(analysis: StudyAnalysis, result: Importance, curve: Marginal) -> Guideline:
    small, large = (f"{curve.values[end]:.0f}" for end in (0, -1))
    change = float(curve.mean[-1] - curve.mean[0])
    spread = float(np.hypot(curve.spread[0], curve.spread[-1]))
    times = lookup.choose(analysis, "seconds", (result.variant, *lookup.POOLED_FIRST))
    time = None if times is None else lookup.marginal(times, "units")
    cost = "" if time is None else f" and take {time.mean[-1] / time.mean[0]:.1f} times as long"
    if abs(change) <= spread:
        text = f"Size buys nothing that can be seen: {large} units instead of {small}"
        text += f" change the average score by less than the trees disagree{cost}."
    elif change > 0:
        text = f"Stay small: {large} units instead of {small} are worse on average{cost}."
    else:
        half = int(np.argmax(curve.mean <= curve.mean[0] + change / 2))
        text = (
            f"Larger is better: {large} units instead of {small} lower the average score by "
            f"{notation.percent(-change / float(curve.mean[0]))}{cost}; half of that is gained by "
            f"{curve.values[half]:.0f} units."
        )
    return Guideline(
        text,
        f"The average score changes by {wording.difference(change, analysis.metric)} (± "
        f"{notation.significant(spread, 2)}); {_basis(result)}",
        "marginals",
    )


def _noise(result: Importance, curve: Marginal, metric: Metric) -> Guideline:
    place = lookup.best(curve)
    gain = float(curve.mean[0] - curve.mean[place])
    harm = float(curve.mean[-1] - curve.mean[0])
    spread = float(np.hypot(curve.spread[0], curve.spread[place]))
    most, best = (notation.significant(curve.values[end], 2) for end in (-1, place))
    least = notation.significant(curve.values[0], 2)
    if place > 0 and gain > spread:
        text = f"Input noise of about {best} pays."
    elif harm > float(np.hypot(curve.spread[0], curve.spread[-1])):
        text = f"Input noise does not pay; use little: {most} is clearly worse than {least}."
    else:
        text = "Whether input noise pays cannot be seen: its curve changes less than the trees "
        text += "disagree."
    return Guideline(
        text,
        f"Average score at {best} instead of {least}: {wording.difference(-gain, metric)}; at "
        f"{most}: {wording.difference(harm, metric)}; {_basis(result)}",
        "marginals",
    )


def _momentum(result: Importance, curve: Marginal, metric: Metric) -> Guideline:
    effect = lookup.main(result, "one_minus_momentum")
    best, worst = lookup.best(curve), int(np.argmax(curve.mean))
    change = float(curve.mean[worst] - curve.mean[best])
    if change <= NEAR * float(curve.mean[best]):
        text = "Momentum is not worth tuning: on average any value of the range is about as good."
    elif change > float(np.hypot(curve.spread[best], curve.spread[worst])):
        text = f"Tune momentum too: the average score is best near {1 - curve.values[best]:.2g}."
    else:
        text = "Whether momentum matters cannot be seen: its curve changes less than the trees "
        text += "disagree."
    share = f"; it explains {wording.share(effect)} of the variance" if effect else ""
    return Guideline(
        text,
        f"Over its range the average score changes by {notation.significant(change, 2)} "
        f"{metric.unit}{share}; {_basis(result)}",
        "marginals",
    )


def _trials(analysis: StudyAnalysis) -> Guideline:
    long = [one for one in analysis.expected_best if len(one.test) >= findings.FEWEST_FOR_SEARCH]
    if not long:
        return Guideline(
            "How many trials are enough cannot be said yet.",
            f"No variant has {findings.FEWEST_FOR_SEARCH} finished trials.",
            "expected_best",
        )
    needed = {one.variant: findings.search_needed(one) for one in long}
    most = max(needed, key=lambda variant: needed[variant])
    count = {one.variant: len(one.test) for one in long}
    late = [variant for variant in needed if needed[variant] > count[variant] / 2]
    if late:
        text = (
            f"Search further: for {wording.listed(late)} the best was still getting better by "
            f"more than {100 * findings.NEAR:.0f} % in the second half of the trials."
        )
    else:
        text = (
            f"{wording.counted(needed[most], 'trial')} of a variant are enough to come within "
            f"{100 * findings.NEAR:.0f} % of what this study found, on average."
        )
    return Guideline(
        text,
        "Expected test score of the best by validation of n trials; needed by variant: "
        + wording.listed([f"{code} {needed[code]} of {count[code]}" for code in needed])
        + ".",
        "expected_best",
    )


def _basis(result: Importance) -> str:
    return f"averages over all else, of {lookup.whose(result)}; {lookup.reliability(result)}."
