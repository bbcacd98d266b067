"""A study directory, read for analysis; also while the study is running."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from serving.command_line import InputError
from tuner import design
from tuner.ledger import Entry, Ledger


@dataclasses.dataclass(frozen=True)
class Records:
    """Everything that a study directory says.

    Attributes:
        directory: where it is.
        facts: `study.json`.
        entries: finished trials by variant, in the order in which the study runs the variants.
        planned: rows of each variant's design.
    """

    directory: Path
    facts: dict[str, Any]
    entries: dict[str, tuple[Entry, ...]]
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
    return Records(
        directory=directory,
        facts=facts,
        entries={code: Ledger(directory / "trials" / f"{code}.jsonl").entries() for code in codes},
        planned={code: len(design.load(designs[code])) for code in codes},
    )
