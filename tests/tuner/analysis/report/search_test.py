"""The report of a study whose sampler looked at results, or laid its trials out evenly."""

from __future__ import annotations

import csv
import dataclasses
import pathlib

import pytest

from tests.tuner.analysis import hand_made, made_up
from tuner.analysis import study_analysis
from tuner.analysis.report import report
from tuner.analysis.statistics import summaries
from tuner.analysis.statistics.summaries import Comparison, NotDrawnAtRandom
from tuner.analysis.trials.records import Records
from tuner.analysis.words import claims, findings, guidelines
from tuner.search.samplers import with_place
from tuner.training.protocol import Failure, TrialRecord


def placed(record: TrialRecord, place: int) -> TrialRecord:
    trial = dataclasses.replace(record.trial, seed=with_place(5 + place, place))
    return dataclasses.replace(record, trial=trial)


def study() -> Records:
    """V 9, NP 8.5, V 8.8, a failure, V diverged at 7, NP 8.2, NP 8.4, and a waiting trial."""
    entries = {
        "V": [
            placed(hand_made.entry("V", 0, 9.0), 0),
            placed(hand_made.entry("V", 1, 8.8), 2),
            placed(hand_made.entry("V", 2, 7.0, diverged=True), 4),
        ],
        "NP": [
            placed(hand_made.entry("NP", 0, 8.5), 1),
            placed(hand_made.entry("NP", 2, 8.2), 5),
            placed(hand_made.entry("NP", 3, 8.4), 6),
        ],
    }
    failed = placed(hand_made.entry("NP", 1, 8.0), 3).trial
    waiting = dataclasses.replace(hand_made.waiting("V", 3, 60), seed=with_place(1, 7))
    return hand_made.records(
        entries,
        failures={"NP": [Failure(failed, "killed", "native")]},
        waiting={"V": [waiting]},
        sampler="evolution",
        lag=2,
        variants=["V", "NP", "FGR"],
        versions={},
    )


def test_trials_are_followed_in_the_order_of_their_proposals() -> None:
    analysis = study_analysis.analyze(study())
    progress = analysis.progress
    assert progress is not None
    assert progress.places == (0, 1, 2, 4, 5, 6)
    assert [entry.trial.variant for entry in progress.entries] == ["V", "NP", "V", "V", "NP", "NP"]
    # What diverged never wins.
    assert progress.best == (9.0, 8.5, 8.5, 8.5, 8.2, 8.2)
    assert (progress.last_gain, progress.proposed) == (4, 8)
    said = " ".join(one.text for one in findings.find(analysis))
    assert "of a trial that did not diverge, 8.200, was found by proposal 6 of 8." in said
    assert "1 trial that were proposed have not ended" not in said
    assert "1 proposed trial has not ended" in said
    assert "longest" not in said


def test_a_search_that_only_diverged() -> None:
    entries = {"V": [placed(hand_made.entry("V", at, 9.0, diverged=True), at) for at in range(3)]}
    only = dataclasses.replace(study(), entries={**study().entries, **entries, "NP": ()})
    said = [one.text for one in findings.find(study_analysis.analyze(only))]
    assert "Every trial diverged." in said and not any("∞" in one for one in said)


def test_nothing_that_assumes_random_trials_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tuner.analysis.importance.importance.analyze",
        lambda *_, variant, target, **__: hand_made.importance(variant, target),
    )
    made = made_up.records(21, ("V", "NFG"), seed=2)
    for sampler, importance in (("tpe", False), ("mine", False), ("qmc", True)):
        records = dataclasses.replace(made, facts={**made.facts, "sampler": sampler})
        analysis = study_analysis.analyze(records)
        assert isinstance(analysis.comparisons["NFG"], NotDrawnAtRandom)
        assert analysis.expected_best == ()
        found = analysis.importance["V", "test"]
        assert isinstance(found, NotDrawnAtRandom) is not importance
        assert (analysis.progress is None) is importance
        said = [*findings.find(analysis), *guidelines.guide(analysis)]
        words = " ".join(f"{one.text} {one.evidence}" for one in said)
        assert "NFG is not compared with V." in words
        assert "on average takes" not in words and "trials of a variant are enough" not in words
        assert f"the sampler {sampler} proposed them" in words
        verdicts = {claim.topic: claim.verdict for claim in claims.check(analysis)}
        assert verdicts["forget gate and output activation"] == "undecided"
    (plain,) = summaries.compare([analysis.summaries[0], analysis.summaries[1]]).values()
    assert isinstance(plain, Comparison)


@pytest.mark.parametrize("sampler", ["evolution", "qmc"])
def test_the_page_shows_the_search_and_how_to_repeat_it(
    tmp_path: pathlib.Path, sampler: str
) -> None:
    records = study()
    joint = sampler == "evolution"
    facts = {**records.facts, "sampler": sampler}
    if not joint:
        facts = {name: fact for name, fact in facts.items() if name not in ("lag", "variants")}
    records = dataclasses.replace(records, facts=facts)
    page = report.write([records], tmp_path).read_text()
    assert ("made-by-hand-progress-" in page) is joint
    assert ("The trials are no random sample." in page) and f"The sampler {sampler}" in page
    expected = (
        # Eight trials of three variants.
        "--variants=V,NP,FGR --trials=3 " if joint else "--variants=V,NP --trials=4 "
    )
    command = report.command(records)
    assert expected in command and f"--sampler={sampler}" in command
    assert ("--lag=2" in command) is joint
    with (tmp_path / "tables" / "comparisons.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["verdict"].startswith("no test: the tests assume trials drawn at random")
