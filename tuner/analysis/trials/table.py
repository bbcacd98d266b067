"""All trials of one or several studies as one tidy table, a row per trial: CSV, Parquet, pandas.

The table has everything that the report needs: studies are restored from it exactly, floats bit for
bit. The columns are those of `tuner.analysis.trials.columns`; `docs/trial_table.md` explains them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import InputError
from common.files import is_name
from tuner.analysis.trials import records, table_files
from tuner.analysis.trials.columns import (
    FAILED,
    FINISHED,
    STATUSES,
    STUDY_COLUMNS,
    WAITING,
    Column,
    columns,
    hyperparameters,
)
from tuner.analysis.trials.records import Records
from tuner.analysis.trials.table_files import Row
from tuner.study import facts as study_facts
from tuner.study import ledger
from tuner.training.protocol import Failure, Trial, TrialRecord

if TYPE_CHECKING:
    import pandas as pd

_FACTS = {
    "task": ("task",),
    "metric": ("metric", "name"),
    "metric_unit": ("metric", "unit"),
    "data": ("data", "name"),
    "data_sha256": ("data", "sha256"),
    "data_detail": ("data", "detail"),
    "study_seed": ("seed",),
    **{name: (name,) for name in ("protocol", "space", "versions", "task_class")},
    **{name: (name,) for name in ("machines", "commands", "sampler", "lag", "variants", "cells")},
}
"""The path to each column in the facts of a study."""

_JSON = ("protocol", "space", "versions", "machines", "commands", "variants", "cells")
_CURVE = ("curve_epoch", "curve_loss", "curve_validation")


def _columns_of(studies: Iterable[Records]) -> tuple[Column, ...]:
    return columns(name for study in studies for name in (*study.facts, *study.space.names))


def rows(studies: Sequence[Records]) -> list[Row]:
    """Lists all trials of all studies, by study, variant and position in the design."""
    empty: Row = {column.name: None for column in _columns_of(studies)}
    return [
        {**empty, **study_cells, **cells}
        for study in studies
        for study_cells in [_study_cells(study)]
        for cells in map(_trial_cells, study.trials)
    ]


def _study_cells(study: Records) -> Row:
    cells = {}
    for name, path in _FACTS.items():
        fact: Any = study.facts
        for key in path:
            fact = fact.get(key)
        is_json = isinstance(fact, dict | list)
        cells[name] = json.dumps(fact, ensure_ascii=False) if is_json else fact
    return {"study": study.name, **cells}


def _facts(row: Row) -> dict[str, Any]:
    facts: dict[str, Any] = {"metric": {}, "data": {}}
    for name, (*path, key) in _FACTS.items():
        if row.get(name) is not None:
            within = facts[path[0]] if path else facts
            within[key] = json.loads(row[name]) if name in _JSON else row[name]
    return facts


def _trial_cells(record: TrialRecord | Failure | Trial) -> Row:
    if isinstance(record, Trial):
        cells = {"trial": record.index, "variant": record.variant, "seed": record.seed}
        return {**cells, **record.values, "status": WAITING}
    fields = ledger.to_fields(record)
    if isinstance(record, Failure):
        fields |= {"status": FAILED, "failure": record.reason}
    else:
        fields["status"] = FINISHED
        curve = fields.pop("curve")
        for name in _CURVE:
            key = name.removeprefix("curve_")
            fields[name] = tuple(point[key] for point in curve)
    return {**fields, **record.trial.values}


def _record(row: Row) -> TrialRecord | Failure | Trial:
    names = [one.name for one in hyperparameters(row)]
    values = {name: row[name] for name in names if row[name] is not None}
    if row["status"] == WAITING:
        return Trial(row["trial"], row["variant"], values, row["seed"])
    fields = {**row, "hyperparameters": values}
    if row["status"] == FAILED:
        fields["failed"] = row["failure"]
    else:
        points = zip(*(row[name] for name in _CURVE), strict=True)
        fields["curve"] = [
            {"epoch": epoch, "loss": loss, "validation": validation}
            for epoch, loss, validation in points
        ]
    return ledger.from_fields(fields)


def write(studies: Sequence[Records], path: Path) -> None:
    """Writes the table of all trials, whole or not at all.

    Args:
        studies: the studies, with different names.
        path: the file, whose suffix, `.csv` or `.parquet`, sets the format; its folder must exist.

    Raises:
        InputError: if the suffix is neither.
        OSError: if the file cannot be written; an existing one is then unchanged.
    """
    table_files.write(path, rows(studies), _columns_of(studies))


def read(path: Path) -> tuple[Records, ...]:
    """Reads the studies of a table written by `write`, even if other columns were added to it.

    Args:
        path: a `.csv` or `.parquet` file.

    Returns:
        The studies in the order of their first rows.

    Raises:
        InputError: if it is not such a table; the message names the file, the row (the first trial
            is row 1), the column, what was expected and what was found.
    """
    studies: dict[str, list[Row]] = {}
    facts: dict[str, dict[str, Any]] = {}
    places: set[tuple[Any, ...]] = set()
    for number, row in enumerate(table_files.read(path), start=1):
        where = f"{path}: row {number}"
        for column in ("study", "variant"):
            if not is_name(row[column]):
                raise InputError(
                    f"{where}, column {column}: expected a name that a folder can have. "
                    f"Received: {row[column]!r}"
                )
        place = (row["study"], row["variant"], row["trial"])
        if place in places:
            raise InputError(
                f"{where}, column trial: trial {row['trial']} of {row['variant']} in study "
                f"{row['study']} is there already"
            )
        places.add(place)
        if len({len(row[name] or ()) for name in _CURVE}) > 1:
            raise InputError(f"{where}: expected {', '.join(_CURVE)} of one length")
        if row["study"] not in studies:
            facts[row["study"]] = study_facts.check(_facts(row), where)
        first = studies.setdefault(row["study"], [row])[0]
        for name in STUDY_COLUMNS:
            if row.get(name) != first.get(name):
                raise InputError(
                    f"{where}, column {name}: expected what the first row of study "
                    f"{row['study']} has, {first[name]!r}. Received: {row[name]!r}"
                )
        for name in facts[row["study"]]["space"]:
            if row.get(name) is None:
                raise InputError(
                    f"{where}, column {name}: expected a finite number. Received: nothing"
                )
        if row is not first:
            studies[row["study"]].append(row)
    return tuple(
        records.gather(
            name, facts[name], [row["variant"] for row in its_rows], map(_record, its_rows)
        )
        for name, its_rows in studies.items()
    )


def frame(studies: Sequence[Records]) -> pd.DataFrame:
    """Makes a DataFrame of all trials, with the dtypes of `docs/trial_table.md`.

    Example:
        >>> frame([]).dtypes["seed"]
        dtype('uint64')
    """
    import pandas as pd

    table = rows(studies)
    return pd.DataFrame(
        {
            column.name: pd.Series([row[column.name] for row in table], dtype=_dtype(column))
            for column in _columns_of(studies)
        }
    )


def _dtype(column: Column) -> Any:
    """Returns the pandas dtype of a column, a nullable one only if cells may be empty."""
    import pandas as pd

    if column.dtype.startswith("list"):
        return pd.ArrowDtype(table_files.arrow_type(column.dtype))
    if column.dtype in ("str", "json object", "json list"):
        return "str"
    everywhere = column.statuses == STATUSES and not column.optional
    nullable = {"int64": "Int64", "bool": "boolean"}
    return column.dtype if everywhere else nullable.get(column.dtype, column.dtype)
