"""Lookups in an importance analysis: shares, marginal curves, and where they are best."""

from __future__ import annotations

import numpy as np

from common import text
from tuner.analysis.importance.importance import Effect, Importance, Marginal
from tuner.analysis.statistics.summaries import InsufficientData
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.tasks.task import Metric

RELIABLE = 0.5
"""Share of the variance of unseen trials that an analysis must explain to be more than rough."""

VANILLA_FIRST = ("V", None)
POOLED_FIRST = (None, "V")


def choose(
    analysis: StudyAnalysis, target: str, order: tuple[str | None, ...]
) -> Importance | None:
    """Chooses the first analysis that had enough trials, a reliable one if there is one.

    Args:
        analysis: analysis of the study.
        target: "test" or "seconds".
        order: variants to try first, None for all pooled; the others follow in their order.
    """
    variants = dict.fromkeys([*order, *(key[0] for key in analysis.importance)])
    every = [analysis.importance.get((variant, target)) for variant in variants]
    results = [result for result in every if isinstance(result, Importance)]
    reliable = [result for result in results if result.explained >= RELIABLE]
    return next(iter([*reliable, *results]), None)


def unfinished(analysis: StudyAnalysis) -> int:
    """Counts the trials that have not ended; while there are any, size is sampled with a bias."""
    return sum(map(len, analysis.records.waiting.values()))


def why_none(analysis: StudyAnalysis, order: tuple[str | None, ...]) -> str:
    """Explains why no analysis of the test score could be chosen.

    Args:
        analysis: analysis of the study.
        order: variants whose reasons to give, None for all pooled.
    """
    lacks = [analysis.importance.get((variant, "test")) for variant in order]
    reasons = [lack.reason for lack in lacks if isinstance(lack, InsufficientData)]
    if not reasons:
        return "No importance was analyzed."
    return f"{text.capitalized('; '.join(dict.fromkeys(reasons)))}."


def whose(importance: Importance) -> str:
    """Describes the trials that an analysis is based on."""
    if importance.variant is None:
        return f"{importance.trials:,} pooled trials"
    return f"the {importance.trials:,} trials of {importance.variant}"


def nouns(importance: Importance, effect: Effect) -> str:
    """Names the factors of an effect in the middle of a sentence."""
    return text.listed([importance.factor(name).noun for name in effect.names])


def ranked(importance: Importance) -> list[Effect]:
    """Sorts the main effects, largest first."""
    return sorted(importance.mains, key=lambda effect: -effect.share)


def interactions(importance: Importance) -> Effect:
    """Adds up what factors explain only together; standard deviations as if independent."""
    effects = [*importance.pairs, importance.higher_order]
    return Effect(
        names=(),
        share=sum(effect.share for effect in effects),
        std=float(np.linalg.norm([effect.std for effect in effects])),
    )


def clearly_above(larger: Effect, smaller: Effect) -> bool:
    """Returns whether one share exceeds another by more than both standard deviations."""
    return larger.share - larger.std > smaller.share + smaller.std


def change(curve: Marginal, first: int, second: int) -> tuple[float, float]:
    """Returns the difference of two points of a curve, second minus first, and its deviation."""
    difference = float(curve.mean[second] - curve.mean[first])
    return difference, float(np.hypot(curve.std[first], curve.std[second]))


def best(curve: Marginal) -> int:
    """Returns the index of the lowest mean of a marginal curve."""
    return int(np.argmin(curve.mean))


def basin(curve: Marginal, share: float) -> tuple[int, int]:
    """Finds the range around the best value in which the curve stays near it.

    Args:
        curve: marginal curve of a positive score.
        share: how far above its lowest value it may be, relative to that.

    Returns:
        Indices of the first and the last value of the range.

    Example:
        >>> mean = np.array([9.0, 8.1, 8.0, 8.05, 9.0, 8.02])
        >>> basin(Marginal("units", np.arange(6.0), mean, np.zeros(6)), 0.02)
        (1, 3)
    """
    first = last = best(curve)
    near = curve.mean <= (1.0 + share) * curve.mean[first]
    while first > 0 and near[first - 1]:
        first -= 1
    while last < len(near) - 1 and near[last + 1]:
        last += 1
    return first, last


def slowdown(times: Importance | None) -> float | None:
    """Returns how many times as long the largest networks take as the smallest, if known."""
    curve = times and times.marginal("units")
    return float(curve.mean[-1] / curve.mean[0]) if curve else None


def reliability(importance: Importance) -> str:
    """Describes how far an analysis can be trusted."""
    share = importance.explained
    words = f"the forest explains {100 * share:.0f} % of the variance of out-of-bag trials"
    return words if share >= RELIABLE else f"{words}: treat the numbers as rough"


def difference(value: float, metric: Metric) -> str:
    """Formats a difference of scores with its sign.

    Example:
        >>> difference(0.6131, Metric("NLL", "nats per frame"))
        '+0.613 nats per frame'
    """
    return f"{'+' if value > 0 else ''}{text.significant(value, 3)} {metric.unit}"


def share(effect: Effect) -> str:
    """Formats a share with its standard deviation over the trees.

    Example:
        >>> share(Effect(("units",), 0.0712, 0.031))
        '7.1 % ± 3.1 %'
    """
    return f"{text.percent(effect.share)} ± {text.percent(effect.std)}"
