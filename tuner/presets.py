"""Sizes of a study by name."""

from __future__ import annotations

import dataclasses

from tuner.design import Space


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
