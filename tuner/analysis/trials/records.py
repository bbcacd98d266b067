"""The input of the analysis: every trial of a study, even while the study is running."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from common.errors import InputError
from serving.publish.sources import STUDY
from tuner.search.samplers import SAMPLERS, place_of
from tuner.search.space import Space
from tuner.study import facts as study_facts
from tuner.study import ledger
from tuner.study.facts import RANDOM
from tuner.tasks.task import Metric
from tuner.training.protocol import Failure, Trial, TrialRecord
from zoo.registry import list_variants


@dataclasses.dataclass(frozen=True)
class Records:
    """The records of all trials of a study.

    All mappings are keyed by variant and have the same keys, in the order of the tables; their
    trials are sorted by index.

    Attributes:
        name: name of the study, for display; studies read together have different names.
        facts: contents of `study.json`.
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
        """The metric of the task."""
        return Metric(**self.facts["metric"])

    @functools.cached_property
    def space(self) -> Space:
        """The hyperparameters, including those that the user fixed."""
        return Space.from_json(self.facts["space"])

    @property
    def sampler(self) -> str:
        """Name of the sampler that proposed the trials."""
        return str(self.facts.get("sampler", RANDOM))

    @property
    def drawn(self) -> str:
        """How the trials lie in the space; see `tuner.search.samplers.SamplerRow.drawn`."""
        row = SAMPLERS.get(self.sampler)
        # An unknown sampler may do anything.
        return row.drawn if row else "by results"

    @property
    def as_proposed(self) -> list[TrialRecord | Failure | Trial]:
        """Every trial, in the order in which a sampler that looks at results proposed them."""
        row = SAMPLERS.get(self.sampler)
        if row is not None and row.joint:
            return sorted(self.trials, key=lambda record: place_of(trial_of(record).seed))
        # The sort is stable: trials of equal index stay in the order of the variants.
        return sorted(self.trials, key=_index)

    @property
    def planned(self) -> dict[str, int]:
        """Number of trials of each variant, whether they have ended or not."""
        return {
            code: len(entries) + len(self.failures[code]) + len(self.waiting[code])
            for code, entries in self.entries.items()
        }

    @property
    def trials(self) -> list[TrialRecord | Failure | Trial]:
        """Every trial, by variant and index."""
        found: list[TrialRecord | Failure | Trial] = []
        for code, entries in self.entries.items():
            trials: list[TrialRecord | Failure | Trial]
            trials = [*entries, *self.failures[code], *self.waiting[code]]
            found += sorted(trials, key=_index)
        return found

    @property
    def all_entries(self) -> list[TrialRecord]:
        """Finished trials of all variants."""
        return [entry for entries in self.entries.values() for entry in entries]

    @property
    def all_failures(self) -> list[Failure]:
        """Failed trials of all variants."""
        return [failure for failures in self.failures.values() for failure in failures]

    @property
    def finished(self) -> int:
        """Number of finished trials of all variants."""
        return len(self.all_entries)


def in_order(codes: Iterable[str]) -> list[str]:
    """Sorts codes of variants for tables: the zoo's first, then others in their given order.

    Example:
        >>> in_order(["GRUCell", "FGR", "V"])
        ['V', 'FGR', 'GRUCell']
    """
    found, known = dict.fromkeys(codes), list_variants()
    return [code for code in known if code in found] + [c for c in found if c not in known]


def load(directory: Path) -> Records:
    """Reads a study directory.

    Raises:
        InputError: if it is not a study directory, or one of its files is damaged.
    """
    try:
        facts = study_facts.load(directory / STUDY)
    except FileNotFoundError as error:
        raise InputError(
            f"{directory}: expected a study directory (one with {STUDY}) or a table of trials "
            "(.csv or .parquet)"
        ) from error
    space = Space.from_json(facts["space"])
    codes = in_order(file.stem for file in sorted((directory / "designs").glob("*.csv")))
    records: list[TrialRecord | Failure | Trial] = []
    for code in codes:
        planned, ended = ledger.read_variant(directory, code, space)
        indices = {record.trial.index for record in ended}
        records += ended
        records += [trial for trial in planned if trial.index not in indices]
    return gather(directory.resolve().name, facts, codes, records)


def gather(
    name: str,
    facts: Mapping[str, Any],
    codes: Iterable[str],
    records: Iterable[TrialRecord | Failure | Trial],
) -> Records:
    """Groups trials by variant and status, and sorts them by index.

    Args:
        name: name of the study.
        facts: the facts returned by `tuner.study.facts.check`.
        codes: codes of the variants, in any order.
        records: finished, failed and waiting trials.
    """
    trials: dict[type, dict[str, list[Any]]] = {
        kind: {code: [] for code in in_order(codes)} for kind in (TrialRecord, Failure, Trial)
    }
    for record in sorted(records, key=_index):
        trials[type(record)][trial_of(record).variant].append(record)
    entries, failures, waiting = (
        {code: tuple(found) for code, found in by_variant.items()} for by_variant in trials.values()
    )
    return Records(name, facts, entries, failures, waiting)


def trial_of(record: TrialRecord | Failure | Trial) -> Trial:
    """Returns the trial that was run, or is planned."""
    return record if isinstance(record, Trial) else record.trial


def _index(record: TrialRecord | Failure | Trial) -> int:
    return trial_of(record).index
