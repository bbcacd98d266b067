"""The table of all trials as a file: cells to and from CSV and Parquet, every cell checked."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import files
from common.errors import InputError
from tuner.analysis.trials.columns import STATUSES, Column, columns

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]
"""Cells by column: lists as tuples, JSON as text, None where there is nothing."""

SUFFIXES = (".csv", ".parquet")

_LONGEST_CELL = 2**31 - 1
"""Most characters of a cell of CSV; Python's own limit is reached by a curve of 6,000 epochs."""

_NO_CAST = (ValueError, TypeError, NotImplementedError)
"""What Arrow and JSON raise for a value of another type."""

_EXPECTED = {
    "str": "a text",
    "json object": "a JSON object",
    "json list": "a JSON list",
    "int64": "an integer",
    "uint64": "an integer from 0 to 2**64 - 1",
    "float64": "a finite number",
    "bool": "True or False",
    "list[int64]": "a list of integers",
    "list[float64]": "a list of finite numbers",
}


def write(path: Path, rows: Sequence[Row], columns: Sequence[Column]) -> None:
    """Writes rows, whole or not at all.

    Raises:
        InputError: if the suffix of `path` is not one of `SUFFIXES`.
        OSError: if the file cannot be written; what was there is then as it was.
    """
    if _suffix(path) == ".csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(column.name for column in columns)
        for row in rows:
            cells = (row[column.name] for column in columns)
            writer.writerow(json.dumps(one) if isinstance(one, tuple) else one for one in cells)
        files.write_text(path, text.getvalue())
    else:
        files.write_file(path, lambda temporary: _write_parquet(temporary, rows, columns))


def read(path: Path) -> list[Row]:
    """Reads rows; other columns than those of `columns.columns` are left out.

    Raises:
        InputError: if the file is no table of trials; the message names file, row (the first one
            below the head is row 1), column, what was expected and what is there.
        OSError: if the file cannot be read.
    """
    raw = _read_csv(path) if _suffix(path) == ".csv" else _read_parquet(path)
    known = columns(raw)
    lacking = [column.name for column in known if column.name not in raw]
    if lacking:
        raise InputError(
            f"{path}: expected a table of trials as `python -m tuner.export` writes it. "
            f"It lacks the columns {', '.join(lacking)}"
        )
    statuses = raw["status"].to_pylist()
    for number, status in enumerate(statuses, start=1):
        if status not in STATUSES:
            raise InputError(
                f"{path}: row {number}, column status: expected one of {', '.join(STATUSES)}. "
                f"Received: {status!r}"
            )
    cells = [_checked(raw[column.name], column, statuses, path) for column in known]
    names = [column.name for column in known]
    return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]


def _suffix(path: Path) -> str:
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path}: expected a name that ends in {' or '.join(SUFFIXES)}, the formats of a table "
            "of trials"
        )
    return path.suffix


def arrow_type(dtype: str) -> pa.DataType:
    """Returns the Arrow type of the values of a dtype of `columns.Column`."""
    import pyarrow as pa

    if dtype.startswith("list["):
        return pa.list_(arrow_type(dtype[len("list[") : -1]))
    return pa.string() if dtype.startswith("json") else pa.type_for_alias(dtype)


def _write_parquet(path: Path, rows: Sequence[Row], columns: Sequence[Column]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        pa.field(
            column.name,
            arrow_type(column.dtype),
            metadata={"unit": column.unit, "meaning": column.meaning},
        )
        for column in columns
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd")


def _read_csv(path: Path) -> dict[str, pa.Array]:
    """Reads the columns as texts."""
    import pyarrow as pa

    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        # Spreadsheets begin a file with a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            names, *rows = [*csv.reader(file, strict=True)] or [[]]
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected CSV in UTF-8: {error}") from error
    finally:
        csv.field_size_limit(limit)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise InputError(
                f"{path}: row {number}: expected {len(names)} cells. Received: {len(row)}"
            )
    by_column = list(zip(*rows, strict=True)) or [()] * len(names)
    return {
        name: pa.array(texts, pa.string()) for name, texts in zip(names, by_column, strict=True)
    }


def _read_parquet(path: Path) -> dict[str, pa.Array]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not `read_table`, which makes columns of folders that are named like `seed=1`.
        with pq.ParquetFile(path) as file:
            found = file.read()
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: expected a Parquet file: {reason}") from error
    return {name: found.column(name).combine_chunks() for name in found.column_names}


def _checked(
    column: pa.Array, wanted: Column, statuses: Sequence[str], path: Path
) -> list[Any]:
    """Returns the values of a column.

    Raises:
        InputError: if a trial's status demands a value and there is none, or the other way round,
            or a value is not of the column's type.
    """
    expected = _EXPECTED[wanted.dtype]
    values: list[Any] = []
    for number, (cell, status) in enumerate(zip(column.to_pylist(), statuses, strict=True), 1):
        where = f"{path}: row {number}, column {wanted.name}"
        allowed = status in wanted.statuses
        empty_text = wanted.dtype == "str" and allowed and not wanted.optional
        # pandas writes NaN where there is nothing.
        nothing = cell is None or (cell == "" and not empty_text) or cell != cell
        if nothing and allowed and not wanted.optional:
            raise InputError(f"{where}: expected {expected}. Received: nothing")
        if not nothing and not allowed:
            raise InputError(
                f"{where}: expected nothing for a {status} trial. Received: {cell!r:.60}"
            )
        values.append(None if nothing else cell)
    try:
        return _cast(values, wanted.dtype, column.type)
    except _NO_CAST:
        for number, value in enumerate(values, start=1):
            try:
                _cast([value], wanted.dtype, column.type)
            except _NO_CAST as error:
                raise InputError(
                    f"{path}: row {number}, column {wanted.name}: expected {expected}. "
                    f"Received: {value!r:.60}"
                ) from error
        raise


def _cast(values: list[Any], dtype: str, stored: pa.DataType) -> list[Any]:
    """Makes values of a dtype of what a file has.

    Raises:
        ValueError, TypeError, NotImplementedError: if one of them is not a value of that dtype.
    """
    import pyarrow as pa

    if dtype.startswith("json"):
        kind = {"json object": dict, "json list": list}[dtype]
        if not all(value is None or isinstance(json.loads(value), kind) for value in values):
            raise ValueError
    if dtype.startswith("list") and pa.types.is_string(stored):
        lists = [None if value is None else json.loads(value) for value in values]
        array = pa.array(lists)
    else:
        array = pa.array(values, stored)
    cast: list[Any] = array.cast(arrow_type(dtype)).to_pylist()
    if dtype.startswith("list"):
        # There is no loss of the untrained network.
        cast = [None if one is None else tuple(None if x != x else x for x in one) for one in cast]
        numbers = [number for one in cast for number in one or ()]
        if dtype == "list[int64]" and None in numbers:
            raise ValueError
    else:
        numbers = cast if dtype == "float64" else []
    if not all(number is None or math.isfinite(number) for number in numbers):
        raise ValueError
    return cast
