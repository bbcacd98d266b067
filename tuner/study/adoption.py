"""Adoption of finished trials: a study records them in its ledger instead of training them.

This way, a study can move to another machine, be merged from several, or start from a published
table. Adopted trials must equal what would have been trained here. This is checked twice: the
source must have the same data, protocol, space, seed, sampler and versions; and the best trial of
each variant is trained here as well, and its result must match bit for bit. (Its model is needed
anyway, and a table contains no models.)
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
    """The finished trials of a trial table or a study directory.

    Attributes:
        path: the file or directory they were read from.
        facts: the contents of their `study.json`, as returned by `tuner.study.facts.check`.
        entries: the trials, in any order and of any variants.
    """

    path: Path
    facts: Mapping[str, Any]
    entries: Sequence[TrialRecord]


class DifferentResult(Exception):
    """A trial's result differs from the source's, so no trial of the variant may be adopted."""


@dataclasses.dataclass(frozen=True)
class Adoption:
    """The trials that a study can adopt from one source for one variant.

    Attributes:
        path: path of the source.
        variant: code of the variant.
        entries: finished trials that the study has planned, best first; never empty.
    """

    path: Path
    variant: str
    entries: tuple[TrialRecord, ...]

    @property
    def control(self) -> TrialRecord:
        """The best trial, which is trained here as well."""
        return self.entries[0]

    def missing(self, ended: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Lists the trials that the study does not have yet.

        Args:
            ended: the study's own finished trials of the variant.

        Raises:
            DifferentResult: if a trial in both has another result here, or the control has failed.
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
    """Plans which trials to adopt from a source, variant by variant.

    Args:
        source: the source, whose facts have already been compared with the study's.
        planned: the study's trials by variant; any other trials of the source are ignored.
        engines: name of the engine that trains each variant here: the results of another engine
            are the same only up to rounding.

    Raises:
        InputError: if a trial differs from the study's design, or another engine trained it.
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
    """Names the first field in which two results differ, times aside; empty if there is none."""
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
