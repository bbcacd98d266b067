"""What a study shall do, and the sizes of a study by name."""

from __future__ import annotations

import dataclasses

from tuner.search.samplers import SAMPLERS
from tuner.search.space import PAPER, Space
from tuner.tasks.task import Task
from tuner.training.protocol import Problem

LAG = 8
"""How many trials an adaptive sampler proposes without knowing their results."""


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """The configuration of a study.

    Attributes:
        problem: task, data and rules.
        variants: codes of the variants, in their order.
        trials: trials of each variant.
        space: the hyperparameters and their ranges.
        seed: seed of the proposals.
        sampler: a name of `tuner.search.samplers.SAMPLERS`.
        lag: of samplers that choose the variants, see `tuner.search.samplers.JointSampler`.
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
        """Most trials that a variant can have: all, if the sampler chooses."""
        return self.trials * (len(self.variants) if self.joint else 1)


@dataclasses.dataclass(frozen=True)
class Preset:
    """A size of a study.

    Attributes:
        trials: trials of each variant.
        max_epochs: most epochs of a trial.
        patience: epochs without improvement after which a trial stops.
        space: ranges of the hyperparameters.
    """

    trials: int
    max_epochs: int
    patience: int
    space: Space


PRESETS = {
    "paper": Preset(trials=200, max_epochs=150, patience=15, space=PAPER),
    # The whole path in minutes: a narrowed space and few epochs, no evidence about the variants.
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
    """Finds the size of a study of a task.

    Args:
        name: a name of `PRESETS`.
        task: has the learning rates with which few epochs suffice to learn something.

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
