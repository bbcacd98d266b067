"""Cells that `docs.studies.depth_music` compares with those of the zoo.

A study takes them by name:

    python -m tuner.run --task=music --variants=docs.studies.depth_cells:StackedCell
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

import zoo

_LAYERS = 3


@keras.saving.register_keras_serializable(package="lstm_odyssey")
class StackedCell(keras.layers.Layer):
    """A stacked LSTM: layer l reads h of layer l - 1 of the same frame, and has states of its own.

    Its weights are those of three `zoo.VanillaCell`s.

    Args:
        units: of each layer.
        **arguments: see `zoo.VanillaCell`.
    """

    def __init__(self, units: int = 100, **arguments: Any) -> None:
        super().__init__()
        self.units = units
        self.cells = [zoo.VanillaCell(units, **arguments) for _ in range(_LAYERS)]
        self.state_size = [units] * 2 * _LAYERS
        self.output_size = units

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the weights."""
        for cell in self.cells:
            cell.build(input_shape)
            input_shape = (*input_shape[:-1], self.units)
        super().build(input_shape)

    def call(self, inputs: Any, states: Sequence[Any], training: bool = False) -> Any:
        """Takes one frame through all layers."""
        after: list[Any] = []
        for place, cell in enumerate(self.cells):
            inputs, new = cell(inputs, states[2 * place : 2 * place + 2], training=training)
            after += new
        return inputs, after

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="lstm_odyssey")
class ChoiceCell(zoo.DepthAdaptiveCell):
    """The depth-adaptive LSTM that chooses the depth of a frame before it takes a step.

    Args:
        units: as in `zoo.DepthAdaptiveCell`.
        **arguments: likewise.
    """

    def __init__(self, units: int = 100, **arguments: Any) -> None:
        super().__init__(units, **{**arguments, "halting": "choice"})
