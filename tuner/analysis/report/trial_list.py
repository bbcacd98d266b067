"""The list of all trials on a study's page, where they are sorted, filtered and opened."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from common.text import duration, significant
from tuner.analysis.trials.records import Records
from tuner.search.space import Hyperparameter
from tuner.training.protocol import Failure, Metrics, TrialRecord

Record = TrialRecord | Failure


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of the list.

    Attributes:
        name: name in conditions, such as `learning_rate` in "learning_rate < 1e-3".
        label: its heading.
        write: returns the cell of a trial; empty if a failed trial has no such number.
        order: returns what the script sorts and compares by, if it cannot read that from the cell.
        words: whether it is text to read, not to compare: aligned left.
    """

    name: str
    label: str
    write: Callable[[Record], str]
    order: Callable[[Metrics], int | float] | None = None
    words: bool = False

    def sort_key(self, record: Record) -> int | float | None:
        """Returns what the script sorts a trial by; None if it reads the cell."""
        if self.order is None or isinstance(record, Failure):
            return None
        return self.order(record.result)


def columns(records: Records) -> tuple[Column, ...]:
    """Lists the columns of a study, with one for merged classes if the task has any."""
    grouped = any(entry.result.test_grouped is not None for entry in records.all_entries)
    return (
        Column(
            "trial", "trial", lambda one: f"{one.trial.variant} {one.trial.index}", words=True
        ),
        *map(_varied, records.space),
        _measured("validation", "validation", lambda result: significant(result.validation.mean)),
        _measured("test", "test", lambda result: significant(result.test.mean)),
        *([_measured("merged", "test, merged classes", _merged)] if grouped else []),
        _measured("best_epoch", "best epoch", lambda result: str(result.best_epoch)),
        _measured("epochs", "epochs", lambda result: str(_epochs(result))),
        _measured(
            "parameters", "parameters",
            lambda result: f"{result.parameters:,}", lambda result: result.parameters,
        ),
        _measured(
            "seconds", "time",
            lambda result: duration(result.seconds), lambda result: round(result.seconds, 3),
        ),
        Column("status", "status", status, words=True),
    )  # fmt: skip


def _varied(row: Hyperparameter) -> Column:
    name = row.short.replace(" ", "_").replace(".", "")
    return Column(name, row.short, lambda record: row.write(record.trial.values[row.name]))


def _measured(
    name: str,
    label: str,
    write: Callable[[Metrics], str],
    order: Callable[[Metrics], int | float] | None = None,
) -> Column:
    def write_finished(record: Record) -> str:
        return write(record.result) if isinstance(record, TrialRecord) else ""

    return Column(name, label, write_finished, order)


def _merged(result: Metrics) -> str:
    return "" if result.test_grouped is None else significant(result.test_grouped)


def _epochs(result: Metrics) -> int:
    return result.curve[-1].epoch if result.curve else 0


def status(record: Record) -> str:
    """Returns how a trial ended: "finished", "diverged" or "failed"."""
    if isinstance(record, Failure):
        return "failed"
    return "diverged" if record.result.diverged else "finished"


def rows(records: Records) -> Iterator[tuple[Record, int | None]]:
    """Lists the ended trials by variant, finished ones before failed ones.

    Yields:
        Each trial, and the index of its learning curve in `curves`; None for failed trials.
    """
    numbers = itertools.count()
    for code, entries in records.entries.items():
        for entry in entries:
            yield entry, next(numbers)
        for failure in records.failures[code]:
            yield failure, None


def curves(records: Records) -> list[dict[str, Any]]:
    """Collects the learning curves for the script, rounded to four digits.

    Returns:
        For each finished trial `{"validation": [...], "loss": [...], "best": epoch}`; both lists
        start with epoch 0, and None stands for what was not measured.
    """
    return [_curve(entry.result) for entry in records.all_entries]


def _curve(result: Metrics) -> dict[str, Any]:
    length = _epochs(result) + 1 if result.curve else 0
    validation: list[float | None] = [None] * length
    loss: list[float | None] = [None] * length
    for point in result.curve:
        validation[point.epoch] = _rounded(point.validation)
        loss[point.epoch] = None if point.loss is None else _rounded(point.loss)
    return {"validation": validation, "loss": loss, "best": result.best_epoch}


def _rounded(value: float) -> float | int:
    number = float(f"{value:.4g}")
    # "61.0" is two characters longer than necessary.
    return int(number) if number.is_integer() else number
