import errno
import json
import os
import pathlib

import pytest

from common.errors import InputError
from tests.tuner.entry import make_entry
from tuner.study.ledger import Ledger, best_first, from_json, to_json
from tuner.training.protocol import Failure, TrialRecord


@pytest.fixture
def ledger(tmp_path: pathlib.Path) -> Ledger:
    return Ledger(tmp_path / "NFG.jsonl")


def test_a_line_has_the_documented_fields() -> None:
    fields = json.loads(to_json(make_entry(3)))
    assert fields == {
        "trial": 3,
        "variant": "NFG",
        "hyperparameters": {
            "units": 60,
            "learning_rate": 1e-3 / 3,
            "momentum": 0.7,
            "noise_std": 0.1,
        },
        "seed": 2**62 + 1,
        "best_epoch": 1,
        "validation": 8.5,
        "test": 8.7,
        "validation_per_sequence": 8.6,
        "test_per_sequence": 8.8,
        "curve": [
            {"epoch": 0, "loss": None, "validation": 61.0},
            {"epoch": 1, "loss": 12.25, "validation": 8.5},
        ],
        "diverged": False,
        "seconds": 1.5,
        "parameters": 121,
        "engine": "keras",
        "test_grouped": 7.5,
    }


def test_a_line_without_the_grouped_score_is_read() -> None:
    fields = json.loads(to_json(make_entry(3)))
    del fields["test_grouped"]
    entry = from_json(json.dumps(fields))
    assert isinstance(entry, TrialRecord) and entry.result.test_grouped is None


def test_entries_come_back_as_they_were(ledger: Ledger) -> None:
    entries = [make_entry(index, 9 - index) for index in range(3)]
    failure = Failure(entries[1].trial, "its process was killed by SIGKILL", "native")
    for record in (entries[0], failure, entries[2]):
        ledger.append(record)
    assert ledger.records() == (entries[0], failure, entries[2])
    assert ledger.entries() == (entries[0], entries[2])
    assert ledger.failures() == (failure,)
    assert from_json(to_json(entries[2])) == entries[2]


def test_a_failed_trial_has_the_documented_fields() -> None:
    fields = json.loads(to_json(Failure(make_entry(3).trial, "no memory", "native")))
    assert list(fields) == ["trial", "variant", "hyperparameters", "seed", "failed", "engine"]
    assert (fields["trial"], fields["failed"], fields["engine"]) == (3, "no memory", "native")


@pytest.mark.parametrize("kept", [0, 1, 40, -2, -1])
def test_a_torn_last_line_is_repaired(ledger: Ledger, kept: int) -> None:
    first, second, third = map(make_entry, range(3))
    ledger.append(first)
    whole = ledger.path.read_bytes()
    ledger.append(second)
    torn = ledger.path.read_bytes()[len(whole) :][:kept]
    ledger.path.write_bytes(whole + torn)

    ledger.repair()
    ledger.append(third)
    # All but the line end was on disk: the trial was finished.
    expected = (first, second, third) if kept == -1 else (first, third)
    assert ledger.entries() == expected
    assert ledger.path.read_bytes().count(b"\n") == len(expected)


def test_a_damaged_line_in_the_middle_is_named(ledger: Ledger) -> None:
    for index in range(3):
        ledger.append(make_entry(index))
    lines = ledger.path.read_text().splitlines(keepends=True)
    ledger.path.write_text(lines[0] + lines[1][:50] + "\n" + lines[2])
    with pytest.raises(InputError, match="line 2") as caught:
        ledger.entries()
    assert str(ledger.path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="line 2"):
        ledger.repair()


def test_a_full_disk_leaves_the_ledger_as_it_was(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = make_entry(0)
    ledger.append(entry)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as caught:
            ledger.append(make_entry(1))
    assert caught.value.filename == str(ledger.path)
    assert ledger.entries() == (entry,)
    assert ledger.path.read_bytes().endswith(b"\n")


def test_numbers_that_are_not_finite_never_get_in(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        ledger.append(make_entry(0, float("nan")))
    assert ledger.entries() == ()


def test_best_first_breaks_ties_by_index() -> None:
    entries = [make_entry(0, 9.0), make_entry(1, 8.0), make_entry(2, 8.0)]
    assert [entry.trial.index for entry in best_first(reversed(entries))] == [1, 2, 0]
