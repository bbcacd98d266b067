"""A study directory, read for analysis; also while the study is running."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from serving.command_line import InputError
from tuner import design
from tuner.ledger import Entry, Ledger
from tuner.protocol import Failure


@dataclasses.dataclass(frozen=True)
class Records:
    """Everything that a study directory says.

    Attributes:
        directory: where it is.
        facts: `study.json`.
        entries: finished trials by variant, in the order of the tables and of their index.
        failures: failed trials by variant, in the same order.
        planned: rows of each variant's design.
    """

    directory: Path
    facts: dict[str, Any]
    entries: dict[str, tuple[Entry, ...]]
    failures: dict[str, tuple[Failure, ...]]
    planned: dict[str, int]

    @property
    def finished(self) -> int:
        """Finished trials of all variants."""
        return sum(len(entries) for entries in self.entries.values())


def load(directory: Path, order: list[str]) -> Records:
    """Reads a study directory.

    Args:
        directory: the study directory.
        order: codes of all known variants in the order of the tables.

    Raises:
        InputError: if it is no study directory, or a file of it is damaged.
    """
    path = directory / "study.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"--study_dir: expected a study directory (one with study.json). Received: {directory}"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: expected JSON: {error}") from error
    designs = {file.stem: file for file in (directory / "designs").glob("*.csv")}
    codes = [code for code in order if code in designs]
    records = {
        # Trials end in any order.
        code: sorted(
            Ledger(directory / "trials" / f"{code}.jsonl").records(),
            key=lambda record: record.trial.index,
        )
        for code in codes
    }
    return Records(
        directory=directory,
        facts=facts,
        entries={
            code: tuple(record for record in ended if isinstance(record, Entry))
            for code, ended in records.items()
        },
        failures={
            code: tuple(record for record in ended if isinstance(record, Failure))
            for code, ended in records.items()
        },
        planned={code: len(design.load(designs[code])) for code in codes},
    )
