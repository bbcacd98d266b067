"""The trial table as a file: writes and reads CSV and Parquet, and checks every cell."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import files, text
from common.command_line import spelled
from common.errors import InputError, reason
from tuner.analysis.trials.columns import STATUSES, Column, columns

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]
"""Cells by column: lists as tuples, JSON as text, None for empty cells."""

SUFFIXES = (".csv", ".parquet")

_LONGEST_CELL = 2**31 - 1
"""Maximum length of a CSV cell; a curve of 6,000 epochs would reach Python's own limit."""

_MOST_ROWS = 2**20
"""Maximum number of rows in a file; a few bytes of Parquet can stand for any number."""

_NOTHING = frozenset(["", "nan", "na", "<na>", "n/a", "#n/a", "nat", "none", "null"])
"""What pandas and spreadsheets write into an empty cell."""

_EXACT = 2**53
"""The largest integer up to which every float stands for only one integer."""

_NO_CAST = (
    *(ArithmeticError, LookupError, NotImplementedError),
    *(RecursionError, TypeError, ValueError),
)
"""What Arrow, JSON and the functions here raise for a value of the wrong type."""

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
    """Writes rows, either all or none.

    Raises:
        InputError: if the suffix of `path` is not one of `SUFFIXES`.
        OSError: if the file cannot be written; an existing one is then unchanged.
    """
    if _suffix(path) == ".csv":
        names = [column.name for column in columns]
        cells = ([_cell(row[name]) for name in names] for row in rows)
        files.write_text(path, text.csv_table(names, cells))
    else:
        files.write_file(path, lambda temporary: _write_parquet(temporary, rows, columns))


def read(path: Path) -> list[Row]:
    """Reads rows; columns other than those of `columns.columns` are ignored.

    Also accepts tables saved by pandas or a spreadsheet: `TRUE`, `37.0` for 37, lists as Python or
    NumPy prints them, `NaN` in empty cells.

    Raises:
        InputError: if the file is not a table of trials; the message names the file, the row (row 1
            is the first below the header), the column, what was expected and what was found.
        OSError: if the file cannot be read.
    """
    raw = _read_csv(path) if _suffix(path) == ".csv" else _read_parquet(path)
    known = columns(raw)
    lacking = [column.name for column in known if column.name not in raw]
    if lacking:
        raise InputError(
            f"{path}: expected a table of trials as `{spelled('python -m tuner.export')}` writes "
            f"it. "
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


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, tuple) else value


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


def _wanted(path: Path, names: Sequence[str]) -> list[tuple[int, str]]:
    """Lists the known columns of a file with their positions.

    Raises:
        InputError: if a column occurs twice.
    """
    known = {column.name for column in columns(names)}
    wanted = [(place, name) for place, name in enumerate(names) if name in known]
    for place, name in wanted:
        if names.index(name) != place:
            raise InputError(f"{path}: expected each column once. Received twice: {name}")
    return wanted


def _read_csv(path: Path) -> dict[str, pa.Array]:
    """Reads the columns as strings."""
    import pyarrow as pa

    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        # Spreadsheets begin a file with a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            names = next(reader, [])
            if len(names) == 1 and (other := re.search("[;\t]", names[0])):
                raise InputError(
                    f"{path}: expected cells with commas between them, and numbers with points. "
                    f"Received: {'semicolons' if other[0] == ';' else 'tabs'} between them"
                )
            rows = [*reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected CSV in UTF-8: {reason(error)}") from error
    finally:
        csv.field_size_limit(limit)
    # Spreadsheets leave empty rows at the end.
    while rows and not any(rows[-1]):
        rows.pop()
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise InputError(
                f"{path}: row {number}: expected {len(names)} cells. Received: {len(row)}"
            )
    return {
        name: pa.array([row[place] for row in rows], pa.string())
        for place, name in _wanted(path, names)
    }


def _read_parquet(path: Path) -> dict[str, pa.Array]:
    import pyarrow.parquet as pq

    try:
        # Not `read_table`, which turns folders named like `seed=1` into columns.
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > _MOST_ROWS:
                raise InputError(
                    f"{path}: expected at most {_MOST_ROWS:,} rows. "
                    f"Received: {file.metadata.num_rows:,}"
                )
            wanted = _wanted(path, file.schema_arrow.names)
            found = file.read([name for _, name in wanted])
            # Damage can leave offsets out of bounds, and invalid text.
            found.validate(full=True)
            return {name: found.column(name).combine_chunks() for _, name in wanted}
    except InputError:
        raise
    except Exception as error:  # Damaged content makes Arrow raise almost anything.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path}: expected a Parquet file: {reason(error)}") from error


def _checked(column: pa.Array, wanted: Column, statuses: Sequence[str], path: Path) -> list[Any]:
    """Returns the checked values of a column.

    Raises:
        InputError: if a trial's status requires a value and there is none, or the other way around,
            or a value is not of the column's type.
    """
    expected = _EXPECTED[wanted.dtype]
    values: list[Any] = []
    for number, (cell, status) in enumerate(zip(column.to_pylist(), statuses, strict=True), 1):
        where = f"{path}: row {number}, column {wanted.name}"
        allowed = status in wanted.statuses
        needed = allowed and not wanted.optional
        any_text = isinstance(cell, str) and wanted.dtype == "str" and needed
        nothing = not any_text and _is_nothing(cell)
        if nothing and needed:
            received = f"{cell!r:.60}" if isinstance(cell, str) and cell else "nothing"
            raise InputError(f"{where}: expected {expected}. Received: {received}")
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


def _is_nothing(cell: Any) -> bool:
    """Returns whether a cell counts as empty."""
    return cell is None or cell != cell or (isinstance(cell, str) and cell.lower() in _NOTHING)


def _cast(values: list[Any], dtype: str, stored: pa.DataType) -> list[Any]:
    """Converts values from a file to a dtype.

    Raises:
        One of `_NO_CAST`: if one of them cannot be converted.
    """
    import pyarrow as pa

    if dtype.startswith("json"):
        kind = {"json object": dict, "json list": list}[dtype]
        if not all(value is None or isinstance(json.loads(value), kind) for value in values):
            raise ValueError
    if dtype in _READERS:
        read = _READERS[dtype]
        array = pa.array([None if one is None else read(one) for one in values], arrow_type(dtype))
    elif dtype.startswith("list"):
        array = pa.array([_numbers(one) if isinstance(one, str) else one for one in values])
    else:
        array = pa.array(values, stored)
    cast: list[Any] = array.cast(arrow_type(dtype)).to_pylist()
    if dtype.startswith("list"):
        # The untrained network has no loss.
        cast = [None if one is None else tuple(None if x != x else x for x in one) for one in cast]
        numbers = [number for one in cast for number in one or ()]
        if dtype == "list[int64]" and None in numbers:
            raise ValueError
    else:
        numbers = cast if dtype == "float64" else []
    if not all(number is None or math.isfinite(number) for number in numbers):
        raise ValueError
    return cast


def _integer(cell: Any) -> int:
    """Parses an integer, or a float, as pandas has in columns with empty cells."""
    if isinstance(cell, str) and re.fullmatch("-?[0-9]+", cell):
        return int(cell)
    if type(cell) is int:
        return cell
    number = _float(cell)
    # A spreadsheet rounds large integers such as seeds: the original is lost.
    if isinstance(cell, bool) or not number.is_integer() or abs(number) > _EXACT:
        raise ValueError
    return int(number)


def _float(cell: Any) -> float:
    """Parses a number; Python would also accept underscores and the digits of all scripts."""
    if isinstance(cell, str) and not re.fullmatch("[-+.0-9eE]+", cell):
        raise ValueError
    return float(cell)


def _truth(cell: Any) -> bool:
    """Parses a Boolean as spelled by Python, JSON or a spreadsheet, or as a number."""
    return {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}[
        str(cell).lower()
    ]


def _numbers(text: str) -> Any:
    """Parses a list in JSON, or as Python or NumPy prints one: `[nan 9.5 9.25]`."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    inner = re.fullmatch(r"\[(.*)\]", text.strip(), re.DOTALL)
    if not inner:
        raise ValueError
    words: Iterable[str] = re.split(r"[\s,]+", re.sub(r"np\.\w+\(([^()]*)\)", r"\1", inner[1]))
    return [None if word.lower() in _NOTHING else _float(word) for word in words if word]


_READERS: dict[str, Callable[[Any], Any]] = {
    "int64": _integer,
    "uint64": _integer,
    "bool": _truth,
}
"""Parsers for cells of dtypes that Arrow does not read in all spellings."""
