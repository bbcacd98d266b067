"""A finished trial as the ledger keeps it, made up."""

from __future__ import annotations

from tuner.ledger import Entry
from tuner.protocol import Epoch, Result, Score, Trial


def make_entry(index: int, validation: float = 8.5, diverged: bool = False) -> Entry:
    """A trial of NFG whose test score is 0.2 above validation."""
    result = Result(
        best_epoch=1,
        validation=Score(validation, validation + 0.1),
        test=Score(validation + 0.2, validation + 0.3),
        curve=(Epoch(0, None, 61.0), Epoch(1, 12.25, validation)),
        diverged=diverged,
        seconds=1.5,
        parameters=121,
        engine="keras",
        test_grouped=7.5,
    )
    trial = Trial(index, "NFG", 60, 1e-3 / 3, 0.7, 0.1, seed=2**62 + 1)
    return Entry(trial, result)
