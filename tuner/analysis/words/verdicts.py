"""Whether comparisons and scores agree with a claim, each by a criterion fixed beforehand.

"cannot tell" is the verdict wherever the numbers that a criterion asks for are missing, or lie
nearer to its bound than they are certain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from tuner.analysis.statistics.summaries import Comparison
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.words import deviations, notation, wording

AGREES, DIFFERS, CANNOT_TELL = "agrees", "differs", "cannot tell"

ENOUGH = 10
"""Trials of a best tenth that can carry "no difference shown" as agreement: half of the paper's."""

# Seeds of one good trial differ by 0.3 % on JSB Chorales; two searches may differ by more.
_SAME_SCORE = 0.02


@dataclasses.dataclass(frozen=True)
class Judgment:
    """What became of a claim.

    Attributes:
        found: what the study found.
        verdict: "agrees", "differs" or "cannot tell".
    """

    found: str
    verdict: str


Judge = Callable[[StudyAnalysis], Judgment]


def same_study(analysis: StudyAnalysis) -> Judgment:
    """Agrees if trials, ranges, rules and data are the paper's."""
    clauses = deviations.of_search(analysis.records) + deviations.of_data(analysis.records)
    if not clauses:
        return Judgment("The same trials, ranges, rules and data.", AGREES)
    return Judgment(f"{wording.capitalized('; '.join(clauses))}.", DIFFERS)


def none_better(analysis: StudyAnalysis) -> Judgment:
    """Agrees if no variant is better, of all that finished trials with large enough best tenths."""
    made, missing = _comparisons(analysis, list(analysis.comparisons))
    better = [one.variant for one in made if one.verdict == "better"]
    if better:
        return Judgment(f"Significantly better: {wording.listed(better)}.", DIFFERS)
    if not made:
        return Judgment(_missing(missing), CANNOT_TELL)
    return _nothing_shown("No gain is", made, missing)


def worse(*variants: str) -> Judge:
    """Agrees if all variants are significantly worse; differs if one with enough trials is not."""

    def judge(analysis: StudyAnalysis) -> Judgment:
        made, missing = _comparisons(analysis, variants)
        if not made:
            return Judgment(_missing(missing), CANNOT_TELL)
        found = _described(made, missing)
        against = [
            one
            for one in made
            if one.verdict == "better" or (one.verdict != "worse" and _large(one))
        ]
        if against:
            return Judgment(found, DIFFERS)
        agrees = not missing and all(one.verdict == "worse" for one in made)
        return Judgment(found, AGREES if agrees else CANNOT_TELL)

    return judge


def alike(*variants: str) -> Judge:
    """Agrees if no difference is shown although best tenths are large; differs if one is."""

    def judge(analysis: StudyAnalysis) -> Judgment:
        made, missing = _comparisons(analysis, variants)
        if not made:
            return Judgment(_missing(missing), CANNOT_TELL)
        if any(one.verdict in ("worse", "better") for one in made):
            return Judgment(_described(made, missing), DIFFERS)
        return _nothing_shown("No difference is", made, missing)

    return judge


def no_gain(variant: str) -> Judge:
    """Agrees if a variant is not better although best tenths are large; differs if it is."""

    def judge(analysis: StudyAnalysis) -> Judgment:
        made, missing = _comparisons(analysis, [variant])
        if not made:
            return Judgment(_missing(missing), CANNOT_TELL)
        if made[0].verdict == "better":
            return Judgment(_described(made, missing), DIFFERS)
        if made[0].verdict == "worse":
            return Judgment(_described(made, missing), AGREES)
        return _nothing_shown("No gain is", made, missing)

    return judge


def best_score(papers: float) -> Judge:
    """Agrees if the best model's test score is within 2 % of the paper's, on the paper's data."""

    def judge(analysis: StudyAnalysis) -> Judgment:
        if analysis.best is None:
            return Judgment("No trial is finished.", CANNOT_TELL)
        best = analysis.best.best
        score = best.result.test.mean
        found = f"{best.trial.variant}, {notation.significant(score)} {analysis.metric.unit}"
        if deviations.of_data(analysis.records):
            return Judgment(f"{found}; on other data.", CANNOT_TELL)
        ratio = score / papers - 1.0
        side = "above" if ratio > 0 else "below"
        found += f": {notation.percent(abs(ratio))} {side} the paper's."
        found += " Which variant it is, is left to chance where variants are alike."
        return Judgment(found, AGREES if abs(ratio) <= _SAME_SCORE else DIFFERS)

    return judge


def _comparisons(
    analysis: StudyAnalysis, variants: Sequence[str]
) -> tuple[list[Comparison], dict[str, str]]:
    """Splits variants into the comparisons made and what the others lack."""
    made, missing = [], {}
    for variant in variants:
        result = analysis.comparisons.get(variant)
        if isinstance(result, Comparison):
            made.append(result)
        else:
            missing[variant] = result.reason if result else f"{variant} has no finished trial"
    return made, missing


def _large(comparison: Comparison) -> bool:
    return min(comparison.count, comparison.baseline_count) >= ENOUGH


def _nothing_shown(
    subject: str, made: Sequence[Comparison], missing: dict[str, str]
) -> Judgment:
    smallest = min(min(one.count, one.baseline_count) for one in made)
    codes = wording.listed([one.variant for one in made])
    found = f"{subject} shown: {codes}, best tenths of {smallest} trials or more"
    if smallest < ENOUGH:
        found += f"; fewer than {ENOUGH} are too few to call that agreement"
    if missing:
        found += f"; {_missing(missing).rstrip('.')}"
    agrees = smallest >= ENOUGH and not missing
    return Judgment(f"{found}.", AGREES if agrees else CANNOT_TELL)


def _described(made: Sequence[Comparison], missing: dict[str, str]) -> str:
    parts = [
        f"{one.variant} {one.verdict} (g {notation.significant(one.hedges_g, 2)}, "
        f"p {notation.p_value(max(one.p_holm, one.p_permutation_holm))})"
        for one in made
    ]
    text = "; ".join(parts)
    return f"{text}; {_missing(missing)}" if missing else f"{text}."


def _missing(missing: dict[str, str]) -> str:
    if not missing:
        return "There is no other variant."
    reasons = dict.fromkeys(missing.values())
    return f"{wording.listed(list(missing))} not compared: {'; '.join(reasons)}."
