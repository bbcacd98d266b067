"""Whether an importance analysis agrees with a claim, each by a criterion fixed beforehand.

All are judged on vanilla's trials where its forest predicts well, else on the first analysis that
does, and named so. Shares and curves count as different if they are so by more than their standard
deviations over the trees.
"""

from __future__ import annotations

import itertools

import numpy as np

from tuner.analysis.importance.importance import Importance
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.words import lookup, notation, wording
from tuner.analysis.words.verdicts import AGREES, CANNOT_TELL, DIFFERS, Judge, Judgment


def share_above(factor: str, bound: float) -> Judge:
    """Agrees if a factor's share lies above a bound by more than its spread; differs if below."""

    def judge(analysis: StudyAnalysis) -> Judgment:
        return _share(analysis, factor, bound, sign=1.0)

    return judge


def share_below(factor: str, bound: float) -> Judge:
    """Agrees if a factor's share lies below a bound; differs if above by more than its spread."""

    def judge(analysis: StudyAnalysis) -> Judgment:
        return _share(analysis, factor, bound, sign=-1.0)

    return judge


def _share(analysis: StudyAnalysis, factor: str, bound: float, sign: float) -> Judgment:
    result = _reliable(analysis)
    if isinstance(result, Judgment):
        return result
    effect = lookup.main(result, factor)
    if effect is None:
        return Judgment("It was not varied.", CANNOT_TELL)
    found = f"{wording.share(effect)} over the trees, of {lookup.whose(result)}."
    above = sign * (effect.share - bound)
    # A share cannot lie below a small bound by its spread: there the share itself decides.
    margin = effect.spread if sign > 0 else 0.0
    if above > margin:
        return Judgment(found, AGREES)
    return Judgment(found, DIFFERS if above < -effect.spread else CANNOT_TELL)


def order(*factors: str) -> Judge:
    """Agrees if factors come in an order, each by more than both spreads; differs if one does not.

    A pair in the other order differs only if it is so by more than both spreads.
    """

    def judge(analysis: StudyAnalysis) -> Judgment:
        result = _reliable(analysis)
        if isinstance(result, Judgment):
            return result
        effects = [lookup.main(result, name) for name in factors]
        known = [effect for effect in effects if effect is not None]
        if len(known) < len(factors):
            return Judgment("Not all of them were varied.", CANNOT_TELL)
        found = "; ".join(
            f"{lookup.WORDS[effect.names[0]]} {wording.share(effect)}" for effect in known
        )
        found = f"{wording.capitalized(found)}; of {lookup.whose(result)}."
        pairs = list(itertools.pairwise(known))
        if all(lookup.clearly_above(first, second) for first, second in pairs):
            return Judgment(found, AGREES)
        turned = any(lookup.clearly_above(second, first) for first, second in pairs)
        return Judgment(found, DIFFERS if turned else CANNOT_TELL)

    return judge


def interactions_within(low: float, high: float) -> Judge:
    """Agrees if all interactions add up to a share in a range; differs if out by their spread."""

    def judge(analysis: StudyAnalysis) -> Judgment:
        result = _reliable(analysis)
        if isinstance(result, Judgment):
            return result
        total = lookup.interactions(result)
        found = f"{wording.share(total)} over the trees, of {lookup.whose(result)}."
        if low <= total.share <= high:
            return Judgment(found, AGREES)
        away = max(low - total.share, total.share - high)
        return Judgment(found, DIFFERS if away > total.spread else CANNOT_TELL)

    return judge


def largest_interaction(first: str, second: str) -> Judge:
    """Agrees if a pair's share lies above all others' by more than both spreads.

    Differs if another pair's lies so above it.
    """

    def judge(analysis: StudyAnalysis) -> Judgment:
        result = _reliable(analysis)
        if isinstance(result, Judgment):
            return result
        own = lookup.pair(result, first, second)
        if own is None:
            return Judgment("Not both were varied.", CANNOT_TELL)
        others = [effect for effect in result.pairs if effect is not own]
        found = f"{wording.share(own)}"
        if others:
            next_one = max(others, key=lambda effect: effect.share)
            names = wording.listed([lookup.WORDS[name] for name in next_one.names])
            found += f"; of the others {names} have the most, {wording.share(next_one)}"
        found += f" (of {lookup.whose(result)})."
        if all(lookup.clearly_above(own, other) for other in others):
            return Judgment(found, AGREES)
        beaten = any(lookup.clearly_above(other, own) for other in others)
        return Judgment(found, DIFFERS if beaten else CANNOT_TELL)

    return judge


def larger_is_better(analysis: StudyAnalysis) -> Judgment:
    """Agrees if the largest networks beat the smallest, most of it gained in the smaller half.

    The gain has to exceed the spread over the trees, the halves are those of the logarithmic range,
    and the time has to grow. Differs if the largest are worse by more than the spread.
    """
    result = _reliable(analysis)
    if isinstance(result, Judgment):
        return result
    curve = lookup.marginal(result, "units")
    if curve is None:
        return Judgment("It was not varied.", CANNOT_TELL)
    middle = len(curve.mean) // 2
    first, second = curve.mean[0] - curve.mean[middle], curve.mean[middle] - curve.mean[-1]
    gain, spread = first + second, float(np.hypot(curve.spread[0], curve.spread[-1]))
    found = (
        f"From {curve.values[0]:.0f} to {curve.values[-1]:.0f} units the average score changes by "
        f"{wording.difference(-gain, analysis.metric)} (± {notation.significant(spread, 2)}), by "
        f"{wording.difference(-first, analysis.metric)} up to {curve.values[middle]:.0f}"
    )
    times = lookup.choose(analysis, "seconds", lookup.VANILLA_FIRST)
    time = None if times is None else lookup.marginal(times, "units")
    if time is not None:
        found += f"; the time by a factor of {time.mean[-1] / time.mean[0]:.1f}"
    if gain < -spread:
        return Judgment(f"{found}.", DIFFERS)
    grows = time is not None and time.mean[-1] > time.mean[0]
    agrees = gain > spread and first > second and grows
    return Judgment(f"{found}.", AGREES if agrees else CANNOT_TELL)


def noise_hurts(analysis: StudyAnalysis) -> Judgment:
    """Agrees if most noise is worse than none by more than the spread; differs if better so."""
    result = _reliable(analysis)
    if isinstance(result, Judgment):
        return result
    curve = lookup.marginal(result, "noise_std")
    if curve is None:
        return Judgment("It was not varied.", CANNOT_TELL)
    harm = float(curve.mean[-1] - curve.mean[0])
    spread = float(np.hypot(curve.spread[0], curve.spread[-1]))
    found = (
        f"Noise of {notation.significant(curve.values[-1], 2)} instead of "
        f"{notation.significant(curve.values[0], 2)} changes the average score by "
        f"{wording.difference(harm, analysis.metric)} (± {notation.significant(spread, 2)})."
    )
    if abs(harm) <= spread:
        return Judgment(found, CANNOT_TELL)
    return Judgment(found, AGREES if harm > 0 else DIFFERS)


def noise_dips(low: float, high: float) -> Judge:
    """Agrees if noise hurts at the end of its range and the best is between two values.

    Differs if no noise, or most, is best.
    """

    def judge(analysis: StudyAnalysis) -> Judgment:
        at_the_end = noise_hurts(analysis)
        result = _reliable(analysis)
        curve = None if isinstance(result, Judgment) else lookup.marginal(result, "noise_std")
        if curve is None:
            return at_the_end
        place = lookup.best(curve)
        value = float(curve.values[place])
        found = f"{at_the_end.found} Best at {notation.significant(value, 2)}."
        if at_the_end.verdict != AGREES:
            return Judgment(found, at_the_end.verdict)
        if low <= value <= high:
            return Judgment(found, AGREES)
        return Judgment(found, DIFFERS if place == 0 else CANNOT_TELL)

    return judge


def best_rate_at_the_end(analysis: StudyAnalysis) -> Judgment:
    """Agrees if the best average score is in the last tenth of the range of learning rates.

    Differs if the whole range within 1 % of the best average ends before it.
    """
    result = _reliable(analysis)
    if isinstance(result, Judgment):
        return result
    curve = lookup.marginal(result, "learning_rate")
    if curve is None:
        return Judgment("It was not varied.", CANNOT_TELL)
    place = lookup.best(curve)
    found = (
        f"The average score is best at {notation.significant(curve.values[place], 2)}, searched up "
        f"to {notation.significant(curve.values[-1], 2)} (of {lookup.whose(result)})."
    )
    tenth = 0.9 * (len(curve.values) - 1)
    if place >= tenth:
        return Judgment(found, AGREES)
    _, last = lookup.basin(curve, 0.01)
    return Judgment(found, DIFFERS if last < tenth else CANNOT_TELL)


def best_rate_stays(analysis: StudyAnalysis) -> Judgment:
    """Agrees if the best learning rates of small and large networks are within a factor of 3.

    Small and large are the first and the last third of the logarithmic range of sizes; differs if
    the rates are more than a factor of 10 apart.
    """
    result = _reliable(analysis)
    if isinstance(result, Judgment):
        return result
    surface = lookup.surface(result, "units", "learning_rate")
    if surface is None:
        return Judgment("Not both were varied.", CANNOT_TELL)
    third = max(1, len(surface.values[0]) // 3)
    small, large = (
        float(surface.values[1][part.mean(axis=0).argmin()])
        for part in (surface.mean[:third], surface.mean[-third:])
    )
    found = (
        f"Best at {notation.significant(small, 2)} for up to "
        f"{surface.values[0][third - 1]:.0f} units and at {notation.significant(large, 2)} from "
        f"{surface.values[0][-third]:.0f} on (of {lookup.whose(result)})."
    )
    factor = max(small / large, large / small)
    if factor <= 3.0:
        return Judgment(found, AGREES)
    return Judgment(found, DIFFERS if factor > 10.0 else CANNOT_TELL)


def _reliable(analysis: StudyAnalysis) -> Importance | Judgment:
    """The analysis of the scores, of vanilla if it can be, as the paper's figures have it."""
    result = lookup.choose(analysis, "test", lookup.VANILLA_FIRST)
    if result is None:
        return Judgment(lookup.why_none(analysis, lookup.VANILLA_FIRST), CANNOT_TELL)
    if result.explained < lookup.RELIABLE:
        return Judgment(f"{wording.capitalized(lookup.reliability(result))}.", CANNOT_TELL)
    return result
