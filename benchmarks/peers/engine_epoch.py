"""This project's engines on the first sequences of any task: seconds and memory of an epoch."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from pathlib import Path
from typing import Any

from tuner.parallel import corpus_file
from tuner.tasks.task import Corpus, Task, find_task
from tuner.training.engines import ENGINES
from tuner.training.protocol import Problem, Protocol, Trial
from tuner.training.trial_state import TrialState


class EngineEpoch:
    """Trains one trial of a task, validation included, on a corpus in a file."""

    def __init__(self, engine: str) -> None:
        """Chooses the engine.

        Args:
            engine: `native` or `keras`.
        """
        self._engine = ENGINES[engine]
        os.environ["KERAS_BACKEND"] = self._engine.keras_backend

    def prepare(self, path: str, task: str, variant: str, units: int) -> None:
        """Reads a corpus.

        Args:
            path: what `tuner.parallel.corpus_file.save` wrote.
            task: name of the task.
            variant: code of a variant.
            units: LSTM blocks.
        """
        with open(path, "rb") as file:
            self._corpus: Corpus = corpus_file.load(file.fileno())
        self._task: Task = find_task(task)
        values = {"units": units, "learning_rate": 1e-4, "momentum": 0.5, "noise_std": 0.1}
        self._trial = Trial(0, variant, values, seed=1)

    def run(self, epochs: int) -> dict[str, Any]:
        """Trains a new trial.

        Args:
            epochs: how many epochs; the first, which compiles, is not timed.

        Returns:
            `seconds`: median of an epoch; `loss`: of the last; `mebibytes`: the most memory of the
            process so far, resident.
        """
        clock: list[float] = []

        def on_epoch_end(trial: Trial, state: TrialState) -> None:
            clock.append(time.perf_counter())

        protocol = Protocol(max_epochs=epochs, patience=epochs + 1)
        trainer = self._engine.trainer(Problem(self._task, self._corpus, protocol))
        (outcome,) = trainer.train([self._trial], on_epoch_end=on_epoch_end)
        times = [after - before for before, after in itertools.pairwise(clock)]
        return {
            "seconds": statistics.median(times),
            "loss": outcome.result.curve[-1].loss,
            "mebibytes": _most_resident(),
        }


def _most_resident() -> float:
    """Reads the most resident memory of this process so far, MiB; 0 where the system is not Linux.

    `resource.getrusage` would count that of the parent, which this process was a copy of.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    kibibytes = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kibibytes.split()[1]) / 2**10
