"""How a search went that looked at results: its trials in the order of the proposals."""

from __future__ import annotations

import dataclasses

from tuner.analysis.trials.records import Records
from tuner.training.protocol import TrialRecord


@dataclasses.dataclass(frozen=True)
class Progress:
    """The trials of a search that have ended, by the place of their proposal.

    Attributes:
        places: of the finished trials, from 0: how many were proposed before.
        entries: the finished trials.
        best: the best validation score of those up to each; diverged ones never win.
        proposed: number of proposals.
    """

    places: tuple[int, ...]
    entries: tuple[TrialRecord, ...]
    best: tuple[float, ...]
    proposed: int

    @property
    def last_gain(self) -> int:
        """Place among `entries` of the trial that was the last to be better than all before."""
        return self.best.index(self.best[-1])


def follow(records: Records) -> Progress:
    """Follows a search.

    Args:
        records: of its study, with a finished trial.
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
