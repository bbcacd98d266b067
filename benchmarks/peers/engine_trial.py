"""This project's engines, as `tuner.run` uses them."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Any

import numpy as np
import psutil

from benchmarks.work import Pass, Work
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, DatasetInfo, find_task
from tuner.training import random_streams
from tuner.training.engines import ENGINES
from tuner.training.protocol import Problem, Protocol, Trial
from tuner.training.trial_state import TrialState
from zoo import registry


class EngineTrial:
    """Trains one trial, one sequence an update."""

    def __init__(self, engine: str, seconds: float = 0.0) -> None:
        """Chooses the engine.

        Args:
            engine: a name of `tuner.training.engines.ENGINES`.
            seconds: time that a pass shall fill, as far as the pass before it can tell.
        """
        self._seconds = seconds
        self._engine = ENGINES[engine]
        os.environ["KERAS_BACKEND"] = self._engine.keras_backend

    def prepare(self, path: str) -> None:
        """Reads a work; the engine's first epoch visits its sequences in their order."""
        work = Work.load(path)
        self._epochs = 1
        order = random_streams.order(Protocol().order_seed, 1, len(work.inputs))
        visited = np.argsort(order)
        train = Sequences(
            inputs=tuple(work.inputs[index] for index in visited),
            targets=tuple(work.targets[index] for index in visited),
        )
        # The protocol measures after every epoch, the peers do not: one short sequence.
        shortest = int(np.argmin(train.lengths))
        measured = Sequences(inputs=(train.inputs[shortest],), targets=(train.targets[shortest],))
        self._corpus = Corpus(DatasetInfo("benchmark", "", ""), train, measured, measured)
        self._trial = Trial(
            index=0,
            variant=work.variant,
            values={
                "units": work.units,
                "learning_rate": work.learning_rate,
                "momentum": work.momentum,
                "noise_std": work.noise_std,
            },
            seed=work.seed,
        )

    def change(self, variant: str, units: int, seed: int) -> None:
        """Goes on with another trial on the same sequences.

        Args:
            variant: as in `zoo.find_variant`.
            units: size of the cell.
            seed: seed of its weights and noise.
        """
        variant = registry.find_variant(variant)
        values = {**self._trial.values, "units": units}
        self._trial = dataclasses.replace(self._trial, variant=variant, values=values, seed=seed)

    def memory(self) -> dict[str, float]:
        """Measures the memory of this process in MiB.

        Returns:
            `resident`: all of it; `unique`: what is not shared with other processes.
        """
        used = psutil.Process().memory_full_info()
        return {"resident": round(used.rss / 2**20, 1), "unique": round(used.uss / 2**20, 1)}

    def run(self) -> dict[str, Any]:
        """Trains a new trial for some epochs.

        Returns:
            A `Pass`: the mean time of the epochs after the first, which may compile, and the loss
            of the first.
        """
        clock: list[float] = []

        def on_epoch_end(trial: Trial, state: TrialState) -> None:
            clock.append(time.perf_counter())

        protocol = Protocol(max_epochs=1 + self._epochs, patience=2 + self._epochs)
        trainer = self._engine.trainer(Problem(find_task("music"), self._corpus, protocol))
        (outcome,) = trainer.train([self._trial], on_epoch_end=on_epoch_end)
        result = outcome.result
        if len(clock) != protocol.max_epochs or result.diverged or result.curve[1].loss is None:
            raise ValueError(f"Expected {protocol.max_epochs} epochs. Received: {result}")
        seconds = (clock[-1] - clock[0]) / self._epochs
        self._epochs = max(1, round(self._seconds / seconds))
        return dataclasses.asdict(Pass(seconds, result.curve[1].loss))
