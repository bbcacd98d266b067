"""A study of all combinations of some values."""

from __future__ import annotations

import itertools

from tests.tuner.analysis import hand_made
from tuner.analysis.trials.records import Records
from tuner.training.protocol import Failure, TrialRecord


def factorial() -> Records:
    """Two variants × two rates, three trainings each, one of which failed."""
    entries: dict[str, list[TrialRecord]] = {"V": [], "NP": []}
    for code, base in (("V", 9.0), ("NP", 8.5)):
        for rate, repeat in itertools.product((1e-3, 1e-2), range(3)):
            index = len(entries[code])
            score = base + (rate == 1e-2) + repeat / 10
            entries[code].append(hand_made.entry(code, index, score, learning_rate=rate))
    failed = entries["NP"].pop()
    return hand_made.records(
        entries, failures={"NP": [Failure(failed.trial, "killed", "native")]}, versions={}
    )
