"""What the analysis reads: every trial of a study, also while the study is running."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serving.command_line import InputError
from tuner import design
from tuner.ledger import Entry, Ledger
from tuner.protocol import Failure, Trial
from tuner.tasks.task import Metric


@dataclasses.dataclass(frozen=True)
class Records:
    """Everything that a study says.

    All mappings are by variant and have the same keys, in the order of the tables; their trials are
    in the order of their index.

    Attributes:
        name: of the study, for a person; studies that are read together have different names.
        facts: `study.json`.
        entries: finished trials.
        failures: failed trials.
        waiting: trials of the design that have not ended.
    """

    name: str
    facts: Mapping[str, Any]
    entries: Mapping[str, tuple[Entry, ...]]
    failures: Mapping[str, tuple[Failure, ...]]
    waiting: Mapping[str, tuple[Trial, ...]]

    @property
    def metric(self) -> Metric:
        """What the task is judged by."""
        return Metric(**self.facts["metric"])

    @property
    def planned(self) -> dict[str, int]:
        """Trials of each variant, whether they have ended or not."""
        return {
            code: len(entries) + len(self.failures[code]) + len(self.waiting[code])
            for code, entries in self.entries.items()
        }

    @property
    def finished(self) -> int:
        """Finished trials of all variants."""
        return sum(len(entries) for entries in self.entries.values())


def load(directory: Path, order: Sequence[str]) -> Records:
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
    ended = {
        # Trials end in any order.
        code: sorted(
            Ledger(directory / "trials" / f"{code}.jsonl").records(),
            key=lambda record: record.trial.index,
        )
        for code in codes
    }
    indices = {code: {record.trial.index for record in ended[code]} for code in codes}
    return Records(
        name=directory.resolve().name,
        facts=facts,
        entries={
            code: tuple(record for record in ended[code] if isinstance(record, Entry))
            for code in codes
        },
        failures={
            code: tuple(record for record in ended[code] if isinstance(record, Failure))
            for code in codes
        },
        waiting={
            code: tuple(
                row.as_trial(code)
                for row in design.load(designs[code])
                if row.trial not in indices[code]
            )
            for code in codes
        },
    )
