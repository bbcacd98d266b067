import dataclasses
import errno
import json
import os
import pathlib
import random

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


@pytest.mark.parametrize(
    "changes",
    [
        {"trial": "0"},
        {"trial": None},
        {"variant": 3},
        {"hyperparameters": [1]},
        {"hyperparameters": {"units": "60"}},
        {"hyperparameters": {"units": True}},
        {"hyperparameters": {"layers": 2}},
        {"seed": 1.5},
        {"best_epoch": "1"},
        {"validation": None},
        {"validation": float("nan")},
        {"test": float("inf")},
        {"test": 10**400},
        {"curve": None},
        {"curve": 3},
        {"curve": [1]},
        {"curve": [{"epoch": 0}]},
        {"curve": [{"epoch": 0, "loss": "1", "validation": 2.0}]},
        {"curve": [{"epoch": 0, "loss": 1.0, "validation": 2.0, "more": 1}]},
        {"diverged": "no"},
        {"seconds": [1]},
        {"parameters": 1.5},
        {"engine": None},
        {"test_grouped": "7.5"},
        {"failed": 3},
    ],
    ids=str,
)
def test_a_field_of_another_kind_is_a_damaged_line(ledger: Ledger, changes: dict) -> None:
    line = json.dumps(json.loads(to_json(make_entry(0))) | changes)
    ledger.path.write_text(f"{to_json(make_entry(1))}\n{line}\n")
    with pytest.raises(InputError, match="line 2 is not a ledger entry") as caught:
        ledger.records()
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


@pytest.mark.parametrize("line", ["", "3", "null", "[]", "{}", "[" * 100_000, "\udcff", '"trial"'])
def test_a_line_of_something_else_is_named(ledger: Ledger, line: str) -> None:
    text = f"{line}\n{to_json(make_entry(1))}\n"
    ledger.path.write_text(text, errors="surrogateescape")
    with pytest.raises(InputError, match="line 1 is not a ledger entry") as caught:
        ledger.records()
    assert str(caught.value).isprintable()


def test_a_trial_that_has_finished_has_no_further_line(ledger: Ledger) -> None:
    failure = Failure(make_entry(1).trial, "its process was killed by SIGKILL", "native")
    for later in (make_entry(1, 7.0), failure):
        ledger.path.write_text("".join(
            f"{to_json(record)}\n" for record in (make_entry(1), make_entry(0), later)
        ))  # fmt: skip
        with pytest.raises(InputError, match=r"line 3: .* once. Received twice: trial 1"):
            ledger.records()


def test_the_last_line_of_a_trial_that_was_tried_again_counts(ledger: Ledger) -> None:
    other = make_entry(0)
    failures = [Failure(make_entry(1).trial, reason, "native") for reason in ("a", "b")]
    for record in (failures[0], other, failures[1]):
        ledger.append(record)
    assert ledger.records() == (other, failures[1])
    ledger.append(make_entry(1))
    assert ledger.records() == (other, make_entry(1)) and ledger.failures() == ()


def test_a_trial_of_another_variant_or_study_is_named(ledger: Ledger) -> None:
    planned = [make_entry(index).trial for index in range(2)]
    foreign = dataclasses.replace(planned[1], seed=3)
    for trial in (foreign, make_entry(2).trial, dataclasses.replace(planned[1], index=-1)):
        with pytest.raises(InputError, match=f"trial {trial.index} is not that of the design"):
            ledger.check([make_entry(0), Failure(trial, "", "")], planned)
    ledger.check([make_entry(1), make_entry(0)], planned)
    moved = dataclasses.replace(make_entry(0), trial=dataclasses.replace(planned[0], variant="V"))
    ledger.append(moved)
    with pytest.raises(InputError, match=r"line 1: expected a trial of NFG. Received: one of V"):
        ledger.records()


def test_any_damaged_byte_is_one_line_or_does_no_harm(ledger: Ledger) -> None:
    for index in range(3):
        ledger.append(make_entry(index))
    content = ledger.path.read_bytes()
    chance = random.Random(1)
    refused = 0
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        ledger.path.write_bytes(damaged[: chance.choice([None, chance.randrange(len(damaged))])])
        try:
            ledger.repair()
            ledger.records()
        except InputError as error:
            assert str(error).isprintable()
            refused += 1
    assert 30 < refused < 120


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
