"""The right advice for curves that are known."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
import pytest

from tests.tuner.analysis import hand_made, made_up
from tests.tuner.analysis.hand_made import entry
from tuner.analysis import study_analysis
from tuner.analysis.importance.importance import Importance
from tuner.analysis.statistics.summaries import ExpectedBest, InsufficientData
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.words import guidelines
from tuner.analysis.words.findings import Finding

STUDY = hand_made.records({"V": [entry("V", place, 8.5 + place / 10) for place in range(3)]})


def guide(
    importances: Sequence[Importance] | InsufficientData, expected: Sequence[ExpectedBest] = ()
) -> list[Finding]:
    analysis = hand_made.analysis(STUDY, importances=importances)
    return checked(dataclasses.replace(analysis, expected_best=tuple(expected)))


def checked(analysis: StudyAnalysis) -> list[Finding]:
    found = list(guidelines.guide(analysis))
    for guideline in found:
        assert guideline.kind == "guideline"
        assert guideline.figure in ("axes", "marginals", "expected_best")
        assert guideline.text.endswith(".") and guideline.evidence.endswith(".")
        assert not re.search(r"\d{6}|nan|inf|None|\.\.|  ", guideline.text + guideline.evidence)
    return found


def one(found: Sequence[Finding], part: str) -> Finding:
    (guideline,) = (guideline for guideline in found if part in guideline.text)
    return guideline


def of_curve(part: str, **curves: list[float]) -> Finding:
    return one(guide([hand_made.importance(None, curves=curves)]), part)


def test_the_range_of_good_learning_rates() -> None:
    # From 1e-6 to 1e-2 in four decades, piecewise linear in the logarithm: within 2 % of 8, which
    # is 8.16, from 0.08 of a decade below 1e-4 (grid: on it) to 0.16 above (0.1).
    found = of_curve("Search learning rates", learning_rate=[12.0, 10.0, 8.0, 9.0, 10.0])
    assert "between 1.0e-4 and 1.3e-4" in found.text
    assert found.evidence.startswith("Best average 8.000 (± 0.050) at 1.0e-4; ")
    assert "of 200 pooled trials" in found.evidence
    found = of_curve("Any learning rate", learning_rate=[8.1, 8.0, 8.1])
    assert "1.0e-6 to 0.010" in found.text


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        ([12.5, 11.0, 9.0, 8.6, 8.5], "beyond 0.01: the best average lies at its upper end"),
        ([8.5, 8.6, 9.0, 11.0, 12.5], "beyond 1e-6: the best average lies at its lower end"),
    ],
)
def test_the_best_at_an_end_asks_for_a_wider_range(curve: list[float], words: str) -> None:
    found = of_curve("Extend the range of learning rates", learning_rate=curve)
    assert words in found.text
    assert ("larger" in found.text) == ("upper" in words)


def test_ends_that_are_inside_flat_or_natural_need_no_wider_range() -> None:
    curves = {
        # Best inside; flat; no noise is as little as there is; momentum 0 likewise.
        "learning_rate": [12.0, 9.0, 8.5, 9.0],
        "units": [9.52, 9.51, 9.5],
        "noise_std": [9.0, 9.5, 10.0],
        "momentum": [10.0, 9.5, 9.0],
    }
    found = guide([hand_made.importance(None, curves=curves)])
    assert not any("Extend" in guideline.text for guideline in found)
    curves["momentum"] = [9.0, 9.5, 10.0]
    found = guide([hand_made.importance(None, curves=curves)])
    assert "range of momenta beyond 0.99: the best average lies at its upper end" in (
        one(found, "Extend").text
    )


def test_what_size_buys_and_costs() -> None:
    results = [
        hand_made.importance(None, curves={"units": [10.0, 9.5, 9.4]}),
        hand_made.importance(None, "seconds", curves={"units": [30.0, 60.0, 129.0]}),
    ]
    found = one(guide(results), "Larger is better")
    # Half of 0.6 is gained at 0.3 of the logarithmic range: 20 to 200, 20 · 10^0.3 = 39.9.
    assert found.text == (
        "Larger is better: 200 units instead of 20 lower the average score by 6.0 % and take 4.3 "
        "times as long; half of that is gained by 40 units."
    )
    assert "by −0.600 nats per frame (± 0.071)" in found.evidence
    found = of_curve("No clear effect of size", units=[9.5, 9.48, 9.46])
    assert found.text.endswith(": the change is within the forest's standard deviation.")
    assert "worse on average" in of_curve("Stay small", units=[9.0, 9.5, 10.0]).text


def test_whether_noise_pays() -> None:
    found = of_curve("Input noise of about", noise_std=[9.5, 9.0, 9.6])
    assert "about 0.50 pays" in found.text
    assert "−0.500 nats per frame; at 1.0: +0.100 nats per frame" in found.evidence
    assert "1.0 is clearly worse than 0" in of_curve("does not pay", noise_std=[9, 9.3, 9.6]).text
    assert of_curve("No clear effect of input noise", noise_std=[9.0, 9.01, 9.02])


def test_whether_momentum_matters() -> None:
    found = of_curve("Momentum is not worth", momentum=[9.5, 9.55, 9.6])
    assert "changes by 0.10 nats per frame; it explains 0.4 % ± 2.0 %" in found.evidence
    # 1 - momentum 0.01 is momentum 0.99.
    found = of_curve("Tune momentum too", momentum=[9.0, 9.5, 10.0])
    assert "best near 0.99" in found.text
    rough = hand_made.importance(
        None, curves={"momentum": [9.0, 9.5, 10.0]}, curve_std=1.0
    )
    assert one(guide([rough]), "No clear effect of momentum")


def test_how_many_trials_are_enough() -> None:
    early = ExpectedBest("V", (), (9.0, 8.6, 8.52, *[8.5] * 17), ())
    late = ExpectedBest("NP", (), tuple(np.linspace(10.0, 9.0, 20)), ())
    found = one(guide([], [early]), "3 trials of a variant are enough")
    assert "needed by variant: V 3 of 20" in found.evidence
    found = one(guide([], [early, late]), "Search further: for NP")
    # 9.09 is reached after 0.91 of the way: the 19th of 20.
    assert "V 3 of 20 and NP 19 of 20" in found.evidence
    short = ExpectedBest("V", (), (9.0, 8.0), ())
    assert "is unknown yet" in one(guide([], [short]), "How many trials").text


def test_without_enough_trials_there_is_no_advice_on_hyperparameters() -> None:
    lack = InsufficientData("the pooled variants have 3 finished trials; the analysis needs 20")
    found = guide(lack)
    assert found[0].text == "The trials support no advice on hyperparameters yet."
    assert found[0].evidence.startswith("The pooled variants have 3 finished trials")
    assert [guideline.figure for guideline in found] == ["marginals", "expected_best"]
    empty = hand_made.analysis(hand_made.records({"V": []}))
    assert guidelines.guide(empty) == ()
    assert len(checked(study_analysis.analyze(made_up.records(5, ("V", "NP"))))) == 2


def test_while_trials_are_missing_there_is_no_word_about_size() -> None:
    study = hand_made.records(
        {"V": [entry("V", 0, 8.5)]}, waiting={"V": [hand_made.waiting("V", 1, 20)]}
    )
    found = checked(hand_made.analysis(study, importances=[hand_made.importance(None)]))
    assert "preliminary and holds for the larger networks" in found[0].text
    assert found[0].evidence.startswith("1 of 2 trials have not ended; ")
    assert one(found, "Search learning rates")
    assert not any("Larger is better" in one.text or "sizes" in one.text for one in found)


def test_a_rough_forest_is_called_rough() -> None:
    rough = guide([hand_made.importance(None, explained=0.2)])
    for guideline in rough[:-1]:
        assert "20 % of the variance of out-of-bag trials: treat the numbers as rough" in (
            guideline.evidence
        )


def test_a_factor_that_was_not_varied_gets_no_advice() -> None:
    result = hand_made.importance(None)
    fixed = dataclasses.replace(
        result,
        mains=tuple(effect for effect in result.mains if effect.names != ("noise_std",)),
        marginals=tuple(curve for curve in result.marginals if curve.name != "noise_std"),
    )
    assert not any("noise" in guideline.text for guideline in guide([fixed]))
    assert fixed.marginal("noise_std") is None and fixed.main("noise_std") is None


def test_surfaces_are_turned_to_the_order_that_is_asked_for() -> None:
    result = hand_made.importance(best_rates=(1e-5, 5e-3))
    surface = result.surface("units", "learning_rate")
    turned = result.surface("learning_rate", "units")
    assert surface is not None and turned is not None
    assert np.array_equal(surface.mean, turned.mean.T)
    assert np.array_equal(turned.values[0], hand_made.GRID["learning_rate"])
    assert result.surface("units", "noise_std") is None
