"""Finished trials of elsewhere, which a study takes into its ledger instead of training them.

So a study can move to another machine, be merged from several, or begin with a published table.
What is taken must be what would have been trained here. This is checked twice: the source says the
same of data, protocol, space, seed, sampler and versions; and the best trial of each variant is
trained here as well, and must come out the same, bit for bit. (Its model is needed in any case, and
a table holds none.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import InputError
from tuner.study.ledger import best_first
from tuner.training.protocol import Metrics, Score, Trial, TrialRecord


@dataclasses.dataclass(frozen=True)
class Source:
    """The finished trials of a table or a study directory.

    Attributes:
        path: where they were read from.
        facts: `study.json` of their study, as `tuner.study.facts.check` returns it.
        entries: in any order, of any variants.
    """

    path: Path
    facts: Mapping[str, Any]
    entries: Sequence[TrialRecord]


class DifferentResult(Exception):
    """A trial came out otherwise than its source says: nothing of the variant may be taken."""


@dataclasses.dataclass(frozen=True)
class Adoption:
    """What a study could take of a source for one variant.

    Attributes:
        path: of the source.
        variant: code of the variant.
        entries: finished trials that the study has planned, the best first; at least one.
    """

    path: Path
    variant: str
    entries: tuple[TrialRecord, ...]

    @property
    def control(self) -> TrialRecord:
        """The trial that is trained here as well: the best."""
        return self.entries[0]

    def missing(self, ended: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Lists what the study lacks.

        Args:
            ended: the study's own finished trials of the variant.

        Raises:
            DifferentResult: if a trial of both has ended otherwise here, or the control has failed.
        """
        own = {entry.trial: entry.result for entry in ended}
        if self.control.trial not in own:
            raise DifferentResult(f"trial {self.control.trial.index} failed here")
        for entry in self.entries:
            result = own.get(entry.trial)
            if result is not None and (name := _difference(result, entry.result)):
                raise DifferentResult(
                    f"the {name} of trial {entry.trial.index} is {_short(entry.result, name)} "
                    f"there and {_short(result, name)} here"
                )
        return [entry for entry in self.entries if entry.trial not in own]


def plan(
    source: Source, planned: Mapping[str, Sequence[Trial]], engines: Mapping[str, str]
) -> list[Adoption]:
    """Plans what to take of a source, a variant each.

    Args:
        source: its facts have been compared.
        planned: the trials of the study by variant; others of the source are left out.
        engines: names of the engines that train each variant here: what another has trained is
            the same up to rounding only.

    Raises:
        InputError: if a trial is not that of the study's design, or of another engine.
    """
    found: dict[str, list[TrialRecord]] = {}
    for entry in source.entries:
        trial, result = entry.trial, entry.result
        wanted = planned.get(trial.variant, ())[trial.index : trial.index + 1]
        if not wanted:
            continue
        where = f"{source.path}: trial {trial.index} of {trial.variant}"
        if trial not in wanted:
            raise InputError(f"{where}: expected hyperparameters and seed of this study's design")
        if result.engine != engines[trial.variant]:
            raise InputError(
                f"{where}: expected one of engine {engines[trial.variant]}, which trains here. "
                f"Received: one of {result.engine}"
            )
        found.setdefault(trial.variant, []).append(entry)
    return [
        Adoption(source.path, code, tuple(best_first(entries))) for code, entries in found.items()
    ]


def _difference(one: Metrics, other: Metrics) -> str:
    """Names what differs between two results, apart from their times; empty if nothing does."""
    for field in dataclasses.fields(Metrics):
        name = field.name
        if name != "seconds" and getattr(one, name) != getattr(other, name):
            return name
    return ""


def _short(result: Metrics, name: str) -> str:
    value = getattr(result, name)
    if isinstance(value, Score):
        return f"{value.mean:.9g}"
    return f"one of {len(value)} epochs" if isinstance(value, tuple) else str(value)
