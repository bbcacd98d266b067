"""The list of all trials against the ledger."""

from __future__ import annotations

import dataclasses

import pytest

from common.text import duration, significant
from tests.tuner.analysis import made_up
from tuner.analysis.report import trial_list
from tuner.analysis.trials.records import Records
from tuner.training.protocol import Epoch, Failure


@pytest.fixture
def records() -> Records:
    """Thirty trials of each of three variants; of the second one more, which failed."""
    found = made_up.records(30, ("V", "NIG", "NFG"))
    lost = dataclasses.replace(found.entries["NIG"][-1].trial, index=30)
    failures = {**found.failures, "NIG": (Failure(lost, "killed", "native"),)}
    return dataclasses.replace(found, failures=failures)


def cells(records: Records, place: int) -> dict[str, str]:
    """What a row has, by the name of the column."""
    record, _ = list(trial_list.rows(records))[place]
    return {column.name: column.write(record) for column in trial_list.columns(records)}


def test_every_trial_has_a_row_and_its_own_curve(records: Records) -> None:
    rows = list(trial_list.rows(records))
    curves = trial_list.curves(records)
    assert len(rows) == records.finished + 1 and len(curves) == records.finished
    assert [record for record, place in rows if place is not None] == records.all_entries
    assert [record for record, place in rows if place is None] == records.all_failures
    for record, place in rows:
        if place is not None:
            assert curves[place]["best"] == record.result.best_epoch
    statuses = [trial_list.status(record) for record, _ in rows]
    assert statuses.count("failed") == 1
    assert statuses.count("diverged") == sum(one.result.diverged for one in records.all_entries) > 0


def test_cells_stand_under_their_heads(records: Records) -> None:
    # After the failed trial rows and curves are no longer at the same place.
    trial, result = records.entries["NFG"][15].trial, records.entries["NFG"][15].result
    assert cells(records, 30 + 31 + 15) == {
        "trial": "NFG 15",
        "units": str(trial.units),
        "learning_rate": significant(trial.learning_rate, 3),
        "momentum": significant(trial.momentum, 3),
        "noise": significant(trial.noise_std, 3),
        "validation": significant(result.validation.mean),
        "test": significant(result.test.mean),
        "best_epoch": str(result.best_epoch),
        "epochs": str(result.curve[-1].epoch),
        "parameters": f"{result.parameters:,}",
        "seconds": duration(result.seconds),
        "status": "diverged" if result.diverged else "finished",
    }
    keys = {
        column.name: column.sort_key(records.entries["NFG"][15])
        for column in trial_list.columns(records)
    }
    assert keys["parameters"] == result.parameters
    assert keys["seconds"] == pytest.approx(result.seconds, abs=1e-3)
    assert keys["test"] is None and all(
        column.sort_key(records.all_failures[0]) is None for column in trial_list.columns(records)
    )


def test_a_failed_trial_has_what_was_varied_and_nothing_else(records: Records) -> None:
    failed = cells(records, 30 + 30)
    assert (failed["trial"], failed["status"]) == ("NIG 30", "failed")
    assert failed["units"] == str(records.failures["NIG"][0].trial.units)
    assert [name for name, text in failed.items() if text] == [
        "trial", "units", "learning_rate", "momentum", "noise", "status"
    ]  # fmt: skip


def test_merged_classes_are_beside_the_test(records: Records) -> None:
    speech = made_up.records(30, ("V",), task="speech")
    heads = {column.name: column.label for column in trial_list.columns(speech)}
    assert list(heads)[6:8] == ["test", "merged"] and heads["merged"] == "test, merged classes"
    assert cells(speech, 0)["merged"] == significant(speech.entries["V"][0].result.test_grouped)
    assert "merged" not in cells(records, 0)


def test_curves_have_four_digits_and_the_place_of_their_epoch(records: Records) -> None:
    entry = records.entries["V"][0]
    curve = (Epoch(0, None, 61.0), Epoch(1, 12.34567, 9.87654), Epoch(3, 1e-5 / 3, 8.0))
    result = dataclasses.replace(entry.result, curve=curve, best_epoch=3)
    entries = {"V": (dataclasses.replace(entry, result=result),)}
    assert trial_list.curves(dataclasses.replace(records, entries=entries)) == [
        {"validation": [61, 9.877, None, 8], "loss": [None, 12.35, None, 3.333e-6], "best": 3}
    ]
