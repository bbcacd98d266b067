"""Whether the numbers of a study agree with a claim, each by a criterion fixed beforehand.

"cannot tell" is the verdict wherever the numbers that a criterion asks for are missing, or lie
nearer to its bound than they are certain. Importance is judged on vanilla's trials where its forest
predicts well, else on the first analysis that does, and named so; shares and curves count as
different if they are so by more than their standard deviations over the trees.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec

from common import text
from tuner.analysis.importance.importance import Effect, Importance, Marginal
from tuner.analysis.statistics.summaries import Comparison
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.words import deviations, lookup
from tuner.analysis.words.lookup import difference

AGREES, DIFFERS, CANNOT_TELL = "agrees", "differs", "cannot tell"

ENOUGH = 10
"""Trials of a best tenth that can carry "no difference shown" as agreement: half of the paper's."""

# Seeds of one good trial differ by 0.3 % on JSB Chorales; two searches may differ by more.
_SAME_SCORE = 0.02

Verdict = tuple[str, str]
"""What a study found, and "agrees", "differs" or "cannot tell"."""

Judge = Callable[..., Verdict]
"""Holds a study, its first argument, against a claim, whose names and numbers follow."""

_Claimed = ParamSpec("_Claimed")


def same_study(analysis: StudyAnalysis) -> Verdict:
    """Agrees if trials, ranges, rules and data are the paper's."""
    clauses = deviations.of_search(analysis.records) + deviations.of_data(analysis.records)
    if not clauses:
        return "The same trials, ranges, rules and data.", AGREES
    return f"{text.capitalized('; '.join(clauses))}.", DIFFERS


def best_score(analysis: StudyAnalysis, papers: float) -> Verdict:
    """Agrees if the best model's test score is within 2 % of the paper's, on the paper's data."""
    if analysis.best is None:
        return "No trial has finished.", CANNOT_TELL
    best = analysis.best.best
    score = best.result.test.mean
    found = f"{best.trial.variant}, {text.significant(score)} {analysis.metric.unit}"
    if deviations.of_data(analysis.records):
        return f"{found}; on other data.", CANNOT_TELL
    ratio = score / papers - 1.0
    side = "above" if ratio > 0 else "below"
    found += f": {text.percent(abs(ratio))} {side} the paper's."
    found += " Which variant it is, is left to chance where variants are alike."
    return found, AGREES if abs(ratio) <= _SAME_SCORE else DIFFERS


# --- Comparisons with vanilla ---

_Missing = dict[str, str]
"""Reasons by variant that could not be compared."""


def _compared(judge: Callable[[list[Comparison], _Missing], Verdict]) -> Judge:
    """Makes a judge of what judges the comparisons made (at least one) of some variants, or all."""

    @functools.wraps(judge)
    def judged(analysis: StudyAnalysis, *variants: str) -> Verdict:
        made, missing = [], {}
        for variant in variants or analysis.comparisons:
            result = analysis.comparisons.get(variant)
            if isinstance(result, Comparison):
                made.append(result)
            else:
                missing[variant] = result.reason if result else f"{variant} has no finished trial"
        return judge(made, missing) if made else (_without(missing), CANNOT_TELL)

    return judged


@_compared
def none_better(made: list[Comparison], missing: _Missing) -> Verdict:
    """Agrees if no variant is better, of all that finished trials with large enough best tenths."""
    better = [one.variant for one in made if one.verdict == "better"]
    if better:
        return f"Significantly better: {text.listed(better)}.", DIFFERS
    return _nothing_shown("No gain is", made, missing)


@_compared
def worse(made: list[Comparison], missing: _Missing) -> Verdict:
    """Agrees if all variants are significantly worse; differs if one with enough trials is not."""
    found = _described(made, missing)
    others = [one for one in made if one.verdict != "worse"]
    if any(one.verdict == "better" or _smaller(one) >= ENOUGH for one in others):
        return found, DIFFERS
    return found, CANNOT_TELL if missing or others else AGREES


@_compared
def alike(made: list[Comparison], missing: _Missing) -> Verdict:
    """Agrees if no difference is shown although best tenths are large; differs if one is."""
    if any(one.verdict in ("worse", "better") for one in made):
        return _described(made, missing), DIFFERS
    return _nothing_shown("No difference is", made, missing)


@_compared
def no_gain(made: list[Comparison], missing: _Missing) -> Verdict:
    """Agrees if a variant is not better although best tenths are large; differs if it is."""
    verdicts = {"better": DIFFERS, "worse": AGREES}
    if made[0].verdict in verdicts:
        return _described(made, missing), verdicts[made[0].verdict]
    return _nothing_shown("No gain is", made, missing)


def _smaller(comparison: Comparison) -> int:
    return min(comparison.count, comparison.baseline_count)


def _nothing_shown(subject: str, made: Sequence[Comparison], missing: _Missing) -> Verdict:
    smallest = min(map(_smaller, made))
    codes = text.listed([one.variant for one in made])
    found = f"{subject} shown: {codes}, best tenths of {smallest} trials or more"
    if smallest < ENOUGH:
        found += f"; fewer than {ENOUGH} are too few to call that agreement"
    if missing:
        found += f"; {_without(missing).rstrip('.')}"
    return f"{found}.", AGREES if smallest >= ENOUGH and not missing else CANNOT_TELL


def _described(made: Sequence[Comparison], missing: _Missing) -> str:
    words = "; ".join(
        f"{one.variant} {one.verdict} (g {text.significant(one.hedges_g, 2)}, "
        f"p {text.p_value(max(one.p_holm, one.p_permutation_holm))})"
        for one in made
    )
    return f"{words}; {_without(missing)}" if missing else f"{words}."


def _without(missing: _Missing) -> str:
    if not missing:
        return "There is no other variant."
    reasons = dict.fromkeys(missing.values())
    return f"{text.listed(list(missing))} not compared: {'; '.join(reasons)}."


# --- Importance ---


def _analyzed(
    *varied: str,
) -> Callable[[Callable[Concatenate[StudyAnalysis, Importance, _Claimed], Verdict]], Judge]:
    """Makes a judge of what judges a reliable analysis.

    Args:
        varied: factors that must have been varied, beside those that the claim names.
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
                return lookup.why_none(analysis, lookup.VANILLA_FIRST), CANNOT_TELL
            if result.explained < lookup.RELIABLE:
                return f"{text.capitalized(lookup.reliability(result))}.", CANNOT_TELL
            names = {*varied, *(one for one in args if isinstance(one, str))}
            if not names <= {factor.name for factor in result.factors}:
                return "Not varied." if len(names) == 1 else "Not all were varied.", CANNOT_TELL
            return judge(analysis, result, *args, **kwargs)

        return judged

    return decorate


@_analyzed()
def share_above(analysis: StudyAnalysis, result: Importance, factor: str, bound: float) -> Verdict:
    """Agrees if a factor's share lies above a bound by more than its std; differs if below so."""
    effect, found = _main(result, factor)
    if effect.share - bound > effect.std:
        return found, AGREES
    return found, DIFFERS if bound - effect.share > effect.std else CANNOT_TELL


@_analyzed()
def share_below(analysis: StudyAnalysis, result: Importance, factor: str, bound: float) -> Verdict:
    """Agrees if a factor's share lies below a bound; differs if above by more than its std.

    A share cannot lie below a small bound by its std: there the share itself decides.
    """
    effect, found = _main(result, factor)
    if effect.share < bound:
        return found, AGREES
    return found, DIFFERS if effect.share - bound > effect.std else CANNOT_TELL


def _main(result: Importance, factor: str) -> tuple[Effect, str]:
    effect = result.main(factor)
    assert effect is not None
    return effect, f"{lookup.share(effect)} over the trees, of {lookup.whose(result)}."


@_analyzed()
def order(analysis: StudyAnalysis, result: Importance, *factors: str) -> Verdict:
    """Agrees if factors come in an order, each by more than both deviations.

    Differs if a pair comes in the other order by more than both deviations.
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
    return found, DIFFERS if turned else CANNOT_TELL


@_analyzed()
def interactions_within(
    analysis: StudyAnalysis, result: Importance, low: float, high: float
) -> Verdict:
    """Agrees if all interactions add up to a share in a range; differs if out by more than std."""
    total = lookup.interactions(result)
    found = f"{lookup.share(total)} over the trees, of {lookup.whose(result)}."
    if low <= total.share <= high:
        return found, AGREES
    away = max(low - total.share, total.share - high)
    return found, DIFFERS if away > total.std else CANNOT_TELL


@_analyzed()
def largest_interaction(
    analysis: StudyAnalysis, result: Importance, first: str, second: str
) -> Verdict:
    """Agrees if a pair's share lies above all others' by more than both deviations.

    Differs if another pair's lies so above it.
    """
    own = result.pair(first, second)
    if own is None:
        return "Their interaction is unavailable.", CANNOT_TELL
    others = [effect for effect in result.pairs if effect is not own]
    found = lookup.share(own)
    if others:
        most = max(others, key=lambda effect: effect.share)
        found += f"; of the others {lookup.nouns(result, most)} have the most, {lookup.share(most)}"
    found += f" (of {lookup.whose(result)})."
    if all(lookup.clearly_above(own, other) for other in others):
        return found, AGREES
    beaten = any(lookup.clearly_above(other, own) for other in others)
    return found, DIFFERS if beaten else CANNOT_TELL


def _curve(result: Importance, name: str) -> Marginal:
    curve = result.marginal(name)
    assert curve is not None
    return curve


@_analyzed("units")
def larger_is_better(analysis: StudyAnalysis, result: Importance) -> Verdict:
    """Agrees if the largest networks beat the smallest, most of it gained in the smaller half.

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
    return f"{found}.", AGREES if agrees else CANNOT_TELL


@_analyzed("noise_std")
def noise_hurts(analysis: StudyAnalysis, result: Importance) -> Verdict:
    """Agrees if most noise is worse than none by more than the deviation; differs if better so."""
    curve = _curve(result, "noise_std")
    harm, std = lookup.change(curve, 0, -1)
    found = (
        f"Noise of {text.significant(curve.values[-1], 2)} instead of "
        f"{text.significant(curve.values[0], 2)} changes the average score by "
        f"{difference(harm, analysis.metric)} (± {text.significant(std, 2)})."
    )
    if abs(harm) <= std:
        return found, CANNOT_TELL
    return found, AGREES if harm > 0 else DIFFERS


@_analyzed("noise_std")
def noise_dips(analysis: StudyAnalysis, result: Importance, low: float, high: float) -> Verdict:
    """Agrees if noise hurts at the end of its range and the best is between two values.

    Differs if no noise, or most, is best.
    """
    found, verdict = noise_hurts(analysis)
    curve = _curve(result, "noise_std")
    place = lookup.best(curve)
    value = float(curve.values[place])
    found = f"{found} Best at {text.significant(value, 2)}."
    if verdict != AGREES or low <= value <= high:
        return found, verdict
    return found, DIFFERS if place == 0 else CANNOT_TELL


@_analyzed("learning_rate")
def best_rate_at_the_end(analysis: StudyAnalysis, result: Importance) -> Verdict:
    """Agrees if the best average score is in the last tenth of the range of learning rates.

    Differs if the whole range within 1 % of the best average ends before it.
    """
    curve = _curve(result, "learning_rate")
    place = lookup.best(curve)
    found = (
        f"The average score is best at {text.significant(curve.values[place], 2)}, searched up "
        f"to {text.significant(curve.values[-1], 2)} (of {lookup.whose(result)})."
    )
    tenth = 0.9 * (len(curve.values) - 1)
    if place >= tenth:
        return found, AGREES
    _, last = lookup.basin(curve, 0.01)
    return found, DIFFERS if last < tenth else CANNOT_TELL


@_analyzed("units", "learning_rate")
def best_rate_stays(analysis: StudyAnalysis, result: Importance) -> Verdict:
    """Agrees if the best learning rates of small and large networks are within a factor of 3.

    Small and large are the first and the last third of the logarithmic range of sizes; differs if
    the rates are more than a factor of 10 apart.
    """
    surface = result.surface("units", "learning_rate")
    if surface is None:
        return "Their interaction is unavailable.", CANNOT_TELL
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
    return found, DIFFERS if factor > 10.0 else CANNOT_TELL
