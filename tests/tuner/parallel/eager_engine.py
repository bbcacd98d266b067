"""The engine `native`, slowly, and with a checkpoint at every chance, not every 30 seconds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from typing import Any

from tuner.training.engines import ENGINES
from tuner.training.native import engine
from tuner.training.protocol import Trial, TrialResult
from tuner.training.trial_state import TrialState

EAGER = dataclasses.replace(ENGINES["native"], module="tests.tuner.parallel.eager_engine")


class Trainer(engine.Trainer):
    """As `native`'s."""

    def train(self, trials: Iterable[Trial], **options: Any) -> Iterator[TrialResult]:
        notice = options.pop("on_epoch_end", lambda *_: None)

        def end_epoch(trial: Trial, state: TrialState) -> None:
            notice(trial, state)
            # So that something can happen in the middle of a trial.
            time.sleep(0.02)

        yield from super().train(
            trials, checkpoint_seconds=0.0, on_epoch_end=end_epoch, **options
        )
