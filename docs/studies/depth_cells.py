"""Cells that `docs.studies.depth_music` compares with those of the zoo.

A study takes them by name:

    python -m tuner.run --task=music --variants=docs.studies.depth_cells:StackedCell
"""

from __future__ import annotations

from typing import Any

import keras

import zoo

_LAYERS = 3


@keras.saving.register_keras_serializable(package="lstm_odyssey")
class StackedCell(keras.layers.StackedRNNCells):
    """A stacked LSTM: three `zoo.VanillaCell`s, each of which reads h of the one below.

    Args:
        units: of each layer.
    """

    def __init__(self, units: int = 100) -> None:
        super().__init__([zoo.VanillaCell(units) for _ in range(_LAYERS)])
        self.units = units

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"units": self.units}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> StackedCell:
        """Makes the cell of a configuration."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="lstm_odyssey")
class ChoiceCell(zoo.DepthAdaptiveCell):
    """The depth-adaptive LSTM that chooses the depth of a frame before it takes a step.

    Args:
        units: as in `zoo.DepthAdaptiveCell`.
        **arguments: likewise.
    """

    def __init__(self, units: int = 100, **arguments: Any) -> None:
        super().__init__(units, **{**arguments, "halting": "choice"})
