"""Tables of trials that pandas or a spreadsheet has saved."""

from __future__ import annotations

import csv
import dataclasses
import io
import pathlib
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tuner
from common.errors import InputError
from tests.tuner.analysis import made_up
from tuner.analysis.trials import table, table_files
from tuner.analysis.trials.records import Records

STUDY = made_up.records(6, ("V", "NP"), ended=0.6)

Save = Callable[[pathlib.Path], pathlib.Path]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """With the table in both formats."""
    for suffix in ("csv", "parquet"):
        table.write([STUDY], tmp_path / f"trials.{suffix}")
    return tmp_path


def split(study: Records) -> tuple[Records, np.ndarray]:
    """The study without its learning curves; and these, float64 [points of all, 3]."""
    curves = [dataclasses.astuple(x) for one in study.all_entries for x in one.result.curve]
    entries = {
        code: tuple(
            dataclasses.replace(one, result=dataclasses.replace(one.result, curve=()))
            for one in some
        )
        for code, some in study.entries.items()
    }
    return dataclasses.replace(study, entries=entries), np.array(curves, np.float64)


READ = {
    "csv": lambda folder: pd.read_csv(folder / "trials.csv"),
    "parquet": lambda folder: pd.read_parquet(folder / "trials.parquet"),
    "load_trials": lambda folder: tuner.load_trials(folder / "trials.csv"),
}
SAVE = {
    "csv": lambda frame, folder: frame.to_csv(folder / "x.csv"),
    "csv without index": lambda frame, folder: frame.to_csv(folder / "x.csv", index=False),
    "csv with NaN": lambda frame, folder: frame.to_csv(folder / "x.csv", na_rep="NaN"),
    "csv with <NA>": lambda frame, folder: frame.to_csv(folder / "x.csv", na_rep="<NA>"),
    "parquet": lambda frame, folder: frame.to_parquet(folder / "x.parquet"),
    "parquet of categories": lambda frame, folder: frame.astype(
        {name: "category" for name in ("study", "variant", "status", "engine")}
    ).to_parquet(folder / "x.parquet"),
    "parquet of floats": lambda frame, folder: frame.astype(
        {name: "float64" for name in ("trial", "units", "study_seed", "diverged")}
    ).to_parquet(folder / "x.parquet"),
}


@pytest.mark.parametrize("save", SAVE)
@pytest.mark.parametrize("read", READ)
def test_what_pandas_saves_is_the_same_study(folder: pathlib.Path, read: str, save: str) -> None:
    SAVE[save](READ[read](folder), folder)
    (path,) = folder.glob("x.*")
    (back,) = table.read(path)
    if path.suffix == ".csv" and read != "csv":
        # NumPy prints lists with eight digits.
        (ours, curves), (expected, exact) = split(back), split(STUDY)
        assert ours == expected
        np.testing.assert_allclose(curves, exact, atol=1e-8)
    else:
        assert back == STUDY


def edited(folder: pathlib.Path, **cells: str | Callable[[str], str]) -> pathlib.Path:
    """The table in CSV with other cells in its first row, or all that a function changes."""
    with (folder / "trials.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    for column, change in cells.items():
        place = head.index(column)
        for row in rows if callable(change) else rows[:1]:
            row[place] = change(row[place]) if callable(change) else change
    with (folder / "x.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
    return folder / "x.csv"


def with_point(text: str) -> str:
    return f"{text}.0" if text else text


def as_python(text: str) -> str:
    return text.replace("null", "None")


def as_numpy(text: str) -> str:
    words = text.strip("[]").split(", ") if text else []
    return f"[{', '.join(f'np.float64({word})'.replace('null', 'nan') for word in words)}]"


@pytest.mark.parametrize(
    "cells",
    [
        {"diverged": str.upper},
        {"diverged": str.lower},
        {"diverged": lambda text: {"True": "1", "False": "0"}.get(text, text)},
        {name: with_point for name in ("trial", "units", "best_epoch", "parameters", "study_seed")},
        {"units": lambda text: f"{int(text):.6E}"},
        {"curve_loss": as_python},
        {
            "curve_loss": lambda text: text and as_numpy(text),
            "curve_epoch": lambda text: text and as_numpy(text),
        },
        {"curve_loss": lambda text: text.replace(", ", "\n ").replace("null", "nan")},
        {"failure": lambda text: text or "NaN", "best_epoch": lambda text: text or "#N/A"},
    ],
)
def test_other_spellings_are_the_same_study(
    folder: pathlib.Path, cells: dict[str, Callable[[str], str]]
) -> None:
    assert table.read(edited(folder, **cells)) == (STUDY,)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content + b"\n\r\n" + b"," * 36 + b"\r\n" + b",,\r\n",
    ],
)
def test_marks_line_ends_and_empty_rows_of_spreadsheets_do_no_harm(
    folder: pathlib.Path, change: Callable[[bytes], bytes]
) -> None:
    (folder / "x.csv").write_bytes(change((folder / "trials.csv").read_bytes()))
    assert table.read(folder / "x.csv") == (STUDY,)


@pytest.mark.parametrize(
    ("column", "text", "complaint"),
    [
        ("seed", "9.22337E+18", "an integer from 0 to 2**64 - 1. Received: '9.22337E+18'"),
        ("seed", "9223372036854775808.0", "an integer from 0 to 2**64 - 1"),
        ("seed", "1e400", "an integer from 0 to 2**64 - 1"),
        ("units", "37.5", "an integer. Received: '37.5'"),
        ("units", "1_0", "an integer. Received: '1_0'"),
        ("units", "9" * 5000, "an integer. Received: '999"),
        ("units", "True", "an integer. Received: 'True'"),
        ("diverged", "0.5", "True or False. Received: '0.5'"),
        ("diverged", "WAHR", "True or False. Received: 'WAHR'"),
        ("diverged", "2", "True or False. Received: '2'"),
        ("best_epoch", "NaN", "an integer. Received: 'NaN'"),
        ("test", "#N/A", "a finite number. Received: '#N/A'"),
        ("curve_loss", "[9.5 9.25 ... 8.5]", "a list of finite numbers. Received: '[9.5"),
        ("curve_loss", "[9.5, inf]", "a list of finite numbers"),
        ("curve_loss", "9.5 9.25", "a list of finite numbers"),
        ("curve_loss", "{}", "a list of finite numbers"),
        ("curve_loss", "[__import__('os')]", "a list of finite numbers"),
        ("curve_loss", "[" * 100_000, "a list of finite numbers"),
        ("curve_epoch", "[0. 1.5]", "a list of integers"),
        ("curve_epoch", "[nan 1.]", "a list of integers"),
        ("curve_epoch", "[99999999999999999999]", "a list of integers"),
        ("space", "[" * 100_000, "a JSON object"),
        ("task", "../music", "task: expected a name that a folder can have. Received: '../music'"),
    ],
)
def test_what_stands_for_something_else_is_one_line(
    folder: pathlib.Path, column: str, text: str, complaint: str
) -> None:
    with pytest.raises(InputError) as caught:
        table.read(edited(folder, **{column: text}))
    assert f"{folder / 'x.csv'}: row 1" in str(caught.value)
    assert complaint in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("column", "values", "complaint"),
    [
        ("seed", pa.array([9.3e18]), "an integer from 0 to 2**64 - 1. Received: 9.3e+18"),
        ("diverged", pa.array([0.5]), "True or False. Received: 0.5"),
        ("units", pa.array([37.5]), "an integer. Received: 37.5"),
        ("units", pa.array([True]), "an integer. Received: True"),
        ("trial", pa.array([np.datetime64("2026-11-28", "s")]), "an integer. Received: "),
        ("curve_loss", pa.array([[["x"]]]), "a list of finite numbers"),
        ("curve_loss", pa.array([{"a": 1}]), "a list of finite numbers"),
    ],
)
def test_parquet_of_other_types_is_one_line(
    folder: pathlib.Path, column: str, values: pa.Array, complaint: str
) -> None:
    table.write([made_up.records(1, ("V",))], folder / "x.parquet")
    found = pq.read_table(folder / "x.parquet")
    place = found.column_names.index(column)
    pq.write_table(found.set_column(place, column, values), folder / "x.parquet")
    with pytest.raises(InputError) as caught:
        table.read(folder / "x.parquet")
    assert f"row 1, column {column}: expected {complaint}" in str(caught.value)


def test_text_of_parquet_that_is_none_is_one_line(folder: pathlib.Path) -> None:
    table.write([made_up.records(1, ("V",))], folder / "x.parquet")
    found = pq.read_table(folder / "x.parquet")
    place = found.column_names.index("task")
    text = pa.array([b"m\xffsic"]).cast(pa.string(), safe=False)
    pq.write_table(found.set_column(place, "task", text), folder / "x.parquet")
    with pytest.raises(InputError, match="x.parquet: expected a Parquet file: .*UTF8"):
        table.read(folder / "x.parquet")


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_other_separators_are_named(folder: pathlib.Path, separator: str, name: str) -> None:
    pd.read_csv(folder / "trials.csv").to_csv(folder / "x.csv", sep=separator, decimal=",")
    with pytest.raises(InputError, match=f"x.csv: expected cells with commas .* {name} between"):
        table.read(folder / "x.csv")


def test_a_column_that_is_there_twice_is_named(folder: pathlib.Path) -> None:
    text = (folder / "trials.csv").read_text().replace("validation,", "test,", 1)
    (folder / "x.csv").write_text(text)
    with pytest.raises(InputError, match="x.csv: expected each column once. Received twice: test"):
        table.read(folder / "x.csv")
    found = pq.read_table(folder / "trials.parquet")
    pq.write_table(found.append_column("test", found["test"]), folder / "x.parquet")
    with pytest.raises(InputError, match="x.parquet: expected each column once"):
        table.read(folder / "x.parquet")


def test_a_small_file_of_millions_of_rows_is_refused_before_it_is_read(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "_MOST_ROWS", 11)
    with pytest.raises(InputError, match="trials.parquet: expected at most 11 rows. Received: 12"):
        table.read(folder / "trials.parquet")


def test_a_file_that_may_not_be_read_keeps_its_error(folder: pathlib.Path) -> None:
    """For the one line of the command."""
    with pytest.raises(FileNotFoundError):
        table.read(folder / "none.parquet")


def test_the_report_of_a_saved_table_has_the_same_numbers(folder: pathlib.Path) -> None:
    frame = READ["csv"](folder)
    text = io.StringIO()
    frame.to_csv(text, lineterminator="\r\n")
    content = text.getvalue().replace("False", "FALSE").replace("True", "TRUE")
    (folder / "x.csv").write_text(content, encoding="utf-8-sig", newline="")
    table.write(table.read(folder / "x.csv"), folder / "again.csv")
    assert (folder / "again.csv").read_bytes() == (folder / "trials.csv").read_bytes()
