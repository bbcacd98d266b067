"""The ledger of ended trials: one line of JSON each, appended and synced, never rewritten."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import kinds
from common.errors import InputError, one_line, reason
from tuner.search import design
from tuner.search import space as spaces
from tuner.training.protocol import Epoch, Failure, Metrics, Score, Trial, TrialRecord


def to_json(record: TrialRecord | Failure) -> str:
    """Serializes an ended trial as one line of JSON, without the newline; see `to_fields`."""
    return json.dumps(to_fields(record), allow_nan=False)


def to_fields(record: TrialRecord | Failure) -> dict[str, Any]:
    """Converts an ended trial to fields that can be written as JSON.

    The keys of a finished trial are `trial, variant, hyperparameters, seed, best_epoch, validation,
    test, validation_per_sequence, test_per_sequence, curve, diverged, seconds, parameters, engine,
    test_grouped`; `validation` and `test` are means over frames (for transcriptions: characters) of
    the task's metric. The keys of a failed trial are `trial, variant, hyperparameters, seed,
    failed, engine`; `failed` is the reason.
    """
    trial = record.trial
    fields: dict[str, Any] = {
        "trial": trial.index,
        "variant": trial.variant,
        "hyperparameters": dict(trial.values),
        "seed": trial.seed,
    }
    if isinstance(record, Failure):
        fields |= {"failed": record.reason, "engine": record.engine}
    else:
        fields |= _result_fields(record.result)
    return fields


def _result_fields(result: Metrics) -> dict[str, Any]:
    return {
        "best_epoch": result.best_epoch,
        "validation": result.validation.mean,
        "test": result.test.mean,
        "validation_per_sequence": result.validation.sequence_mean,
        "test_per_sequence": result.test.sequence_mean,
        "curve": [dict(vars(epoch)) for epoch in result.curve],
        "diverged": result.diverged,
        "seconds": result.seconds,
        "parameters": result.parameters,
        "engine": result.engine,
        "test_grouped": result.test_grouped,
    }


def from_json(line: str | bytes) -> TrialRecord | Failure:
    """Parses a line of a ledger.

    Raises:
        ValueError: if the line is not a valid entry.
    """
    try:
        text = line if isinstance(line, str) else line.decode()
        record = from_fields(json.loads(text))
        kinds.check([record])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a ledger entry ({reason(error)})") from error
    return record


def from_fields(fields: Mapping[str, Any]) -> TrialRecord | Failure:
    """Inverts `to_fields`; additional keys are ignored.

    Raises:
        KeyError, TypeError: if a key is missing or its value malformed.
    """
    trial = Trial(
        index=fields["trial"],
        variant=fields["variant"],
        values=_values(fields["hyperparameters"]),
        seed=fields["seed"],
    )
    if "failed" in fields:
        return Failure(trial, fields["failed"], fields["engine"])
    result = Metrics(
        best_epoch=fields["best_epoch"],
        validation=Score(fields["validation"], fields["validation_per_sequence"]),
        test=Score(fields["test"], fields["test_per_sequence"]),
        curve=tuple(Epoch(**epoch) for epoch in fields["curve"]),
        diverged=fields["diverged"],
        seconds=fields["seconds"],
        parameters=fields["parameters"],
        engine=fields["engine"],
        # Ledgers of the first release lack this key.
        test_grouped=fields.get("test_grouped"),
    )
    return TrialRecord(trial, result)


def _values(hyperparameters: dict[str, int | float]) -> dict[str, int | float]:
    """Checks that the hyperparameters are known and that their values are numbers."""
    for name, value in hyperparameters.items():
        if not spaces.is_column(name) or not isinstance(value, int | float):
            raise TypeError(f"hyperparameter {name}: {value!r}")
    return hyperparameters


def best_first(entries: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Sorts trials by validation score, best first; ties go to the earlier trial."""
    return sorted(
        entries, key=lambda entry: (entry.result.validation.mean, entry.trial.index)
    )


def read_variant(
    directory: Path, code: str, space: spaces.Space
) -> tuple[tuple[Trial, ...], tuple[TrialRecord | Failure, ...]]:
    """Reads the proposed trials of a variant, and the records of those that have ended.

    Args:
        directory: the study directory.
        code: code of a variant that has a design.
        space: the search space of the study.

    Raises:
        InputError: if a file is damaged, or the ledger does not match the design.
    """
    ledger = Ledger(directory / "trials" / f"{code}.jsonl")
    # In this order: a running study writes each proposal before its trial ends.
    ended = ledger.records()
    planned = design.load(directory / "designs" / f"{code}.csv", space)
    ledger.check(ended, planned)
    return planned, ended


class Ledger:
    """The ended trials of one variant of a study.

    A failed trial that was retried has another line; its last line counts.

    Example:
        >>> ledger = Ledger(Path("no_such_file.jsonl"))
        >>> ledger.entries()
        ()
    """

    def __init__(self, path: Path) -> None:
        """Sets the path; the file need not exist yet.

        Args:
            path: `trials/<code>.jsonl` of a study directory.
        """
        self.path = path

    def records(self) -> tuple[TrialRecord | Failure, ...]:
        """Reads the records of all ended trials, in the order in which they ended.

        A last line that a crash left incomplete is ignored; `repair` removes it.

        Returns:
            One record per trial; for a trial that failed and was retried, the last one.

        Raises:
            InputError: if any other line is invalid, is of another variant, or repeats a trial that
                has already finished; the message names the file and the line.
        """
        ended: dict[int, TrialRecord | Failure] = {}
        for number, (record, _) in enumerate(self._read(), start=1):
            trial, where = record.trial, f"{self.path}: line {number}"
            if trial.variant != self.path.stem:
                raise InputError(
                    f"{where}: expected a trial of {self.path.stem}. Received: one of "
                    f"{one_line(trial.variant)}"
                )
            if isinstance(ended.pop(trial.index, None), TrialRecord):
                raise InputError(
                    f"{where}: expected each trial once. Received twice: trial {trial.index}"
                )
            ended[trial.index] = record
        return tuple(ended.values())

    def check(self, ended: Iterable[TrialRecord | Failure], planned: Sequence[Trial]) -> None:
        """Checks that the ended trials match a design.

        Raises:
            InputError: if a trial does not match; the message names it.
        """
        for record in ended:
            index = record.trial.index
            if record.trial not in planned[index : index + 1]:
                raise InputError(f"{self.path}: trial {index} is not that of the design")

    def entries(self) -> tuple[TrialRecord, ...]:
        """Reads the records of all finished trials; see `records`."""
        return tuple(record for record in self.records() if isinstance(record, TrialRecord))

    def failures(self) -> tuple[Failure, ...]:
        """Reads the records of all failed trials; see `records`."""
        return tuple(record for record in self.records() if isinstance(record, Failure))

    def _read(self) -> Iterator[tuple[TrialRecord | Failure, int]]:
        """Yields each record and the offset of its end in the file."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        position = 0
        for number, line in enumerate(content.splitlines(keepends=True), start=1):
            position += len(line)
            try:
                record = from_json(line)
            except ValueError as error:
                if not line.endswith(b"\n"):
                    return
                raise InputError(f"{self.path}: line {number} is {error}") from error
            yield record, position

    def repair(self) -> None:
        """Removes an incomplete last line, or adds the newline that a complete one lacks."""
        if not self.path.exists():
            return
        end = max((position for _, position in self._read()), default=0)
        with self.path.open("rb+") as file:
            file.truncate(end)
            if end:
                file.seek(end - 1)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.flush()
            os.fsync(file.fileno())

    def append(self, record: TrialRecord | Failure) -> None:
        """Appends an ended trial; when this returns, the line is on disk.

        Raises:
            OSError: if the line cannot be written; the file is then unchanged.
        """
        line = (to_json(record) + "\n").encode()
        with self.path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                written = file.write(line)
                if written != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                os.fsync(file.fileno())
            except OSError as error:
                file.truncate(size)
                error.filename = error.filename or str(self.path)
                raise
