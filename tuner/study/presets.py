"""The configuration of a study, and its presets."""

from __future__ import annotations

import dataclasses

from tuner.search.samplers import SAMPLERS
from tuner.search.space import PAPER, Space
from tuner.tasks.task import Task
from tuner.training.protocol import Problem

LAG = 8
"""Default lag of adaptive samplers: how many of their trials can run at a time."""


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """The configuration of a study.

    Attributes:
        problem: task, data and training protocol.
        variants: codes of the variants, in order.
        trials: number of trials of each variant.
        space: the hyperparameters and their ranges.
        seed: seed of the proposals.
        sampler: a key of `tuner.search.samplers.SAMPLERS`.
        lag: lag of a sampler that chooses the variants; see `tuner.search.samplers.JointSampler`.
    """

    problem: Problem
    variants: tuple[str, ...]
    trials: int
    space: Space
    seed: int
    sampler: str = "random"
    lag: int = LAG

    @property
    def joint(self) -> bool:
        """Whether the sampler chooses the variant of each trial."""
        return SAMPLERS[self.sampler].joint

    @property
    def most_trials(self) -> int:
        """Maximum number of trials of a variant: all of them, if the sampler chooses."""
        return self.trials * (len(self.variants) if self.joint else 1)


@dataclasses.dataclass(frozen=True)
class Preset:
    """A preset for the size of a study.

    Attributes:
        trials: number of trials of each variant.
        max_epochs: maximum number of epochs of a trial.
        patience: number of epochs without improvement after which a trial stops.
        space: ranges of the hyperparameters.
    """

    trials: int
    max_epochs: int
    patience: int
    space: Space


PRESETS = {
    "paper": Preset(trials=200, max_epochs=150, patience=15, space=PAPER),
    # The whole pipeline in minutes: a narrow space and few epochs; no evidence about variants.
    "quick": Preset(
        trials=2,
        max_epochs=4,
        patience=15,
        space=PAPER.with_ranges(
            {"units": (20, 60), "momentum": (0.0, 0.9), "noise_std": (0.0, 0.3)}
        ),
    ),
}
"""The presets of `python -m tuner.run --preset`."""


def find_preset(name: str, task: Task) -> Preset:
    """Returns the preset for a study of a task.

    Args:
        name: a key of `PRESETS`.
        task: the task, which has learning rates that learn something in a few epochs.

    Example:
        >>> from tuner.tasks.task import find_task
        >>> find_preset("quick", find_task("speech")).space["learning_rate"].high
        0.003
    """
    preset = PRESETS[name]
    if name == "quick":
        space = preset.space.with_ranges({"learning_rate": task.quick_learning_rates})
        return dataclasses.replace(preset, space=space)
    return preset
