"""Statistics against numbers worked out by hand, other functions and simulation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from tests.tuner.ledger_test import make_entry
from tuner.analysis import statistics
from tuner.ledger import Entry


def trials(validation: Sequence[float], test: Sequence[float] | None = None) -> list[Entry]:
    """Finished trials with given scores; test is 0.2 above validation unless told otherwise."""
    entries = [make_entry(index, score) for index, score in enumerate(validation)]
    return [
        dataclasses.replace(
            entry,
            result=dataclasses.replace(
                entry.result, test=dataclasses.replace(entry.result.test, mean=score)
            ),
        )
        for entry, score in zip(entries, test or [score + 0.2 for score in validation], strict=True)
    ]


def test_the_best_tenth_is_rounded_up() -> None:
    def top(count: int) -> list[int]:
        summary = statistics.summarize("V", trials([9.0 - i / 100 for i in range(count)]), 0, 200)
        return [entry.trial.index for entry in summary.top]

    assert top(1) == [0]
    assert top(10) == [9]
    assert top(11) == [10, 9]
    assert top(200) == list(range(199, 179, -1))
