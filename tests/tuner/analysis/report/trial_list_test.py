"""The list of all trials against the ledger."""

from __future__ import annotations

import dataclasses

import pytest

from tests.tuner.analysis import made_up
from tuner.analysis.report import trial_list
from tuner.analysis.report.trial_list import Column
from tuner.analysis.trials.records import Records
from tuner.analysis.words.notation import significant
from tuner.study.progress import duration
from tuner.training.protocol import Epoch, Failure


@pytest.fixture
def records() -> Records:
    """Thirty trials of each of three variants; of the second one more, which failed."""
    found = made_up.records(30, ("V", "NIG", "NFG"))
    lost = dataclasses.replace(found.entries["NIG"][-1].trial, index=30)
    failures = {**found.failures, "NIG": (Failure(lost, "killed", "native"),)}
    return dataclasses.replace(found, failures=failures)


def test_every_trial_has_a_row_and_its_own_curve(records: Records) -> None:
    entries = [entry for trials in records.entries.values() for entry in trials]
    rows = list(trial_list.rows(records, grouped=False))
    curves = trial_list.curves(records)
    assert len(rows) == len(entries) + 1 and len(curves) == len(entries)
    assert [row.cells[0].order for row in rows] == list(range(len(rows)))
    finished = [row for row in rows if row.curve is not None]
    for entry, row in zip(entries, finished, strict=True):
        assert row.cells[0].text == f"{entry.trial.variant} {entry.trial.index}"
        assert row.variant == entry.trial.variant
        assert row.status == ("diverged" if entry.result.diverged else "finished")
        assert curves[row.curve or 0]["best"] == entry.result.best_epoch
    assert {row.status for row in rows} == {"finished", "diverged", "failed"}


def test_cells_stand_under_their_heads(records: Records) -> None:
    columns = [column.name for column in trial_list.columns(grouped=False)]
    # After the failed trial rows and curves are no longer at the same place.
    row = list(trial_list.rows(records, grouped=False))[76]
    cells = dict(zip(columns, row.cells, strict=True))
    trial, result = records.entries["NFG"][15].trial, records.entries["NFG"][15].result
    assert {name: cell.text for name, cell in cells.items()} == {
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
        "status": row.status,
    }
    assert cells["parameters"].order == result.parameters
    assert cells["seconds"].order == pytest.approx(result.seconds, abs=1e-3)


def test_a_failed_trial_has_what_was_varied_and_nothing_else(records: Records) -> None:
    row = list(trial_list.rows(records, grouped=True))[60]
    assert len(row.cells) == len(trial_list.columns(grouped=True))
    assert (row.cells[0].text, row.status, row.curve) == ("NIG 30", "failed", None)
    assert [cell.text for cell in row.cells[5:]] == [""] * 7 + ["failed"]
    assert row.cells[1].text == str(records.failures["NIG"][0].trial.units)


def test_merged_classes_are_beside_the_test() -> None:
    speech = made_up.records(30, ("V",), task="speech")
    assert trial_list.columns(grouped=True)[7] == Column("merged", "test, merged classes")
    row = next(trial_list.rows(speech, grouped=True))
    assert row.cells[7].text == significant(speech.entries["V"][0].result.test_grouped)


def test_curves_have_four_digits_and_the_place_of_their_epoch(records: Records) -> None:
    entry = records.entries["V"][0]
    curve = (Epoch(0, None, 61.0), Epoch(1, 12.34567, 9.87654), Epoch(3, 1e-5 / 3, 8.0))
    result = dataclasses.replace(entry.result, curve=curve, best_epoch=3)
    entries = {"V": (dataclasses.replace(entry, result=result),)}
    assert trial_list.curves(dataclasses.replace(records, entries=entries)) == [
        {"validation": [61, 9.877, None, 8], "loss": [None, 12.35, None, 3.333e-6], "best": 3}
    ]
