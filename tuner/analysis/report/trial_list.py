"""The list of all trials on a study's page: what is sorted, filtered and opened there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from tuner.analysis.trials.records import Records
from tuner.analysis.words.notation import significant
from tuner.study.progress import duration
from tuner.training.protocol import Failure, Metrics, TrialRecord


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of the list.

    Attributes:
        name: as in conditions, such as `learning_rate` in "learning_rate < 1e-3".
        label: its heading.
        text: whether it is read, not compared: aligned left.
    """

    name: str
    label: str
    text: bool = False


@dataclasses.dataclass(frozen=True)
class Cell:
    """What one trial has in one column.

    Attributes:
        text: what is shown; empty if a failed trial has no such number.
        order: what the script sorts and compares by, where it cannot read that from the text.
    """

    text: str
    order: int | float | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """One trial.

    Attributes:
        variant: code.
        status: "finished", "diverged" or "failed".
        curve: place of its learning curve in `curves`; None for failed trials.
        cells: in the order of the columns; the first names the trial.
    """

    variant: str
    status: str
    curve: int | None
    cells: tuple[Cell, ...]


def columns(grouped: bool) -> tuple[Column, ...]:
    """Names the columns.

    Args:
        grouped: whether the task also measures test after merging classes.
    """
    return (
        Column("trial", "trial", text=True),
        Column("units", "units"),
        Column("learning_rate", "learning rate"),
        Column("momentum", "momentum"),
        Column("noise", "noise"),
        Column("validation", "validation"),
        Column("test", "test"),
        *([Column("merged", "test, merged classes")] if grouped else []),
        Column("best_epoch", "best epoch"),
        Column("epochs", "epochs"),
        Column("parameters", "parameters"),
        Column("seconds", "time"),
        Column("status", "status", text=True),
    )


def rows(records: Records, grouped: bool) -> Iterator[Row]:
    """Lists the ended trials: by variant, the finished before the failed.

    Args:
        records: of the study.
        grouped: as in `columns`.
    """
    curve = place = 0
    for code, entries in records.entries.items():
        for entry in entries:
            result = entry.result
            status = "diverged" if result.diverged else "finished"
            cells = _varied(entry, place) + _measured(result, grouped) + (Cell(status),)
            yield Row(code, status, curve, cells)
            curve, place = curve + 1, place + 1
        for failure in records.failures[code]:
            lacking = (Cell(""),) * (len(columns(grouped)) - 6)
            cells = (*_varied(failure, place), *lacking, Cell("failed"))
            yield Row(code, "failed", None, cells)
            place += 1


def _varied(record: TrialRecord | Failure, place: int) -> tuple[Cell, ...]:
    trial = record.trial
    return (
        Cell(f"{trial.variant} {trial.index}", place),
        Cell(str(trial.units)),
        Cell(significant(trial.learning_rate, 3)),
        Cell(significant(trial.momentum, 3)),
        Cell(significant(trial.noise_std, 3)),
    )


def _measured(result: Metrics, grouped: bool) -> tuple[Cell, ...]:
    merged = "" if result.test_grouped is None else significant(result.test_grouped)
    return (
        Cell(significant(result.validation.mean)),
        Cell(significant(result.test.mean)),
        *([Cell(merged)] if grouped else []),
        Cell(str(result.best_epoch)),
        Cell(str(result.curve[-1].epoch if result.curve else 0)),
        Cell(f"{result.parameters:,}", result.parameters),
        Cell(duration(result.seconds), round(result.seconds, 3)),
    )


def curves(records: Records) -> list[dict[str, Any]]:
    """Collects the learning curves for the script, rounded to four digits.

    Returns:
        For each finished trial `{"validation": [...], "loss": [...], "best": epoch}`; both lists
        start with epoch 0, and None stands for what was not measured.
    """
    return [_curve(entry.result) for entries in records.entries.values() for entry in entries]


def _curve(result: Metrics) -> dict[str, Any]:
    length = result.curve[-1].epoch + 1 if result.curve else 0
    validation: list[float | None] = [None] * length
    loss: list[float | None] = [None] * length
    for point in result.curve:
        validation[point.epoch] = _rounded(point.validation)
        loss[point.epoch] = None if point.loss is None else _rounded(point.loss)
    return {"validation": validation, "loss": loss, "best": result.best_epoch}


def _rounded(value: float) -> float | int:
    number = float(f"{value:.4g}")
    # "61.0" is two characters more than it says.
    return int(number) if number.is_integer() else number
