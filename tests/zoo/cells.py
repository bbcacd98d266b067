"""Cells of a user: what a study of `--variants=V,tests.zoo.cells:GRUCell` is given."""

from __future__ import annotations

import keras

import zoo


@keras.saving.register_keras_serializable(package="tests")
class GRUCell(keras.layers.GRUCell):
    """The cell of Keras: one state, other weights, no switches."""


@zoo.register("MINE", name="my_own_cell")
class OwnCell(keras.layers.SimpleRNNCell):
    """A cell that is registered where it is written."""


class NoCell:
    """Neither units nor states."""

    def __init__(self, units: int) -> None:
        self.width = units


class NeedsMore(keras.layers.GRUCell):
    """Not made by units alone."""

    def __init__(self, units: int, depth: int) -> None:
        super().__init__(units)
        self.depth = depth


LSTM = keras.layers.LSTM
NUMBER = 3
