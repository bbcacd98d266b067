"""The table of all trials as a file: rows to and from CSV and Parquet, every cell checked."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import files
from common.errors import InputError
from tuner.analysis.trials.columns import COLUMNS, NAMES, STATUSES, Column

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]
"""Cells by column: lists as tuples, JSON as text, None where there is nothing."""

SUFFIXES = (".csv", ".parquet")

_LONGEST_CELL = 2**31 - 1
"""Most characters of a cell of CSV; Python's own limit is reached by a curve of 6,000 epochs."""


def write(path: Path, rows: Sequence[Row]) -> None:
    """Writes rows, whole or not at all.

    Raises:
        InputError: if the suffix of `path` is not one of `SUFFIXES`.
        OSError: if the file cannot be written; what was there is then as it was.
    """
    if _suffix(path) == ".csv":
        files.write_text(path, _to_csv(rows))
    else:
        files.write_file(path, lambda temporary: _write_parquet(temporary, rows))


def read(path: Path) -> Iterator[Row]:
    """Reads rows; other columns than `COLUMNS` are left out.

    Raises:
        InputError: if the file is no table of trials; the message names file, row (the first one
            below the head is row 1), column, what was expected and what is there.
        OSError: if the file cannot be read.
    """
    raw = _read_csv(path) if _suffix(path) == ".csv" else _read_parquet(path)
    for number, cells in enumerate(raw, start=1):
        where = f"{path}: row {number}, column"
        if cells["status"] not in STATUSES:
            raise InputError(
                f"{where} status: expected one of {', '.join(STATUSES)}. "
                f"Received: {cells['status']!r}"
            )
        yield {column.name: _check(cells, column, f"{where} {column.name}") for column in COLUMNS}


def _suffix(path: Path) -> str:
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path}: expected a name that ends in {' or '.join(SUFFIXES)}, the formats of a table "
            "of trials"
        )
    return path.suffix


def _require_columns(path: Path, names: Sequence[str]) -> None:
    lacking = [name for name in NAMES if name not in names]
    if lacking:
        raise InputError(
            f"{path}: expected a table of trials as `python -m tuner.export` writes it. "
            f"It lacks the columns {', '.join(lacking)}"
        )


def _to_csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, NAMES, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {
                name: json.dumps(cell) if isinstance(cell, tuple) else cell
                for name, cell in row.items()
            }
        )
    return text.getvalue()


def _read_csv(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the cells of each row, decoded as far as they can be."""
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        # Spreadsheets begin a file with a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            names = next(reader, [])
            _require_columns(path, names)
            for number, texts in enumerate(reader, start=1):
                if len(texts) != len(names):
                    raise InputError(
                        f"{path}: row {number}: expected {len(names)} cells. Received: {len(texts)}"
                    )
                cells = dict(zip(names, texts, strict=True))
                yield {column.name: _decode(cells[column.name], column) for column in COLUMNS}
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected CSV in UTF-8: {error}") from error
    finally:
        csv.field_size_limit(limit)


def _decode(text: str, column: Column) -> Any:
    """Makes a value of a cell's text, or leaves the text for `_check` to complain about."""
    try:
        return _DECODE[column.dtype](text)
    except (ValueError, KeyError):
        return text


def arrow_type(dtype: str) -> pa.DataType:
    """Returns the Arrow type of the values of a dtype of `columns.Column`."""
    import pyarrow as pa

    return {
        "int64": pa.int64(),
        "uint64": pa.uint64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "list[int64]": pa.list_(pa.int64()),
        "list[float64]": pa.list_(pa.float64()),
    }.get(dtype, pa.string())


def _write_parquet(path: Path, rows: Sequence[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            pa.field(
                column.name,
                arrow_type(column.dtype),
                metadata={"unit": column.unit, "meaning": column.meaning},
            )
            for column in COLUMNS
        ]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd")


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not `read_table`, which makes columns of folders that are named like `seed=1`.
        with pq.ParquetFile(path) as file:
            _require_columns(path, file.schema_arrow.names)
            yield from file.read(columns=list(NAMES)).to_pylist()
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: expected a Parquet file: {reason}") from error


def _check(cells: Mapping[str, Any], column: Column, where: str) -> Any:
    """Returns the value of a cell.

    Raises:
        InputError: if the trial's status demands a value and there is none, or the other way
            round, or the value is not of the column's type.
    """
    cell, status = cells[column.name], cells["status"]
    allowed = status in column.statuses
    empty_text = column.dtype == "str" and allowed and not column.optional
    # pandas writes NaN where there is nothing.
    if cell is None or (cell == "" and not empty_text) or (cell != cell):
        if allowed and not column.optional:
            raise InputError(f"{where}: expected {_EXPECTED[column.dtype]}. Received: nothing")
        return None
    if not allowed:
        raise InputError(f"{where}: expected nothing for a {status} trial. Received: {cell!r:.60}")
    try:
        return _CONVERT[column.dtype](cell)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{where}: expected {_EXPECTED[column.dtype]}. Received: {cell!r:.60}"
        ) from error


def _text(cell: Any) -> str:
    if not isinstance(cell, str):
        raise TypeError
    return cell


def _json(kind: type) -> Callable[[Any], str]:
    def convert(cell: Any) -> str:
        if not isinstance(json.loads(cell), kind):
            raise TypeError
        return _text(cell)

    return convert


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def convert(cell: Any) -> int:
        # Some writers make floating-point numbers of integers where cells are empty.
        if isinstance(cell, bool) or not isinstance(cell, int | float):
            raise TypeError
        value = int(cell)
        if value != cell or not low <= value <= high:
            raise ValueError
        return value

    return convert


def _float(cell: Any) -> float:
    if isinstance(cell, bool) or not isinstance(cell, int | float) or not math.isfinite(cell):
        raise TypeError
    return float(cell)


def _boolean(cell: Any) -> bool:
    if not isinstance(cell, bool):
        raise TypeError
    return cell


def _list(convert: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def convert_all(cell: Any) -> tuple[Any, ...]:
        if not isinstance(cell, list):
            raise TypeError
        return tuple(convert(item) for item in cell)

    return convert_all


def _loss(cell: Any) -> float | None:
    # There is no loss of the untrained network.
    return None if cell is None or cell != cell else _float(cell)


_DECODE: dict[str, Callable[[str], Any]] = {
    "str": str,
    "json object": str,
    "json list": str,
    "int64": int,
    "uint64": int,
    "float64": float,
    "bool": {"True": True, "False": False}.__getitem__,
    "list[int64]": json.loads,
    "list[float64]": json.loads,
}

_CONVERT: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "json object": _json(dict),
    "json list": _json(list),
    "int64": _integer(-(2**63), 2**63 - 1),
    "uint64": _integer(0, 2**64 - 1),
    "float64": _float,
    "bool": _boolean,
    "list[int64]": _list(_integer(-(2**63), 2**63 - 1)),
    "list[float64]": _list(_loss),
}

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
