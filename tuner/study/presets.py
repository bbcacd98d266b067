"""Sizes of a study by name."""

from __future__ import annotations

import dataclasses

from tuner.search.design import Space


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
    "paper": Preset(
        trials=200,
        max_epochs=150,
        patience=15,
        space=Space(),
    ),
    # The whole path in minutes: a narrowed space and few epochs, no evidence about the variants.
    "quick": Preset(
        trials=2,
        max_epochs=4,
        patience=15,
        space=Space(
            units=(20, 60),
            learning_rate=(2e-3, 1e-2),
            one_minus_momentum=(0.1, 1.0),
            noise_std=(0.0, 0.3),
        ),
    ),
}
"""The presets of `python -m tuner.run --preset`."""

# Sequences of speech are five times as long as chorales, and the loss is their sum.
_QUICK_LEARNING_RATES = {"speech": (5e-4, 3e-3), "handwriting": (5e-3, 1.5e-2)}


def find_preset(name: str, task: str) -> Preset:
    """Finds the size of a study of a task.

    Args:
        name: a name of `PRESETS`.
        task: name of the task; the quick preset has ranges of learning rates in which few epochs
            suffice to learn something.

    Example:
        >>> find_preset("paper", "speech") == PRESETS["paper"]
        True
    """
    preset = PRESETS[name]
    if name == "quick" and task in _QUICK_LEARNING_RATES:
        space = dataclasses.replace(preset.space, learning_rate=_QUICK_LEARNING_RATES[task])
        return dataclasses.replace(preset, space=space)
    return preset
