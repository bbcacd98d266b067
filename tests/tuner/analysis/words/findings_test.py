"""The right words for numbers that are known."""

from __future__ import annotations

import dataclasses
import re

import pytest

from tests.tuner.analysis import hand_made, made_up
from tests.tuner.analysis.hand_made import comparison, entry, significant, waiting
from tuner.analysis import study_analysis
from tuner.analysis.statistics.summaries import ExpectedBest, InsufficientData, TooFewTrials
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.words import findings
from tuner.analysis.words.findings import Finding
from tuner.training.protocol import Failure

FIGURES = {
    *("variants", "marginals", "importance", "interactions", "learning_curves", "axes"),
    "expected_best",
}

STUDY = hand_made.records(
    {
        "V": [entry("V", place, 8.5 + place / 10) for place in range(10)],
        "NOAF": [
            entry("NOAF", 0, 8.4, 8.7, seconds=90.0),
            entry("NOAF", 1, 60.0, diverged=True, learning_rate=4e-3, seconds=90.0),
            entry("NOAF", 2, 61.0, diverged=True, learning_rate=9.5e-3, seconds=90.0),
        ],
    }
)


def find(analysis: StudyAnalysis) -> dict[str, Finding]:
    """Findings by their text."""
    found = findings.find(analysis)
    assert {finding.figure for finding in found} <= FIGURES
    for finding in found:
        assert finding.text.endswith(".") and finding.evidence.endswith(".")
        assert not re.search(r"\d{6}|nan|inf|None|\.\.|  ", finding.text + finding.evidence)
    return {finding.text: finding for finding in found}


def one(found: dict[str, Finding], part: str) -> Finding:
    """The one finding whose text has some words."""
    (text,) = (text for text in found if part in text)
    return found[text]


def test_the_best_model_is_the_best_by_validation() -> None:
    best = one(find(hand_made.analysis(STUDY)), "best model")
    # NOAF's 8.4 beats V's 8.5, although its test score is that of V's.
    assert best.text == (
        "The best model by validation is NOAF (trial 0): test NLL 8.700 nats per frame."
    )
    assert "Validation 8.400 at epoch 1, the lowest of 13 finished trials." in best.evidence


def test_units_are_those_of_the_task() -> None:
    study = hand_made.records({"V": [entry("V", 0, 30.0, 31.25)]}, task="speech")
    assert "test frame error 31.25 % of frames" in one(
        find(hand_made.analysis(study)), "best model"
    ).text


def test_worse_variants_are_named_with_every_number() -> None:
    found = find(
        hand_made.analysis(
            STUDY,
            [
                significant("NFG", 0.6131, hedges_g=3.214, g_interval=(2.4, 4.85)),
                significant("NOAF", 1.2, p_holm=4e-9, p_permutation_holm=8e-4),
                comparison("NP", 0.02),
            ],
        )
    )
    worse = one(found, "significantly worse")
    assert worse.text == (
        "NFG and NOAF have significantly worse test scores than V in the best tenth of the trials."
    )
    assert worse.evidence.startswith(
        "NFG +0.613 nats per frame, Hedges' g 3.21 [2.40, 4.85], Welch's test p = 0.001, "
        "permutation test p = 0.004; NOAF +1.20 nats per frame"
    )
    assert "Welch's test p < 0.001, permutation test p < 0.001" in worse.evidence
    assert "Holm's correction for 3 comparisons" in worse.evidence
    assert worse.figure == "variants"
    nothing = one(found, "No variant is significantly better than V.")
    assert "3 variants compared, best tenths of 20 trials; none has a lower mean." == (
        nothing.evidence
    )


def test_a_better_variant_takes_the_place_of_no_better_one() -> None:
    found = find(hand_made.analysis(STUDY, [significant("CIFG", -0.3), comparison("NP")]))
    assert one(found, "significantly better").text.startswith("CIFG has significantly better")
    assert "−0.300 nats per frame" in one(found, "significantly better").evidence
    assert not any("No variant is significantly better" in text for text in found)
    assert not any("worse" in text for text in found)


def test_no_difference_shown_is_not_no_difference() -> None:
    found = find(
        hand_made.analysis(
            STUDY,
            [comparison("NIG", -0.02, detectable=0.1213), comparison("FGR", detectable=0.2)],
        )
    )
    shown = one(found, "not evidence of equality")
    assert shown.text.startswith("No difference from V is shown for NIG and FGR, which")
    assert shown.text.endswith(
        " Minimum detectable difference (80 % power): 0.12 to 0.20 nats per frame."
    )
    assert "Welch's test p = 0.80, permutation test p = 0.90" in shown.evidence
    assert "the lowest mean is that of NIG" in one(found, "significantly better than V").evidence
    assert not any(" would " in text for text in found)


def test_tests_that_disagree_are_named() -> None:
    found = find(
        hand_made.analysis(
            STUDY,
            [
                comparison("NIAF", -0.2, p_holm=0.005, p_permutation_holm=0.081),
                comparison("NOAF", 20.0, p_mann_whitney=1e-6),
                comparison("NP", p_mann_whitney=0.03),
            ],
        )
    )
    welch = one(found, "Welch's test alone")
    assert "would call NIAF different from V" in welch.text and "NOAF" not in welch.text
    assert "Welch's test p = 0.005, permutation test p = 0.081" in welch.evidence
    ranks = one(found, "By ranks")
    # 3 comparisons times 0.03 is not below 0.05.
    assert ranks.text.startswith("By ranks, but not by means, NOAF would differ from V")
    assert "NOAF p < 0.001" in ranks.evidence and "NP" not in ranks.evidence


def test_what_cannot_be_compared_says_why_once() -> None:
    reason = TooFewTrials("the best tenth of V has 2 trials; a test needs 3")
    found = find(hand_made.analysis(STUDY, {"NP": reason, "FGR": reason}))
    lacking = one(found, "could not be compared")
    assert lacking.text == "NP and FGR could not be compared with V."
    assert lacking.evidence == (
        "The best tenth of V has 2 trials; a test needs 3. A best tenth of 3 trials needs 21 "
        "finished trials."
    )
    assert not any("significantly" in text for text in found)


def test_the_first_hyperparameter_by_share_with_its_trust() -> None:
    results = [
        hand_made.importance(None),
        hand_made.importance("V"),
        hand_made.importance(
            "NP", shares={**hand_made.SHARES, "units": 0.9, "learning_rate": 0.02}
        ),
    ]
    found = find(hand_made.analysis(STUDY, importances=results))
    first = one(found, "explains most of the variance")
    assert first.text == (
        "The learning rate explains most of the variance of the test score: 75 % ± 2.0 %."
    )
    assert "of 200 pooled trials" in first.evidence
    assert "the forest explains 90 % of the variance of out-of-bag trials." in first.evidence
    assert "first in 1 of 2 variants" in first.evidence
    together = one(found, "All interactions")
    # 8 % of one pair, 0.2 % of each of five, 1 % of higher order.
    assert together.text == (
        "All interactions together explain 10 % ± 1.3 %; the largest is that of the learning rate "
        "and the input noise (8.0 % ± 0.5 %)."
    )
    assert (first.figure, together.figure) == ("importance", "interactions")


def test_a_hyperparameter_that_is_not_clearly_first_is_not_called_so() -> None:
    shares = {**hand_made.SHARES, "units": 0.35, "learning_rate": 0.45}
    results = [hand_made.importance(shares=shares, std=0.1, explained=0.3)]
    first = one(find(hand_made.analysis(STUDY, importances=results)), "comes first")
    assert "of the test score of V (45 % ± 10 %), but not clearly before the number of units" in (
        first.text
    )
    assert "30 % of the variance of out-of-bag trials: treat the numbers as rough" in (
        first.evidence
    )


def test_a_reliable_analysis_goes_before_the_pooled_one() -> None:
    pooled = hand_made.importance(None, explained=0.2)
    vanilla = hand_made.importance("V", shares={**hand_made.SHARES, "learning_rate": 0.7})
    first = one(find(hand_made.analysis(STUDY, importances=[pooled, vanilla])), "explains most")
    assert "70 %" in first.text and "of the 200 trials of V" in first.evidence


def test_without_importance_the_reason_is_given() -> None:
    lack = InsufficientData("the pooled variants have 13 finished trials; the analysis needs 20")
    found = find(hand_made.analysis(STUDY, importances=lack))
    which = one(found, "importance of the hyperparameters is unavailable")
    assert which.evidence == (
        "The pooled variants have 13 finished trials; the analysis needs 20."
    )


def test_time_and_divergence() -> None:
    seconds = hand_made.importance(
        None, "seconds", shares={**hand_made.SHARES, "units": 0.8, "learning_rate": 0.1}
    )
    found = find(hand_made.analysis(STUDY, importances=[seconds]))
    time = one(found, "Training took")
    # Ten minutes in V, three times 90 s in NOAF.
    assert time.text == (
        "Training took 14.5 min in total, summed over the trials; the number of units matters most "
        "for the time of a trial (80 % ± 2.0 % of its variance)."
    )
    assert time.evidence.endswith("Median time of a trial: 60 s (V) to 1.5 min (NOAF).")
    diverged = one(found, "diverged")
    assert diverged.text == (
        "2 of 13 finished trials diverged (15 %), the largest share in NOAF (2 of 3)."
    )
    assert "4.00e-3 to 9.50e-3" in diverged.evidence


def test_failures_are_counted_apart() -> None:
    trial = entry("V", 5, 9.0).trial
    study = hand_made.records(
        {"V": [entry("V", 0, 9.0)]}, failures={"V": [Failure(trial, "killed", "native")]}
    )
    finding = one(find(hand_made.analysis(study)), "No trial diverged.")
    assert finding.evidence == "1 finished trial. In addition, 1 failed trial."
    # Also those of a variant of which none has finished.
    other = entry("NFG", 0, 9.0).trial
    study = hand_made.records(
        {"V": [entry("V", 0, 9.0)], "NFG": []}, failures={"NFG": [Failure(other, "killed", "-")]}
    )
    finding = one(find(hand_made.analysis(study)), "No trial diverged.")
    assert finding.evidence == "1 finished trial. In addition, 1 failed trial."


def test_how_much_search_each_variant_needs() -> None:
    slow = ExpectedBest("V", (0.0,) * 10, (10, 9.8, 9.6, 9.4, 9.2, 9.0, 8.8, 8.5, 8.45, 8.44), ())
    quick = ExpectedBest("NP", (0.0,) * 12, (9.0, 8.5, *[8.45] * 10), ())
    short = ExpectedBest("FGR", (0.0,) * 3, (9.0, 8.5, 8.0), ())
    analysis = hand_made.analysis(STUDY)
    analysis = dataclasses.replace(analysis, expected_best=(slow, quick, short))
    search = one(find(analysis), "on average")
    # 1.01 times 8.44 is 8.5244, and of 8.45 8.5345.
    assert search.text == (
        "To come within 1 % of the best that all trials of a variant found takes 2 (NP) to 8 "
        "trials (V) on average."
    )
    assert "10 (V)" in search.evidence and "12 (NP)" in search.evidence


@pytest.mark.parametrize(
    ("test", "needed"),
    [
        ([9.0, 8.0], 2),
        ([8.0, 8.0], 1),
        ([8.0], 1),
        # The best by validation may be worse by test than one that more trials displace.
        ([8.0, 8.5, 8.01, 8.0], 3),
    ],
)
def test_search_needed_counts_from_where_it_stays_near(test: list[float], needed: int) -> None:
    expected = ExpectedBest("V", tuple(test), tuple(test), tuple(test))
    assert findings.search_needed(expected) == needed


def test_a_running_study_says_that_it_is_biased() -> None:
    study = hand_made.records(
        {"V": [entry("V", place, 9.0 + place, units=180 + place) for place in range(3)]},
        waiting={"V": [waiting("V", 3, 20), waiting("V", 4, 30), waiting("V", 5, 70)]},
    )
    unfinished = one(find(hand_made.analysis(study)), "incomplete")
    assert "3 of 6 trials have not ended. The longest run first" in unfinished.text
    assert "biased sample" in unfinished.text
    assert "181 units in the finished trials, 30 in those" in unfinished.evidence
    assert not any("incomplete" in text for text in find(hand_made.analysis(STUDY)))


def test_without_a_finished_trial_there_is_one_sentence() -> None:
    study = hand_made.records({"V": []}, waiting={"V": [waiting("V", 0, 20)]})
    (finding,) = find(hand_made.analysis(study)).values()
    assert finding.text == "No trial has finished yet: there is nothing to report."
    assert finding.evidence == "1 planned trial."


@pytest.mark.parametrize(("trials", "variants"), [(5, ("V", "NP")), (3, ("NP",))])
def test_small_studies_as_they_are(trials: int, variants: tuple[str, ...]) -> None:
    study = made_up.records(trials, variants)
    found = find(study_analysis.analyze(study))
    assert not any("significantly" in text for text in found)
    assert any("best model" in text for text in found)
