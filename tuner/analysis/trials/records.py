"""What the analysis reads: every trial of a study, also while the study is running."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import InputError
from tuner.search import design
from tuner.search.design import Space
from tuner.study.ledger import Ledger
from tuner.tasks.task import DatasetInfo, Metric
from tuner.training.protocol import Failure, Protocol, Trial, TrialRecord


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
    entries: Mapping[str, tuple[TrialRecord, ...]]
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


def check_facts(facts: Any, where: str) -> None:
    """Checks that the facts of a study are those that the analysis needs.

    Args:
        facts: what `study.json` says, or the columns of a table.
        where: the file, for the message.

    Raises:
        InputError: if something is missing, unknown or of another form.
    """
    try:
        Metric(**facts["metric"])
        DatasetInfo(**facts["data"])
        Protocol(**facts["protocol"])
        Space(**{name: (low, high) for name, (low, high) in facts["space"].items()})
        dict(facts["versions"], task=facts["task"], seed=facts["seed"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{where}: expected task, metric, data, protocol, space, seed and versions of a study: "
            f"{type(error).__name__} {error}"
        ) from error


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
            f"{directory}: expected a study directory (one with study.json) or a table of trials "
            "(.csv or .parquet)"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: expected JSON: {error}") from error
    check_facts(facts, str(path))
    designs = {file.stem: file for file in (directory / "designs").glob("*.csv")}
    codes = [code for code in order if code in designs]
    ended = {code: _ended(directory / "trials" / f"{code}.jsonl") for code in codes}
    indices = {code: {record.trial.index for record in ended[code]} for code in codes}
    return Records(
        name=directory.resolve().name,
        facts=facts,
        entries={
            code: tuple(record for record in ended[code] if isinstance(record, TrialRecord))
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


def _ended(path: Path) -> list[TrialRecord | Failure]:
    """Reads a ledger, `<code>.jsonl`, in the order of the design; trials end in any order."""
    ended: dict[int, TrialRecord | Failure] = {}
    for record in Ledger(path).records():
        trial = record.trial
        if trial.variant != path.stem:
            raise InputError(
                f"{path}: expected trials of {path.stem}. Received: one of {trial.variant}"
            )
        if trial.index in ended:
            raise InputError(
                f"{path}: expected each trial once. Received twice: trial {trial.index}"
            )
        ended[trial.index] = record
    return [ended[index] for index in sorted(ended)]
