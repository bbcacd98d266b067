"""Whether the numbers of a study agree with a claim, each by a criterion fixed beforehand.

The verdict is "undecided" wherever the numbers that a criterion needs are missing, or are closer to
its bound than their uncertainty. Importance is judged on vanilla's trials if its forest predicts
well, otherwise on the first analysis that does, which is then named; shares and curves count as
different if they differ by more than their standard deviations over the trees. Comparisons of
variants have their own module, `tuner.analysis.words.comparisons`.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Concatenate, ParamSpec

from common import text
from tuner.analysis.importance.importance import Effect, Importance, Marginal
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.words import deviations, lookup
from tuner.analysis.words.lookup import difference
from tuner.search.space import PAPER

AGREES, DIFFERS, UNDECIDED = "agrees", "differs", "undecided"

MARGIN = 0.02
"""Distance within which scores count as the same, relative to the paper's or the baseline's.

Seeds of one good trial differ by 0.3% on JSB Chorales; two searches may differ by more.
"""

Verdict = tuple[str, str]
"""What a study found, and "agrees", "differs" or "undecided"."""

Judge = Callable[..., Verdict]
"""Compares a study, its first argument, with a claim, whose names and numbers follow."""

_Claimed = ParamSpec("_Claimed")


def same_study(analysis: StudyAnalysis) -> Verdict:
    """Agrees if trials, ranges, rules and data are the paper's."""
    clauses = deviations.of_search(analysis.records) + deviations.of_data(analysis.records)
    if not clauses:
        return "The same trials, ranges, rules and data.", AGREES
    return f"{text.capitalized('; '.join(clauses))}.", DIFFERS


def best_score(analysis: StudyAnalysis, papers: float) -> Verdict:
    """Agrees if the best model's test score is within 2% of the paper's, on the paper's data."""
    if analysis.best is None:
        return "No trial has finished.", UNDECIDED
    best = analysis.best.best
    score = best.result.test.mean
    found = f"{best.trial.variant}, {text.significant(score)} {analysis.metric.unit}"
    if deviations.of_data(analysis.records):
        return f"{found}; on other data.", UNDECIDED
    ratio = score / papers - 1.0
    side = "above" if ratio > 0 else "below"
    found += f": {text.percent(abs(ratio))} {side} the paper's."
    found += " Which variant it is, is left to chance where variants are alike."
    return found, AGREES if abs(ratio) <= MARGIN else DIFFERS


def _analyzed(
    *varied: str,
) -> Callable[[Callable[Concatenate[StudyAnalysis, Importance, _Claimed], Verdict]], Judge]:
    """Makes a judge from a function that judges a reliable analysis.

    Args:
        varied: factors that must have been varied, in addition to those that the claim names.
    """

    def decorate(
        judge: Callable[Concatenate[StudyAnalysis, Importance, _Claimed], Verdict],
    ) -> Judge:
        @functools.wraps(judge)
        def judged(
            analysis: StudyAnalysis, *args: _Claimed.args, **kwargs: _Claimed.kwargs
        ) -> Verdict:
            result = lookup.choose(analysis, "test", lookup.VANILLA_FIRST)
            if result is None:
                return lookup.why_none(analysis, lookup.VANILLA_FIRST), UNDECIDED
            if result.explained < lookup.RELIABLE:
                return f"{text.capitalized(lookup.reliability(result))}.", UNDECIDED
            names = {*varied, *(one for one in args if isinstance(one, str))}
            if not names <= {factor.name for factor in result.factors}:
                return "Not varied." if len(names) == 1 else "Not all were varied.", UNDECIDED
            return judge(analysis, result, *args, **kwargs)

        return judged

    return decorate


@_analyzed()
def share_above(analysis: StudyAnalysis, result: Importance, factor: str, bound: float) -> Verdict:
    """Agrees if a factor's share is above a bound by more than its std; differs if so far below."""
    effect, found = _main(result, factor)
    if effect.share - bound > effect.std:
        return found, AGREES
    return found, DIFFERS if bound - effect.share > effect.std else UNDECIDED


@_analyzed()
def share_below(analysis: StudyAnalysis, result: Importance, factor: str, bound: float) -> Verdict:
    """Agrees if a factor's share lies below a bound; differs if above by more than its std.

    A share cannot be below a small bound by more than its std, so the share itself decides.
    """
    effect, found = _main(result, factor)
    if effect.share < bound:
        return found, AGREES
    return found, DIFFERS if effect.share - bound > effect.std else UNDECIDED


def _main(result: Importance, factor: str) -> tuple[Effect, str]:
    effect = result.main(factor)
    assert effect is not None
    return effect, f"{lookup.share(effect)} over the trees, of {lookup.whose(result)}."


@_analyzed()
def order(analysis: StudyAnalysis, result: Importance, *factors: str) -> Verdict:
    """Agrees if factors are in the given order, each by more than both deviations.

    Differs if two neighbors are in reverse order by more than both deviations.
    """
    effects = [_main(result, name)[0] for name in factors]
    found = "; ".join(
        f"{lookup.nouns(result, effect)} {lookup.share(effect)}" for effect in effects
    )
    found = f"{text.capitalized(found)}; of {lookup.whose(result)}."
    pairs = list(itertools.pairwise(effects))
    if all(lookup.clearly_above(first, second) for first, second in pairs):
        return found, AGREES
    turned = any(lookup.clearly_above(second, first) for first, second in pairs)
    return found, DIFFERS if turned else UNDECIDED


@_analyzed()
def interactions_within(
    analysis: StudyAnalysis, result: Importance, low: float, high: float
) -> Verdict:
    """Agrees if all interactions add up to a share in a range; differs if off by more than std."""
    total = lookup.interactions(result)
    found = f"{lookup.share(total)} over the trees, of {lookup.whose(result)}."
    if low <= total.share <= high:
        return found, AGREES
    away = max(low - total.share, total.share - high)
    return found, DIFFERS if away > total.std else UNDECIDED


@_analyzed()
def largest_interaction(
    analysis: StudyAnalysis, result: Importance, first: str, second: str
) -> Verdict:
    """Agrees if a pair's share lies above all others' by more than both deviations.

    Differs if another pair's share lies above it by as much.
    """
    own = result.pair(first, second)
    if own is None:
        return "Their interaction is unavailable.", UNDECIDED
    others = [effect for effect in result.pairs if effect is not own]
    found = lookup.share(own)
    if others:
        most = max(others, key=lambda effect: effect.share)
        found += f"; of the others {lookup.nouns(result, most)} have the most, {lookup.share(most)}"
    found += f" (of {lookup.whose(result)})."
    if all(lookup.clearly_above(own, other) for other in others):
        return found, AGREES
    beaten = any(lookup.clearly_above(other, own) for other in others)
    return found, DIFFERS if beaten else UNDECIDED


def _curve(result: Importance, name: str) -> Marginal:
    curve = result.marginal(name)
    assert curve is not None
    return curve


@_analyzed("units")
def larger_is_better(analysis: StudyAnalysis, result: Importance) -> Verdict:
    """Agrees if the largest networks beat the smallest, with most of the gain in the smaller half.

    The gain has to exceed the deviation over the trees, the halves are those of the logarithmic
    range, and the time has to grow. Differs if the largest are worse by more than the deviation.
    """
    curve = _curve(result, "units")
    middle = len(curve.mean) // 2
    change, std = lookup.change(curve, 0, -1)
    first, second = (lookup.change(curve, *ends)[0] for ends in ((0, middle), (middle, -1)))
    found = (
        f"From {curve.values[0]:.0f} to {curve.values[-1]:.0f} units the average score changes by "
        f"{difference(change, analysis.metric)} (± {text.significant(std, 2)}), by "
        f"{difference(first, analysis.metric)} up to {curve.values[middle]:.0f}"
    )
    times = lookup.slowdown(lookup.choose(analysis, "seconds", lookup.VANILLA_FIRST))
    if times is not None:
        found += f"; the time by a factor of {times:.1f}"
    if change > std:
        return f"{found}.", DIFFERS
    agrees = -change > std and first < second and times is not None and times > 1.0
    return f"{found}.", AGREES if agrees else UNDECIDED


@_analyzed("noise_std")
def noise_hurts(analysis: StudyAnalysis, result: Importance) -> Verdict:
    """Agrees if the most noise is worse than the least by over a deviation; differs if better."""
    curve = _curve(result, "noise_std")
    harm, std = lookup.change(curve, 0, -1)
    found = (
        f"Noise of {text.significant(curve.values[-1], 2)} instead of "
        f"{text.significant(curve.values[0], 2)} changes the average score by "
        f"{difference(harm, analysis.metric)} (± {text.significant(std, 2)})."
    )
    if abs(harm) <= std:
        return found, UNDECIDED
    return found, AGREES if harm > 0 else DIFFERS


@_analyzed("noise_std")
def noise_dips(analysis: StudyAnalysis, result: Importance, low: float, high: float) -> Verdict:
    """Agrees if noise hurts at the end of its range and the best is between two values.

    Differs if the least noise is best, or if the most noise is better than the least.
    """
    found, verdict = noise_hurts(analysis)
    curve = _curve(result, "noise_std")
    place = lookup.best(curve)
    value = float(curve.values[place])
    found = f"{found} Best at {text.significant(value, 2)}."
    if verdict != AGREES or low <= value <= high:
        return found, verdict
    return found, DIFFERS if place == 0 else UNDECIDED


@_analyzed("learning_rate")
def best_rate_beyond(analysis: StudyAnalysis, result: Importance, end: float) -> Verdict:
    """Agrees if the best average score is at a learning rate beyond the end of the paper's range.

    In a study of that range, it suffices that the best is in its last tenth. Differs if all rates
    within 1% of the best average lie before that tenth.
    """
    curve = _curve(result, "learning_rate")
    place = lookup.best(curve)
    found = (
        f"The average score is best at {text.significant(curve.values[place], 2)}, searched up "
        f"to {text.significant(curve.values[-1], 2)} (of {lookup.whose(result)})."
    )
    tenth = float(PAPER["learning_rate"].from_unit(0.9))
    best, searched = float(curve.values[place]), float(curve.values[-1])
    if best > (tenth if math.isclose(searched, end) else end):
        return found, AGREES
    _, last = lookup.basin(curve, 0.01)
    ends_before = last < len(curve.values) - 1 and curve.values[last] < tenth
    return found, DIFFERS if ends_before else UNDECIDED


@_analyzed("units", "learning_rate")
def best_rate_stays(analysis: StudyAnalysis, result: Importance) -> Verdict:
    """Agrees if the best learning rates of small and large networks are within a factor of 3.

    Small and large are the first and the last third of the logarithmic range of sizes; differs if
    the rates are more than a factor of 10 apart.
    """
    surface = result.surface("units", "learning_rate")
    if surface is None:
        return "Their interaction is unavailable.", UNDECIDED
    third = max(1, len(surface.values[0]) // 3)
    small, large = (
        float(surface.values[1][part.mean(axis=0).argmin()])
        for part in (surface.mean[:third], surface.mean[-third:])
    )
    found = (
        f"Best at {text.significant(small, 2)} for up to "
        f"{surface.values[0][third - 1]:.0f} units and at {text.significant(large, 2)} from "
        f"{surface.values[0][-third]:.0f} on (of {lookup.whose(result)})."
    )
    factor = max(small / large, large / small)
    if factor <= 3.0:
        return found, AGREES
    return found, DIFFERS if factor > 10.0 else UNDECIDED
