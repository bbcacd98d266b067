"""The progress of a search that looked at results: its trials in the order of the proposals."""

from __future__ import annotations

import dataclasses

from tuner.analysis.trials.records import Records
from tuner.training.protocol import TrialRecord


@dataclasses.dataclass(frozen=True)
class Progress:
    """The finished trials of a search, in the order of the proposals.

    Attributes:
        places: for each finished trial, the number of trials proposed before it.
        entries: the finished trials.
        best: the best validation score up to each trial; diverged trials never win.
        proposed: number of proposals.
    """

    places: tuple[int, ...]
    entries: tuple[TrialRecord, ...]
    best: tuple[float, ...]
    proposed: int

    @property
    def last_gain(self) -> int:
        """Index in `entries` of the last trial that was better than all before it."""
        return self.best.index(self.best[-1])


def follow(records: Records) -> Progress:
    """Follows a search.

    Args:
        records: records of its study, with at least one finished trial.
    """
    places, entries, best = [], [], []
    lowest = float("inf")
    proposed = records.as_proposed
    for place, record in enumerate(proposed):
        if not isinstance(record, TrialRecord):
            continue
        if not record.result.diverged:
            lowest = min(lowest, record.result.validation.mean)
        places.append(place)
        entries.append(record)
        best.append(lowest)
    return Progress(tuple(places), tuple(entries), tuple(best), len(proposed))
