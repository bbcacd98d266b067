"""A finished trial as the ledger keeps it, made up."""

from __future__ import annotations

from tuner.training.protocol import Epoch, Metrics, Score, Trial, TrialRecord


def make_entry(index: int, validation: float = 8.5, diverged: bool = False) -> TrialRecord:
    """A trial of NFG whose test score is 0.2 above validation."""
    result = Metrics(
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
    values = {"units": 60, "learning_rate": 1e-3 / 3, "momentum": 0.7, "noise_std": 0.1}
    trial = Trial(index, "NFG", values, seed=2**62 + 1)
    return TrialRecord(trial, result)
