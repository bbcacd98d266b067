"""The table of all trials: nothing is lost on the way through CSV, Parquet and pandas."""

from __future__ import annotations

import csv
import dataclasses
import doctest
import json
import math
import pathlib
import subprocess
import sys
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import tuner
from common.errors import InputError
from tests import commands
from tests.commands import ROOT
from tests.docs_test import code_blocks
from tests.tuner.analysis import made_up
from tests.tuner.entry import make_entry
from tests.tuner.tiny_task import TinyTask
from tuner.analysis.trials import sources, table
from tuner.analysis.trials.columns import STATUSES, columns
from tuner.analysis.trials.records import Records
from tuner.search.space import PAPER
from tuner.study.presets import StudyConfig
from tuner.study.study import Study
from tuner.training.protocol import Epoch, Failure, Problem, Protocol, Score, TrialRecord

COLUMNS = columns()
NAMES = [column.name for column in COLUMNS]
SUFFIXES = ("csv", "parquet")


def odd_study() -> Records:
    """Values that a careless table changes."""
    plain = made_up.records(2, ("V", "FGR"))
    trial = dataclasses.replace(
        make_entry(0).trial,
        variant="V",
        values={
            "units": 60,
            "learning_rate": np.nextafter(0.1, 1.0).item(),
            "momentum": 5e-324,
            "noise_std": 0.1 + 0.2,
            "forget_bias": 1e-7,
        },
        seed=2**63,
    )
    result = dataclasses.replace(
        make_entry(0).result,
        validation=Score(1 / 3, -0.0),
        test=Score(1.7976931348623157e308, 1e-7 / 3),
        curve=(Epoch(0, None, math.pi),),
        best_epoch=0,
        diverged=True,
        parameters=2**53 + 1,
    )
    long = tuple(Epoch(epoch, 1 / epoch, math.sqrt(epoch)) for epoch in range(1, 9_000))
    long_result = dataclasses.replace(
        result, curve=(Epoch(0, None, 2.0), *long), test_grouped=None, diverged=False
    )
    facts = {
        **plain.facts,
        "data": {"name": 'Bach, "J. S."', "sha256": "", "detail": "é\n🎵, \t;\r\nNA"},
        "versions": {},
        "seed": 2**64 - 1,
        "space": {**plain.facts["space"], "forget_bias": [0, 2]},
        "sampler": "tpe",
        "lag": 8,
        "variants": ["V", "NP", "FGR"],
        "cells": {"GRUCell": "my_package.cells:GRUCell"},
        "task_class": "my_package.tasks:ChordTask",
    }
    del facts["machines"]
    return Records(
        name="Chöre, 1. Versuch",
        facts=facts,
        entries={
            "V": (TrialRecord(trial, result),),
            "NP": (TrialRecord(dataclasses.replace(trial, variant="NP", index=3), long_result),),
            "FGR": (),
            "GRUCell": (),
        },
        failures={
            "V": (
                Failure(dataclasses.replace(trial, index=1, seed=0), "", "keras"),
                Failure(dataclasses.replace(trial, index=7), "nan, \"None\"\n='1'", "native"),
            ),
            "NP": (),
            "FGR": (),
            "GRUCell": (),
        },
        waiting={
            "V": (dataclasses.replace(trial, index=2),),
            "NP": (),
            "FGR": (dataclasses.replace(trial, variant="FGR"),),
            "GRUCell": (dataclasses.replace(trial, variant="GRUCell"),),
        },
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_studies_come_back_exactly(tmp_path: pathlib.Path, suffix: str) -> None:
    speech = made_up.records(7, ("V", "NOAF"), ended=0.5, task="speech")
    studies = (odd_study(), made_up.records(9), dataclasses.replace(speech, name="speech"))
    path = tmp_path / f"trials.{suffix}"
    table.write(studies, path)
    back = table.read(path)
    assert back == studies
    for one, other in zip(back, studies, strict=True):
        # Also what is equal but not the same: -0.0, or a float for an integer.
        for trials in ("entries", "failures", "waiting"):
            assert repr(getattr(one, trials)) == repr(getattr(other, trials))
    again = tmp_path / f"again.{suffix}"
    table.write(back, again)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_libraries_read_the_same_numbers(tmp_path: pathlib.Path, suffix: str) -> None:
    study = made_up.records(20)
    path = tmp_path / f"trials.{suffix}"
    table.write([study], path)
    if suffix == "csv":
        read = pd.read_csv(path)
        read["curve_loss"] = read.curve_loss.map(json.loads, na_action="ignore")
    else:
        read = pd.read_parquet(path)
    assert len(read) == 180
    finished = read[read.status == "finished"]
    entries = [entry for entries in study.entries.values() for entry in entries]
    assert finished.test.tolist() == [entry.result.test.mean for entry in entries]
    for name in PAPER.names:
        assert finished[name].tolist() == [entry.trial.values[name] for entry in entries]
    assert finished.seed.tolist() == [entry.trial.seed for entry in entries]
    losses = [point.loss for point in entries[5].result.curve]
    assert list(finished.curve_loss.iloc[5])[1:] == losses[1:]


def test_parquet_explains_itself(tmp_path: pathlib.Path) -> None:
    table.write([made_up.records(2)], tmp_path / "trials.parquet")
    field = pq.read_schema(tmp_path / "trials.parquet").field("seconds")
    assert field.metadata == {b"unit": b"seconds", b"meaning": b"time of training and measuring"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_all_that_a_real_study_says_is_in_the_table(tmp_path: pathlib.Path, suffix: str) -> None:
    """Who adds to study.json has to add to the table."""
    problem = Problem(TinyTask(), TinyTask().load("a"), Protocol(optimizer="adam"))
    config = StudyConfig(problem, ("V", "NP"), 2, PAPER.with_ranges({"forget_bias": (0, 1)}), 3)
    Study(tmp_path, config, "python -m tuner.run").run(mock.Mock(), mock.Mock())
    path = tmp_path / f"trials.{suffix}"
    studies = sources.load_all([tmp_path])
    assert "command" in str(studies[0].facts) and studies[0].planned == {"V": 2, "NP": 2}
    table.write(studies, path)
    assert sources.load_all([path]) == studies


def test_the_first_releases_range_of_momentum(tmp_path: pathlib.Path) -> None:
    study = made_up.records(3, ("V",))
    ranges = dict(study.facts["space"])
    del ranges["momentum"]
    old = {**study.facts, "space": {**ranges, "one_minus_momentum": [0.01, 1.0]}}
    table.write([dataclasses.replace(study, facts=old)], tmp_path / "trials.csv")
    assert table.read(tmp_path / "trials.csv") == (study,)


def test_a_hyperparameter_of_the_study_may_not_be_missing(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "trials.csv"
    space = PAPER.with_ranges({"forget_bias": (0, 2)})
    table.write([made_up.records(3, ("V",), space=space)], path)
    head, *lines = cells(path)
    lines[1][head.index("forget_bias")] = ""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *lines])
    with pytest.raises(InputError, match=r"row 2, column forget_bias: expected a finite number\."):
        table.read(path)


def test_no_trial_is_a_table_too(tmp_path: pathlib.Path) -> None:
    for suffix in SUFFIXES:
        table.write([], tmp_path / f"trials.{suffix}")
        assert table.read(tmp_path / f"trials.{suffix}") == ()
        assert list(tuner.load_trials(tmp_path / f"trials.{suffix}").columns) == NAMES


def test_the_frame_is_the_same_from_everywhere(tmp_path: pathlib.Path) -> None:
    directory = made_up.write(tmp_path / "music", 10, ("V", "NOAF"), ended=0.9)
    frame = tuner.load_trials(str(directory))
    assert len(frame) == 20
    for suffix in SUFFIXES:
        path = tmp_path / f"trials.{suffix}"
        table.write(sources.load_all([directory]), path)
        pd.testing.assert_frame_equal(tuner.load_trials(path), frame, check_exact=True)
    expected = {"diverged": "boolean", "best_epoch": "Int64", "trial": "int64", "seed": "uint64"}
    expected |= {"test": "float64", "failure": "str", "space": "str"}
    assert {name: str(frame.dtypes[name]) for name in expected} == expected
    assert frame.status.value_counts()["waiting"] == 2
    waiting = frame[frame.status == "waiting"].iloc[0]
    assert waiting.isna()[["test", "diverged", "curve_loss", "engine", "failure"]].all()
    (study,) = sources.load_all([directory])
    entry = study.entries["NOAF"][1]
    row = frame[(frame.variant == "NOAF") & (frame.trial == entry.trial.index)].iloc[0]
    curve = entry.result.curve
    assert row.curve_validation == [point.validation for point in curve]
    assert row.curve_loss == [point.loss for point in curve]
    assert (row.validation, row.test) == (entry.result.validation.mean, entry.result.test.mean)
    assert row.seed == entry.trial.seed


def cells(path: pathlib.Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


DAMAGE = {
    "trial": [("x", "expected an integer. Received: 'x'"), ("", "an integer. Received: nothing")],
    "seed": [("-1", "expected an integer from 0"), ("18446744073709551616", "an integer from 0")],
    "test": [("nan", "a finite number. Received: 'nan'"), ("8,5", "a finite number")],
    "seconds": [("inf", "a finite number. Received: 'inf'")],
    "best_epoch": [("1.5", "expected an integer. Received: '1.5'")],
    "diverged": [("yes", "expected True or False. Received: 'yes'")],
    "status": [("done", "expected one of finished, failed, waiting. Received: 'done'")],
    "failure": [("why", "expected nothing for a finished trial. Received: 'why'")],
    "variant": [("a/b", "expected a name that a folder can have. Received: 'a/b'")],
    "space": [("[]", "a JSON object"), ("{", "a JSON object")],
    "versions": [("", "a JSON object. Received: nothing")],
    "curve_loss": [(text, "finite numbers") for text in ("[1.0, Infinity]", '["a"]', "1.0")],
    "curve_epoch": [("[0, 0.5]", "a list of integers")],
    "data_sha256": [("0", "expected what the first row of study music has, '5eed")],
    "study": [("../music", "expected a name that a folder can have. Received: '../music'")],
}


@pytest.mark.parametrize(
    ("column", "text", "complaint"),
    [
        (column, text, complaint)
        for column, damages in DAMAGE.items()
        for text, complaint in damages
    ],
)
def test_a_damaged_cell_is_one_line(
    tmp_path: pathlib.Path, column: str, text: str, complaint: str
) -> None:
    path = tmp_path / "trials.csv"
    table.write([made_up.records(3, ("V",))], path)
    lines = cells(path)
    lines[2][NAMES.index(column)] = text
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    with pytest.raises(InputError) as caught:
        table.read(path)
    assert f"{path}: row 2, column {column}: " in str(caught.value)
    assert complaint in str(caught.value)


def test_curves_of_unequal_length_and_doubled_trials_are_damage(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "trials.csv"
    table.write([made_up.records(3, ("V",))], path)
    head, *lines = cells(path)
    for damaged, complaint in (
        ([*lines, lines[0]], "row 4, column trial: trial 0 of V in study music is there already"),
        ([line[:-1] for line in lines], f"row 1: expected {len(COLUMNS)} cells. Received: "),
        ([replaced(lines[0], "curve_epoch", "[0]"), *lines[1:]], "row 1: expected curve_epoch, "),
        ([replaced(line, "space", '{"units": 3}') for line in lines], "row 1: expected task, "),
    ):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([head, *damaged])
        with pytest.raises(InputError, match=f"{path}: {complaint}"):
            table.read(path)


def replaced(line: list[str], column: str, text: str) -> list[str]:
    return [text if name == column else cell for name, cell in zip(NAMES, line, strict=True)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_foreign_or_torn_file_is_one_line(tmp_path: pathlib.Path, suffix: str) -> None:
    path = tmp_path / f"trials.{suffix}"
    frame = table.frame([made_up.records(2, ("V",))]).drop(columns=["seed", "test"])
    frame.to_csv(path) if suffix == "csv" else frame.to_parquet(path)
    with pytest.raises(InputError, match=r"It lacks the columns seed, test$"):
        table.read(path)
    table.write([made_up.records(2, ("V",))], path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match=rf"^{path}: "):
        table.read(path)
    path.write_bytes(b"\xff\xfe\x00" * 30)
    with pytest.raises(InputError, match=rf"^{path}: expected "):
        table.read(path)


def test_columns_of_ones_own_and_floats_for_integers_do_no_harm(tmp_path: pathlib.Path) -> None:
    study = made_up.records(6, ("V",), ended=0.5)
    frame = table.frame([study])
    frame["one_minus_momentum"] = 1 - frame.momentum
    frame = frame.astype({"best_epoch": "float64", "parameters": "float64"})
    folder = tmp_path / "seed=1"
    folder.mkdir()
    frame.to_parquet(folder / "trials.parquet")
    assert table.read(folder / "trials.parquet") == (study,)


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path: pathlib.Path) -> None:
    study = made_up.records(2, ("V",))
    too_long = dataclasses.replace(study, facts={**study.facts, "seed": 2**64})
    path = tmp_path / "trials.parquet"
    table.write([study], path)
    with pytest.raises(OverflowError):
        table.write([too_long], path)
    assert table.read(path) == (study,)
    assert [left.name for left in tmp_path.iterdir()] == ["trials.parquet"]
    with pytest.raises(InputError, match=r"trials\.xlsx: expected a name that ends in \.csv or"):
        table.write([study], tmp_path / "trials.xlsx")


def test_the_data_dictionary_is_that_of_the_code() -> None:
    text = (ROOT / "docs" / "trial_table.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{column.name}` | {column.dtype} | {column.unit} | "
        f"{'all' if column.statuses == STATUSES else ', '.join(column.statuses)}"
        f"{' (may be missing)' if column.optional else ''} | {column.meaning} |"
        for column in COLUMNS
    ]


def test_the_examples_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up.write(tmp_path / "studies" / "music", 11)
    monkeypatch.chdir(ROOT)
    tested = doctest.testmod(tuner)
    assert tested.attempted == 5 and not tested.failed
    monkeypatch.chdir(tmp_path)
    exec("".join(code_blocks("docs/trial_table.md")), {})
    printed = capsys.readouterr().out
    # By another way: the test scores of the best two of eleven.
    best = sorted(
        made_up.records(11).entries["NOG"], key=lambda entry: entry.result.validation.mean
    )[:2]
    (line,) = [line.split() for line in printed.splitlines() if line.startswith("NOG")]
    tests = [entry.result.test.mean for entry in best]
    assert line[1] == "2"
    assert [float(number) for number in line[2:]] == pytest.approx(
        [sum(tests) / 2, min(tests)], abs=1e-5
    )
    assert "curve_epoch" in printed and printed.count("\n") > 15


def test_the_export_command(tmp_path: pathlib.Path) -> None:
    directory = made_up.write(tmp_path / "music", 2, ("V",))
    made_up.write(tmp_path / "part", 2, ("NP",))

    outs = [tmp_path / f"trials.{suffix}" for suffix in SUFFIXES]
    done = commands.run(
        "tuner.export",
        f"--study_dir={directory}",
        f"--study_dir={tmp_path / 'part'}",
        *(f"--out={out}" for out in outs),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [str(out) in done.stdout for out in outs] == [True, True]
    for out in outs:
        assert list(tuner.load_trials(out).variant) == ["V", "V", "NP", "NP"]
    done = commands.run("tuner.export", f"--study_dir={directory}")
    assert done.returncode == 2
    assert done.stderr == "error: --out: expected a file .csv or .parquet. Received: nothing\n"


def test_importing_the_package_is_light() -> None:
    """Every worker and every `--help` does."""
    heavy = "{'numpy', 'pandas', 'pyarrow', 'keras', 'tensorflow'}"
    lines = f"import sys, tuner, zoo.registry; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", lines], cwd=ROOT, check=True)
