"""What a user might add: an engine of several trials at once, and a sampler that adapts."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tuner.search.samplers import SearchProblem
from tuner.training.engines import ENGINES
from tuner.training.native.engine import Trainer as NativeTrainer
from tuner.training.protocol import Failure, Problem, Trial, TrialRecord, TrialResult


def four() -> int:
    """How many trials the engine trains at a time."""
    return 4


def of_one_variant(trial: Trial) -> str:
    """Trials of one variant may be trained together."""
    return trial.variant


class Trainer:
    """Trains up to four trials at a time, each in a thread, by the native engine."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def train(
        self, trials: Iterable[Trial], *, on_epoch_end: Callable[..., None], **options: Any
    ) -> Iterator[TrialResult]:
        lock = threading.Lock()

        def report(*arguments: Any) -> None:
            with lock:
                on_epoch_end(*arguments)

        def train_one(trial: Trial) -> TrialResult:
            trainer = NativeTrainer(self._problem)
            (result,) = trainer.train([trial], on_epoch_end=report, **options)
            return result

        source = iter(trials)
        underway: set[concurrent.futures.Future[TrialResult]] = set()
        with concurrent.futures.ThreadPoolExecutor(four()) as threads:
            while True:
                while len(underway) < four() and (trial := next(source, None)) is not None:
                    underway.add(threads.submit(train_one, trial))
                if not underway:
                    return
                ended, underway = concurrent.futures.wait(
                    underway, return_when=concurrent.futures.FIRST_COMPLETED
                )
                for future in ended:
                    with lock:
                        result = future.result()
                    yield result


COHORT = dataclasses.replace(
    ENGINES["native"], module="tests.tuner.extensions", capacity=four, group=of_one_variant
)
"""Its ledgers are to be those of the native engine, whose name it has for that."""


class Adaptive:
    """Draws units and learning rate near those of the best trial that it may see."""

    lag = 2

    def __init__(self, problem: SearchProblem) -> None:
        self._problem = problem

    def propose(self, variant: str, index: int, ended: Sequence[TrialRecord | Failure]) -> Trial:
        places = [self._problem.variants.index(variant), index]
        generator = np.random.default_rng([self._problem.seed, *places])
        values = {row.name: row.from_unit(generator.random()) for row in self._problem.space}
        finished = [record for record in ended if isinstance(record, TrialRecord)]
        if finished:
            best = min(finished, key=lambda record: record.result.validation.mean)
            values["units"] = best.trial.units
            values["learning_rate"] = 0.9 * best.trial.learning_rate
        return Trial(index, variant, values, seed=int(generator.integers(2**63)))
