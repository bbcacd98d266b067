"""This project's engines, as `tuner.run` uses them."""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.work import Work
from tuner.parallel import corpus_file
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, DatasetInfo, find_task
from tuner.training import random_streams
from tuner.training.engines import ENGINES
from tuner.training.protocol import Problem, Protocol, Trial
from zoo import registry


class EngineTrial:
    """Trains one trial, with one sequence per update."""

    def __init__(self, engine: str, seconds: float = 0.0) -> None:
        """Selects the engine, and the seconds that a pass should take, judged by the one before."""
        self._seconds, self._engine, self._path = seconds, ENGINES[engine], ""
        os.environ["KERAS_BACKEND"] = self._engine.keras_backend

    def prepare(self, path: str, **trial: Any) -> None:
        """Selects data and trial.

        Args:
            path: a file of `benchmarks.work`, whose trial is trained on its sequences in their
                order; or of `tuner.parallel.corpus_file`, for epochs of the protocol.
            **trial: `variant`, `units`, `seed` and `task`, if they differ from those of the work.
        """
        self._epochs = 1
        # Imported before anything is timed.
        importlib.import_module(self._engine.module)
        if path != self._path:
            self._path = path
            (self._read_work if path.endswith(".work") else self._read_corpus)(path)
        self._task = find_task(trial.get("task", "music"))
        variant = registry.find_variant(trial.get("variant", self._variant))
        values = {**self._values, "units": trial.get("units", self._values["units"])}
        self._trial = Trial(0, variant, values, seed=trial.get("seed", 1))

    def _read_work(self, path: str) -> None:
        work = Work.load(path)
        visited = np.argsort(random_streams.order(Protocol().order_seed, 1, len(work.inputs)))
        train = Sequences(
            inputs=tuple(work.inputs[index] for index in visited),
            targets=tuple(work.targets[index] for index in visited),
        )
        # The protocol measures after every epoch, the peers do not: measure one short sequence.
        shortest = int(np.argmin(train.lengths))
        measured = Sequences((train.inputs[shortest],), (train.targets[shortest],))
        self._corpus = Corpus(DatasetInfo("benchmark", "", ""), train, measured, measured)
        self._variant = work.variant
        names = ("units", "learning_rate", "momentum", "noise_std")
        self._values = {name: getattr(work, name) for name in names}

    def _read_corpus(self, path: str) -> None:
        with open(path, "rb") as file:
            self._corpus = corpus_file.load(file.fileno())
        self._variant = "V"
        self._values = {"units": 1, "learning_rate": 1e-4, "momentum": 0.5, "noise_std": 0.1}

    def run(self) -> dict[str, float]:
        """Trains a new trial for some epochs.

        Returns:
            Mean `seconds` of the epochs after the first, which may compile; the `loss` of the
            first; the memory of the process in MiB, of which `unique` is not shared with others.
        """
        clock: list[float] = []
        protocol = Protocol(max_epochs=1 + self._epochs, patience=2 + self._epochs)
        trainer = self._engine.trainer(Problem(self._task, self._corpus, protocol))
        look = lambda *_: clock.append(time.perf_counter())  # noqa: E731
        (outcome,) = trainer.train([self._trial], on_epoch_end=look)
        result = outcome.result
        if len(clock) != protocol.max_epochs or result.diverged or result.curve[1].loss is None:
            raise ValueError(f"Expected {protocol.max_epochs} epochs. Received: {result}")
        seconds = (clock[-1] - clock[0]) / self._epochs
        self._epochs = max(1, round(self._seconds / seconds))
        used = psutil.Process().memory_full_info()
        return {
            "seconds": seconds,
            "loss": float(result.curve[1].loss),
            "trials": 1,
            "resident": used.rss / 2**20,
            "unique": used.uss / 2**20,
            "most_resident": _most_resident(),
        }


def _most_resident() -> float:
    """Returns peak MiB, on Linux only; `resource.getrusage` would include the forked parent."""
    status = Path("/proc/self/status")
    return (
        int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**10 if status.exists() else 0
    )
