"""The state of studies, read from their directories while other processes write there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving.publish.sources import STUDY
from tuner.analysis.trials import records, sources
from tuner.analysis.trials.records import Records
from tuner.study.ledger import best_first
from tuner.training.protocol import Failure, Trial, TrialRecord
from zoo.registry import variant_name

_RECENT = 12
"""Number of most recently ended trials that are shown."""

Stamp = tuple[tuple[str, int, int], ...]
"""Changes whenever a trial ends or is proposed: names, sizes and times of the files."""


def stamp(directories: Sequence[Path]) -> Stamp:
    """Returns a stamp of the studies' files, without reading them."""
    found = []
    for directory in directories:
        paths = [directory / STUDY, *directory.glob("designs/*.csv")]
        for path in sorted([*paths, *directory.glob("trials/*.jsonl")]):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            found.append((str(path), status.st_size, status.st_mtime_ns))
    return tuple(found)


class Follower:
    """Reads the state of studies, and which trials have ended since it began.

    Args:
        directories: directories of the studies; those that have not begun are ignored.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        self._directories = directories
        self._began = time.monotonic()
        self._known: set[tuple[str, Trial, bool]] | None = None
        self._recent: list[dict[str, Any]] = []
        self._seconds = 0.0

    def read(self) -> dict[str, Any]:
        """Reads all studies.

        Returns:
            What the page shows, ready for JSON: `studies`; `recent`, the trials that have ended
            since the beginning, latest first; `left`, the remaining seconds at the speed since
            then, None if no trial has ended.

        Raises:
            InputError: if a file of a study is damaged.
        """
        studies = sources.with_different_names(
            records.load(directory)
            for directory in self._directories
            if (directory / STUDY).exists()
        )
        ended: list[tuple[Records, TrialRecord | Failure]] = []
        for study in studies:
            ended += [(study, one) for one in study.all_entries]
            ended += [(study, one) for one in study.all_failures]
        since = 0.0
        if self._known is not None:
            since = max(time.monotonic() - self._began, 1e-3)
            for study, one in ended:
                if _key(study, one) not in self._known:
                    self._recent.insert(0, {"study": study.name, **_trial(study, one)})
                    if isinstance(one, TrialRecord):
                        # Its training before the page began says nothing about the speed.
                        self._seconds += min(one.result.seconds, since)
            del self._recent[_RECENT:]
        self._known = {_key(study, one) for study, one in ended}
        return {
            "studies": [_study(study) for study in studies],
            "recent": self._recent,
            "left": self._left(studies, since),
        }

    def _left(self, studies: Sequence[Records], since: float) -> float | None:
        if not self._seconds:
            return None
        at_once = self._seconds / since
        return sum(_remaining(study) for study in studies) / at_once


def _key(study: Records, one: TrialRecord | Failure) -> tuple[str, Trial, bool]:
    """Identifies the end of a trial; a failed one may be trained again."""
    return study.name, one.trial, isinstance(one, Failure)


def _remaining(study: Records) -> float:
    """Estimates the remaining training time in seconds.

    A trial is assumed to take as long as the finished one of its variant that is nearest in size,
    or of any variant if its own has none.
    """
    total = 0.0
    for code, waiting in study.waiting.items():
        known = study.entries[code] or study.all_entries
        for trial in waiting if known else ():
            nearest = min(known, key=lambda one, units=trial.units: abs(one.trial.units - units))
            total += nearest.result.seconds
    return total


def _study(study: Records) -> dict[str, Any]:
    ended = study.finished + len(study.all_failures)
    planned = sum(study.planned.values())
    return {
        "name": study.name,
        "task": study.facts["task"],
        "metric": study.metric.name,
        "unit": study.metric.unit,
        "ended": ended,
        "failed": len(study.all_failures),
        "planned": planned,
        "variants": [_variant(study, code) for code in study.planned],
    }


def _variant(study: Records, code: str) -> dict[str, Any]:
    best = next(iter(best_first(study.entries[code])), None)
    return {
        "code": code,
        "name": variant_name(code),
        "ended": len(study.entries[code]) + len(study.failures[code]),
        "planned": study.planned[code],
        "best": best and _trial(study, best),
    }


def _trial(study: Records, one: TrialRecord | Failure) -> dict[str, Any]:
    shown = {
        "variant": one.trial.variant,
        "trial": one.trial.index,
        "values": study.space.describe(one.trial.values),
    }
    if isinstance(one, Failure):
        return {**shown, "failed": one.reason}
    result = one.result
    return {
        **shown,
        "validation": result.validation.mean,
        "test": result.test.mean,
        "epoch": result.best_epoch,
        "seconds": result.seconds,
        "diverged": result.diverged,
    }
