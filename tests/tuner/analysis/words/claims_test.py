"""Each criterion on numbers on both sides of it, and between."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from tests.tuner.analysis import hand_made, made_up
from tests.tuner.analysis.hand_made import comparison, entry, significant
from tuner.analysis import study_analysis
from tuner.analysis.importance.importance import Importance, Marginal
from tuner.analysis.statistics import summaries
from tuner.analysis.statistics.summaries import Comparison, InsufficientData
from tuner.analysis.words import claims, deviations
from tuner.analysis.words.claims import Claim
from tuner.training.protocol import TrialRecord

CODES = ("NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR")
LACK = InsufficientData("the best tenth of V has 2 trials; a test needs 3")


def check(
    comparisons: Sequence[Comparison] | Mapping[str, Comparison | InsufficientData] = (),
    importances: Sequence[Importance] | InsufficientData = (),
    task: str = "music",
    best: float = 8.4,
    **facts: object,
) -> list[Claim]:
    study = hand_made.records({"V": [entry("V", 0, best, best)]}, task=task, **facts)
    found = list(claims.check(hand_made.analysis(study, comparisons, importances)))
    for claim in found:
        assert claim.verdict in ("agrees", "differs", "undecided")
        assert claim.found.endswith(".") and claim.paper.endswith(".") and claim.source
        assert not re.search(r"\d{6}|nan|None|\.\.|  ", claim.found)
    return found


def one(found: list[Claim], paper: str) -> Claim:
    """The one claim whose text has some words."""
    (claim,) = (claim for claim in found if paper in claim.paper)
    return claim


def everything(**changed: Comparison) -> list[Comparison]:
    """Eight comparisons as the paper has them on music."""
    paper = {"NFG": significant("NFG", 0.6), "NOAF": significant("NOAF", 0.9)}
    return [{**paper, **changed}.get(code, comparison(code)) for code in CODES]


def test_what_the_paper_found_agrees() -> None:
    claims_found = check(everything(), [hand_made.importance(shares=CLEAR)])
    verdicts = {claim.paper: claim.verdict for claim in claims_found}
    unexpected = {paper: verdict for paper, verdict in verdicts.items() if verdict != "agrees"}
    # The one trial of this study is a V with 8.4; FGR is alike here; there are no times.
    assert set(unexpected) == {
        one(claims_found, "200 trials").paper,
        one(claims_found, "FGR is significantly worse").paper,
        one(claims_found, "Larger networks").paper,
    }


CLEAR = {"units": 0.12, "learning_rate": 0.75, "momentum": 0.004, "noise_std": 0.04}


def test_claims_are_those_of_the_task() -> None:
    topics = {
        task: [claim.paper for claim in check(task=task)]
        for task in ("music", "speech", "handwriting", "own.module:Task")
    }
    assert any("8.38" in paper for paper in topics["music"])
    assert any("29.6 %" in paper for paper in topics["speech"])
    assert any("9.26 %" in paper for paper in topics["handwriting"])
    general = set(topics["own.module:Task"])
    assert all(general <= set(papers) for papers in topics.values())
    assert not any(re.search(r"music|NLL|handwriting", paper) for paper in general)
    assert any("NIG, NOG and NIAF are significantly worse" in paper for paper in topics["speech"])
    assert any("NIG, NOG and NIAF do not differ" in paper for paper in topics["music"])


def test_sources_say_how_sure_they_are() -> None:
    found = check()
    assert one(found, "better than V").source == "the paper's abstract"
    assert "unconfirmed" in one(found, "8.38").source
    assert "secondary summary" in one(found, "NFG and NOAF").source
    assert "page 8" in one(found, "Varying the size").source
    # Tags of notes mean nothing to a stranger.
    assert not any(re.search(r"\[|S2|\bR\b", claim.source) for claim in found)


def wide(variant: str, low: float = -0.25, high: float = 0.3) -> Comparison:
    """A comparison that shows nothing, and can exclude only what is outside an interval.

    Scores are called the same within 2 % of V's 8.4, which is 0.168.
    """
    return comparison(variant, (low + high) / 2, difference_interval=(low, high), detectable=0.6)


NONE = "significantly better than V"
WORSE = "NFG and NOAF"
ALIKE = "CIFG and NP"
GAIN, FGR_WORSE = "FGR gains nothing", "FGR is significantly worse"


@pytest.mark.parametrize(
    ("paper", "changed", "verdict"),
    [
        (NONE, [], "agrees"),
        (NONE, [significant("CIFG", -0.3)], "differs"),
        (NONE, [comparison("NP", count=5)], "undecided"),
        (NONE, [comparison("NP", baseline_count=9)], "undecided"),
        (NONE, [comparison("NP", count=10)], "agrees"),
        (NONE, [wide("NP")], "undecided"),
        (NONE, [wide("NP", -0.167, 0.4)], "agrees"),
        (NONE, [wide("NP", -0.169, 0.0)], "undecided"),
        (WORSE, [], "agrees"),
        (WORSE, [comparison("NOAF")], "differs"),
        (WORSE, [comparison("NOAF", count=4)], "undecided"),
        (WORSE, [wide("NOAF")], "undecided"),
        (WORSE, [wide("NOAF", -0.4, 0.167)], "differs"),
        (WORSE, [wide("NOAF", -0.4, 0.169)], "undecided"),
        (WORSE, [significant(code, 0.6, count=3) for code in ("NFG", "NOAF")], "agrees"),
        (WORSE, [significant("NFG", -0.6, count=3)], "differs"),
        (WORSE, ["NOAF"], "undecided"),
        (WORSE, ["NFG", "NOAF"], "undecided"),
        (ALIKE, [], "agrees"),
        (ALIKE, [significant("NP", 0.1)], "differs"),
        (ALIKE, [significant("NP", -0.1)], "differs"),
        (ALIKE, [comparison("NP", count=9)], "undecided"),
        (ALIKE, ["NP"], "undecided"),
        (ALIKE, [wide("NP")], "undecided"),
        (ALIKE, [wide("NP", -0.169, 0.1)], "undecided"),
        (ALIKE, [wide("NP", -0.1, 0.169)], "undecided"),
        (ALIKE, [wide("NP", -0.167, 0.167)], "agrees"),
        (GAIN, [significant("FGR", 0.2)], "agrees"),
        (GAIN, [], "agrees"),
        (GAIN, [significant("FGR", -0.2)], "differs"),
        (GAIN, [comparison("FGR", count=4)], "undecided"),
        (GAIN, ["FGR"], "undecided"),
        (GAIN, [wide("FGR")], "undecided"),
        (GAIN, [wide("FGR", -0.1, 0.4)], "agrees"),
        (FGR_WORSE, [significant("FGR", 0.2)], "agrees"),
        (FGR_WORSE, [], "differs"),
        (FGR_WORSE, [significant("FGR", -0.2)], "differs"),
        (FGR_WORSE, [comparison("FGR", count=4)], "undecided"),
        (FGR_WORSE, ["FGR"], "undecided"),
    ],
)
def test_comparisons(paper: str, changed: list[Comparison | str], verdict: str) -> None:
    """Changes of the paper's findings; of a variant that is only named there are too few trials."""
    results: dict[str, Comparison | InsufficientData] = {one.variant: one for one in everything()}
    for one_changed in changed:
        named = isinstance(one_changed, str)
        results[one_changed if named else one_changed.variant] = LACK if named else one_changed
    claim = one(check(results), paper)
    assert claim.verdict == verdict
    if "NOAF" in changed:
        assert "the best tenth of V has 2 trials" in claim.found


def test_what_a_comparison_can_see_stands_beside_its_verdict() -> None:
    found = one(check(everything()), ALIKE).found
    assert found == (
        "No difference is shown: CIFG and NP, best tenths of 20 trials or more; a difference of "
        "0.17 nats per frame (2 % of V's score) is ruled out; 90 % intervals within −0.060 to "
        "0.080, minimum detectable difference (80 % power) 0.15."
    )
    found = one(check(everything(NP=wide("NP"))), ALIKE).found
    assert "(2 % of V's score) is not ruled out for NP; 90 % intervals within −0.25 to " in found
    assert "to 0.30, minimum detectable difference (80 % power) 0.60." in found
    found = one(check(everything(NP=comparison("NP", count=9))), ALIKE).found
    assert "fewer than 10 are too few to call that agreement; 90 % intervals within" in found
    found = one(check(everything(NOAF=wide("NOAF"))), WORSE).found
    assert "NFG worse (g 3.0, p 0.004); NOAF no difference shown (g 0.12, p 0.90; 90 % " in found
    assert "interval −0.25 to 0.30, minimum detectable difference (80 % power) 0.60)." in found


def test_ten_trials_that_see_nothing_are_no_agreement() -> None:
    """A hundred noisy trials of each variant, drawn alike: nothing is shown, nothing said."""
    generator = np.random.default_rng(5)

    def draw(code: str) -> list[TrialRecord]:
        scores = 8.4 + generator.exponential(1.5, 100)
        return [entry(code, n, s, s + generator.normal(0, 0.3)) for n, s in enumerate(scores)]

    study = hand_made.records({code: draw(code) for code in ("V", "CIFG", "NP", "FGR")})
    analysis = hand_made.analysis(study)
    compared = summaries.compare(analysis.summaries)
    found = list(claims.check(dataclasses.replace(analysis, comparisons=compared)))
    for paper in (NONE, ALIKE, GAIN, FGR_WORSE):
        claim = one(found, paper)
        assert claim.verdict == "undecided"
        assert "minimum detectable difference" in claim.found


def test_the_best_score_counts_on_the_papers_data_only() -> None:
    assert one(check(best=8.5), "8.38").verdict == "agrees"
    claim = one(check(best=8.6), "8.38")
    assert claim.verdict == "differs" and "V, 8.600 nats per frame" in claim.found
    assert "2.6 % above the paper's" in claim.found
    other = {"name": "Nottingham", "sha256": "00", "detail": ""}
    claim = one(check(best=8.4, data=other), "8.38")
    assert claim.verdict == "undecided" and "other data" in claim.found


def of_shares(paper: str, **changes: object) -> Claim:
    return one(check((), [hand_made.importance(**changes)]), paper)  # type: ignore[arg-type]


RATE, MOMENTUM = "two thirds", "Momentum explains"
ORDER, PAIRS = "comes the size", "All interactions"


@pytest.mark.parametrize(
    ("paper", "shares", "std", "verdict"),
    [
        (RATE, {"learning_rate": 0.75}, 0.05, "agrees"),
        (RATE, {"learning_rate": 0.75}, 0.10, "undecided"),
        (RATE, {"learning_rate": 0.60}, 0.10, "undecided"),
        (RATE, {"learning_rate": 0.60}, 0.05, "differs"),
        (MOMENTUM, {"momentum": 0.009}, 0.02, "agrees"),
        (MOMENTUM, {"momentum": 0.02}, 0.02, "undecided"),
        (MOMENTUM, {"momentum": 0.04}, 0.02, "differs"),
        (ORDER, {"units": 0.12, "noise_std": 0.05}, 0.03, "agrees"),
        (ORDER, {"units": 0.08, "noise_std": 0.05}, 0.03, "undecided"),
        (ORDER, {"units": 0.05, "noise_std": 0.12}, 0.03, "differs"),
        (PAIRS, 0.002, 0.04, "differs"),
        (PAIRS, 0.02, 0.04, "undecided"),
        (PAIRS, 0.08, 0.04, "agrees"),
        (PAIRS, 0.20, 0.04, "undecided"),
        (PAIRS, 0.4, 0.04, "differs"),
    ],
)
def test_shares(paper: str, shares: dict[str, float] | float, std: float, verdict: str) -> None:
    """Main effects, or that of learning rate and noise together."""
    if isinstance(shares, float):
        changes = {"pairs": {("learning_rate", "noise_std"): shares}}
    else:
        changes = {"shares": {**hand_made.SHARES, **shares}}
    claim = of_shares(paper, std=std, **changes)
    assert claim.verdict == verdict
    if paper == RATE:
        assert f"{100 * shares['learning_rate']:.0f} %" in claim.found


def test_the_one_clear_interaction() -> None:
    paper = "Learning rate and input noise interact"
    assert of_shares(paper).verdict == "agrees"
    both = {("learning_rate", "noise_std"): 0.08, ("units", "learning_rate"): 0.08}
    assert of_shares(paper, pairs=both).verdict == "undecided"
    claim = of_shares(paper, pairs={("units", "learning_rate"): 0.08})
    assert claim.verdict == "differs"
    assert "the number of units and the learning rate have the most, 8.0 %" in claim.found


@pytest.mark.parametrize(
    ("curve", "times", "verdict"),
    [
        ([10.0, 9.7, 9.6], [20.0, 60.0, 100.0], "agrees"),
        ([10.0, 9.7, 9.6], [100.0, 60.0, 20.0], "undecided"),
        ([10.0, 9.9, 9.6], [20.0, 60.0, 100.0], "undecided"),
        ([10.0, 9.98, 9.97], [20.0, 60.0, 100.0], "undecided"),
        ([9.6, 9.7, 10.0], [20.0, 60.0, 100.0], "differs"),
    ],
)
def test_larger_is_better(curve: list[float], times: list[float], verdict: str) -> None:
    results = [
        hand_made.importance(curves={"units": curve}),
        hand_made.importance(target="seconds", curves={"units": times}),
    ]
    claim = one(check((), results), "Larger networks")
    assert claim.verdict == verdict
    if verdict == "agrees":
        assert claim.found == (
            "From 20 to 200 units the average score changes by −0.400 nats per frame (± 0.071), "
            "by −0.300 nats per frame up to 63; the time by a factor of 5.0."
        )


@pytest.mark.parametrize(
    ("curve", "music", "speech"),
    [
        ([9.3, 9.5, 10.1], "agrees", "differs"),
        ([9.3, 9.3, 9.35], "undecided", "undecided"),
        ([10.1, 9.5, 9.3], "differs", "differs"),
        ([9.5, 9.4, 9.0, 9.6, 10.5], "agrees", "agrees"),
        ([9.5, 9.4, 9.6, 9.0, 10.5], "agrees", "undecided"),
    ],
)
def test_input_noise(curve: list[float], music: str, speech: str) -> None:
    results = [hand_made.importance(curves={"noise_std": curve})]
    assert one(check((), results), "Input noise nearly").verdict == music
    assert one(check((), results, task="speech"), "Input noise nearly").verdict == speech


@pytest.mark.parametrize(
    ("curve", "verdict"),
    [
        ([12.5, 11.0, 9.0, 8.6, 8.5], "agrees"),
        ([12.5, 11.0, 8.5, 8.52, 8.55], "undecided"),
        ([12.5, 11.0, 8.5, 9.5, 10.5], "differs"),
    ],
)
def test_the_best_rate_lies_at_the_end(curve: list[float], verdict: str) -> None:
    results = [hand_made.importance(curves={"learning_rate": curve})]
    claim = one(check((), results), "above the searched range")
    assert claim.verdict == verdict and "searched up to 0.010" in claim.found


@pytest.mark.parametrize(
    ("high", "best", "verdict"),
    [
        # Beyond the paper's range the best itself is to be seen, not the end of what was searched.
        (1.0, 0.3, "agrees"), (1.0, -0.5, "undecided"), (1.0, -1.5, "differs"),
        # Of a range that ends before the paper's, its end says nothing.
        (1e-4, -2.0, "undecided"), (1e-4, -4.0, "differs"),
    ],
)  # fmt: skip
def test_the_best_rate_of_another_range(high: float, best: float, verdict: str) -> None:
    """`best` counts powers of ten from 1e-2; within 1 % of it are rates up to 0.28 of them away."""
    powers = np.linspace(-6, math.log10(high), 61)
    mean = 8.0 + (powers + 2 - best) ** 2
    made = hand_made.importance()
    curve = Marginal("learning_rate", 10**powers, mean, np.zeros(61))
    results = [dataclasses.replace(made, marginals=(made.marginals[0], curve, *made.marginals[2:]))]
    assert one(check((), results), "above the searched range").verdict == verdict


@pytest.mark.parametrize(
    ("best_rates", "verdict"),
    [((1e-3, 1e-3), "agrees"), ((3e-4, 2e-3), "undecided"), ((1e-5, 5e-3), "differs")],
)
def test_the_best_rate_stays(best_rates: tuple[float, float], verdict: str) -> None:
    results = [hand_made.importance(best_rates=best_rates)]
    claim = one(check((), results), "Varying the size")
    assert claim.verdict == verdict
    if verdict == "differs":
        # A sixth of the way from both ends; thirds end at 20 · 10^0.3 and begin at 20 · 10^0.7.
        assert "Best at 2.5e-5 for up to 40 units and at 2.0e-3 from 100 on" in claim.found


def test_a_forest_that_predicts_nothing_tells_nothing() -> None:
    found = check((), [hand_made.importance(explained=0.3)])
    claim = one(found, "two thirds")
    assert claim.verdict == "undecided" and "30 % of the variance" in claim.found


def test_degenerate_studies_cannot_tell() -> None:
    lack = InsufficientData("V has 5 finished trials; the analysis needs 20")
    for task in ("music", "speech", "handwriting", "own.module:Task"):
        found = check(dict.fromkeys(CODES, LACK), lack, task=task, best=20.0)
        assert {claim.verdict for claim in found[1:]} <= {"undecided", "differs"}
        assert {claim.topic for claim in found[1:] if claim.verdict == "differs"} <= {"best model"}
        assert one(found, "two thirds").found == "V has 5 finished trials; the analysis needs 20."
    study = hand_made.records({"V": []})
    assert claims.check(hand_made.analysis(study)) == ()
    small = study_analysis.analyze(made_up.records(5, ("NP",)))
    assert {claim.verdict for claim in claims.check(small)[1:]} == {"undecided"}


def test_a_study_that_is_not_complete_concludes_nothing() -> None:
    study = hand_made.records(
        {"V": [entry("V", 0, 8.4, 8.4)]}, waiting={"V": [hand_made.waiting("V", 1, 20)]}
    )
    analysis = hand_made.analysis(study, everything(), [hand_made.importance(shares=CLEAR)])
    first, *others = claims.check(analysis)
    assert first.verdict == "differs"
    assert {claim.verdict for claim in others} == {"undecided"}
    assert one(others, "two thirds").found.startswith("So far: 75 %")
    assert not one(others, "Larger networks").found.startswith("So far")


def test_departures_from_the_paper() -> None:
    entries = {code: [entry(code, place, 8.5) for place in range(200)] for code in ("V", "NP")}
    papers = hand_made.records(entries)
    assert deviations.of_search(papers) == deviations.of_data(papers) == ()
    assert claims.check(hand_made.analysis(papers))[0].verdict == "agrees"
    entries["NP"] = entries["NP"][:20]
    space = {**papers.facts["space"], "learning_rate": [1e-6, 0.1], "forget_bias": [0, 2]}
    protocol = {**papers.facts["protocol"], "max_epochs": 4, "order_seed": 9}
    data = {"name": "Nottingham", "sha256": "00", "detail": ""}
    study = hand_made.records(entries, space=space, protocol=protocol, data=data, sampler="tpe")
    assert deviations.of_search(study) == (
        "20 to 200 trials a variant instead of 200",
        "learning rate 1e-6 to 0.1 instead of 1e-6 to 0.01",
        "forget-gate bias 0 to 2, which the paper did not vary",
        "sampler tpe instead of random",
        "at most 4 epochs instead of 150",
    )
    assert deviations.of_data(study) == ("Nottingham instead of JSB Chorales",)
    own = hand_made.records({"V": entries["V"]}, task="own.module:Task", data=data)
    assert deviations.of_data(own) == ("Nottingham instead of the data of the paper",)
    claim = claims.check(hand_made.analysis(study))[0]
    assert (claim.topic, claim.verdict) == ("the study itself", "differs")
    assert claim.found.startswith("20 to 200 trials a variant instead of 200; learning rate ")
    assert claim.found.endswith("; Nottingham instead of JSB Chorales.")
