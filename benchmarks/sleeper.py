"""An engine whose trials sleep, to measure the overhead of the pool per trial.

A trial sleeps for `learning_rate` seconds; one with index 0 first waits until the file named by the
environment exists. `Metrics.seconds` is how long the worker waited for the trial.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tuner.training.protocol import Problem, Score, Trial, TrialResult
from tuner.training.trial_state import TrialState

GATE = "SLEEPER_GATE"


class Trainer:
    """A stand-in with the interface of an engine's trainer."""

    def __init__(self, problem: Problem) -> None:
        self._weights = tuple(np.zeros(size, np.float32) for size in ((88, 240), (60, 240)))

    def train(self, trials: Iterable[Trial], **options: Any) -> Iterator[TrialResult]:
        """Sleeps instead of training."""
        clock = time.monotonic()
        for trial in trials:
            waited = time.monotonic() - clock
            while trial.index == 0 and not os.path.exists(os.environ[GATE]):
                time.sleep(0.2)
            time.sleep(trial.learning_rate)
            state = TrialState.begin(Score(1.0, 1.0), self._weights)
            state.seconds = waited
            clock = time.monotonic()
            yield state.result(trial, Score(1.0, 1.0), None, "sleeper")
