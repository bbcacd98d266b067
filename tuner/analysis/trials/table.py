"""All trials of one or several studies as one tidy table: a row a trial, in CSV, Parquet, pandas.

The table says everything that the report needs: studies come back from it exactly, floats bit for
bit. The columns are those of `tuner.analysis.trials.columns`; `docs/trial_table.md` explains them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import InputError
from tuner.analysis.trials import table_files
from tuner.analysis.trials.columns import (
    COLUMNS,
    FAILED,
    FINISHED,
    NAMES,
    STATUSES,
    STUDY_COLUMNS,
    WAITING,
    Column,
)
from tuner.analysis.trials.records import Records, check_facts
from tuner.analysis.trials.table_files import Row
from tuner.training.protocol import Epoch, Failure, Metrics, Score, Trial, TrialRecord

if TYPE_CHECKING:
    import pandas as pd

_CURVE = ("curve_epoch", "curve_loss", "curve_validation")


def rows(studies: Iterable[Records]) -> list[Row]:
    """Lists all trials of all studies, by study, variant and place in the design."""
    return [
        {**dict.fromkeys(NAMES), **study_cells, **cells}
        for study in studies
        for study_cells in [_study_cells(study)]
        for variant in study.entries
        for cells in sorted(
            (
                *map(_finished_cells, study.entries[variant]),
                *map(_failed_cells, study.failures[variant]),
                *map(_waiting_cells, study.waiting[variant]),
            ),
            key=lambda row: int(row["trial"]),
        )
    ]


def _study_cells(study: Records) -> Row:
    facts = study.facts
    optional = {
        name: json.dumps(facts[name], ensure_ascii=False)
        for name in ("machines", "commands")
        if name in facts
    }
    return {
        "study": study.name,
        "task": facts["task"],
        "metric": facts["metric"]["name"],
        "metric_unit": facts["metric"]["unit"],
        "data": facts["data"]["name"],
        "data_sha256": facts["data"]["sha256"],
        "data_detail": facts["data"]["detail"],
        "protocol": json.dumps(facts["protocol"], ensure_ascii=False),
        "space": json.dumps(facts["space"], ensure_ascii=False),
        "study_seed": facts["seed"],
        "versions": json.dumps(facts["versions"], ensure_ascii=False),
        **optional,
    }


def _facts(row: Row) -> dict[str, Any]:
    optional = {name: json.loads(row[name]) for name in ("machines", "commands") if row[name]}
    return {
        "task": row["task"],
        "metric": {"name": row["metric"], "unit": row["metric_unit"]},
        "data": {
            "name": row["data"],
            "sha256": row["data_sha256"],
            "detail": row["data_detail"],
        },
        "protocol": json.loads(row["protocol"]),
        "space": json.loads(row["space"]),
        "seed": row["study_seed"],
        "versions": json.loads(row["versions"]),
        **optional,
    }


def _waiting_cells(trial: Trial) -> Row:
    return {
        "variant": trial.variant,
        "trial": trial.index,
        **trial.hyperparameters,
        "seed": trial.seed,
        "status": WAITING,
    }


def _failed_cells(failure: Failure) -> Row:
    return {
        **_waiting_cells(failure.trial),
        "status": FAILED,
        "engine": failure.engine,
        "failure": failure.reason,
    }


def _finished_cells(entry: TrialRecord) -> Row:
    result = entry.result
    return {
        **_waiting_cells(entry.trial),
        "status": FINISHED,
        "engine": result.engine,
        "validation": result.validation.mean,
        "test": result.test.mean,
        "validation_per_sequence": result.validation.sequence_mean,
        "test_per_sequence": result.test.sequence_mean,
        "test_grouped": result.test_grouped,
        "best_epoch": result.best_epoch,
        "diverged": result.diverged,
        "seconds": result.seconds,
        "parameters": result.parameters,
        "curve_epoch": tuple(point.epoch for point in result.curve),
        "curve_loss": tuple(point.loss for point in result.curve),
        "curve_validation": tuple(point.validation for point in result.curve),
    }


def _trial(row: Row) -> Trial:
    return Trial(
        index=row["trial"],
        variant=row["variant"],
        units=row["units"],
        learning_rate=row["learning_rate"],
        momentum=row["momentum"],
        noise_std=row["noise_std"],
        seed=row["seed"],
    )


def _entry(row: Row) -> TrialRecord:
    curve = zip(row["curve_epoch"], row["curve_loss"], row["curve_validation"], strict=True)
    return TrialRecord(
        _trial(row),
        Metrics(
            best_epoch=row["best_epoch"],
            validation=Score(row["validation"], row["validation_per_sequence"]),
            test=Score(row["test"], row["test_per_sequence"]),
            curve=tuple(Epoch(epoch, loss, validation) for epoch, loss, validation in curve),
            diverged=row["diverged"],
            seconds=row["seconds"],
            parameters=row["parameters"],
            engine=row["engine"],
            test_grouped=row["test_grouped"],
        ),
    )


def _failure(row: Row) -> Failure:
    return Failure(_trial(row), reason=row["failure"], engine=row["engine"])


def write(studies: Iterable[Records], path: Path) -> None:
    """Writes the table of all trials, whole or not at all.

    Args:
        studies: with different names.
        path: the format is that of its suffix, `.csv` or `.parquet`; its folder must exist.

    Raises:
        InputError: if the suffix is another.
        OSError: if the file cannot be written; what was there is then as it was.
    """
    table_files.write(path, rows(studies))


def read(path: Path, order: Sequence[str]) -> tuple[Records, ...]:
    """Reads the studies of a table that `write` wrote, also if other columns were added to it.

    Args:
        path: a `.csv` or `.parquet` file.
        order: codes of all known variants in the order of the tables.

    Returns:
        The studies in the order of their first rows.

    Raises:
        InputError: if it is no such table; the message names file, row (the first trial is row 1),
            column, what was expected and what is there.
    """
    studies: dict[str, list[Row]] = {}
    seen: set[tuple[Any, ...]] = set()
    for number, row in enumerate(table_files.read(path), start=1):
        where = f"{path}: row {number}"
        if row["variant"] not in order:
            raise InputError(
                f"{where}, column variant: expected one of {', '.join(order)}. "
                f"Received: {row['variant']!r}"
            )
        if row["study"] in ("", "..") or Path(row["study"]).name != row["study"]:
            raise InputError(
                f"{where}, column study: expected a name that a folder can have. "
                f"Received: {row['study']!r}"
            )
        place = (row["study"], row["variant"], row["trial"])
        if place in seen:
            raise InputError(
                f"{where}, column trial: trial {row['trial']} of {row['variant']} in study "
                f"{row['study']} is there already"
            )
        seen.add(place)
        if len({len(row[name] or ()) for name in _CURVE}) > 1:
            raise InputError(f"{where}: expected {', '.join(_CURVE)} of one length")
        if row["study"] not in studies:
            check_facts(_facts(row), where)
        first = studies.setdefault(row["study"], [row])[0]
        for name in STUDY_COLUMNS:
            if row[name] != first[name]:
                raise InputError(
                    f"{where}, column {name}: expected what the first row of study "
                    f"{row['study']} has, {first[name]!r}. Received: {row[name]!r}"
                )
        if row is not first:
            studies[row["study"]].append(row)
    return tuple(_records(name, its_rows, order) for name, its_rows in studies.items())


def _records(name: str, its_rows: Sequence[Row], order: Sequence[str]) -> Records:
    present = {row["variant"] for row in its_rows}
    ordered = sorted(its_rows, key=lambda row: int(row["trial"]))

    def of(status: str, make: Callable[[Row], Any]) -> dict[str, tuple[Any, ...]]:
        return {
            code: tuple(
                make(row) for row in ordered if (row["variant"], row["status"]) == (code, status)
            )
            for code in order
            if code in present
        }

    return Records(
        name=name,
        facts=_facts(its_rows[0]),
        entries=of(FINISHED, _entry),
        failures=of(FAILED, _failure),
        waiting=of(WAITING, _trial),
    )


def frame(studies: Iterable[Records]) -> pd.DataFrame:
    """Makes a pandas frame of all trials; its dtypes are those of `docs/trial_table.md`.

    Example:
        >>> frame([]).dtypes["seed"]
        dtype('uint64')
    """
    import pandas as pd

    table = rows(studies)
    return pd.DataFrame(
        {
            column.name: pd.Series([row[column.name] for row in table], dtype=pandas_dtype(column))
            for column in COLUMNS
        }
    )


def pandas_dtype(column: Column) -> Any:
    """Names the dtype of a column in pandas; only where cells may be empty a nullable one."""
    import pandas as pd

    if column.dtype.startswith("list"):
        return pd.ArrowDtype(table_files.arrow_type(column.dtype))
    nullable = {"int64": "Int64", "bool": "boolean"}
    everywhere = column.statuses == STATUSES and not column.optional
    plain = {"int64": "int64", "uint64": "uint64", "float64": "float64", "bool": "bool"}
    return (plain if everywhere else plain | nullable).get(column.dtype, "str")
