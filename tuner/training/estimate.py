"""How long a study may take, before it is run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from tuner.tasks.task import Corpus, Task
from tuner.training.protocol import Protocol, Trial
from zoo.registry import count_params


@dataclasses.dataclass(frozen=True)
class Speed:
    """How fast an engine is on one core.

    Attributes:
        start: seconds that a worker needs before its first trial.
        trial: seconds that every trial takes, however short its epochs.
        frame: seconds a frame of training data and epoch, validation included.
        weight: seconds more of it for every weight.
    """

    start: float
    trial: float
    frame: float
    weight: float


SPEEDS = {
    # Fitted to benchmarks/results/study.csv and start.csv (2.4 GHz EPYC core, compiled code kept).
    "native": Speed(start=4.0, trial=0.05, frame=9.2e-7, weight=1.13e-10),
    # Fitted to benchmarks/results/epoch.csv (one thread of such a core), music and speech; with CTC
    # a frame takes twice as long. A trial traces the graphs of its network.
    "keras": Speed(start=6.0, trial=4.0, frame=1.4e-4, weight=5e-10),
}
"""The engines on a core like that of the benchmark."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a trial costs at most.

    Attributes:
        task: what is learned.
        corpus: its data.
        protocol: for the number of epochs.
        engine: name of the engine.
    """

    task: Task
    corpus: Corpus
    protocol: Protocol
    engine: str

    def __call__(self, trial: Trial) -> float:
        """Estimates the seconds of a trial that does not stop before its last epoch."""
        speed = SPEEDS[self.engine]
        weights = parameters(self.task, trial.variant, trial.units)
        frames = self.protocol.max_epochs * self.corpus.train.frames
        return speed.trial + frames * (speed.frame + speed.weight * weights)


def parameters(task: Task, variant: str, units: int) -> int:
    """Counts the weights of a task's network.

    Args:
        task: inputs, outputs and direction.
        variant: code of the variant.
        units: LSTM blocks.

    Example:
        >>> from tuner.tasks.task import find_task
        >>> parameters(find_task("music"), "FGR", 100)
        174788
    """
    directions = 2 if task.bidirectional else 1
    cells = directions * count_params(variant, task.inputs, units)
    return cells + (directions * units + 1) * task.outputs


def seconds(trials: Iterable[Trial], cost: Cost, workers: int) -> float:
    """Estimates the time of trials of which none stops before its last epoch.

    Args:
        trials: what is to be done.
        cost: of one trial.
        workers: how many are trained at a time.
    """
    costs = [cost(trial) for trial in trials]
    return SPEEDS[cost.engine].start + max(sum(costs) / workers, max(costs, default=0.0))
