"""What the conformance tests share: exported models, and what Keras makes of sequences."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from typing import Any

import filelock
import keras
import numpy as np
import tensorflow as tf

import zoo
from serving.publish import sources, versions

STATES = ("h", "c", "gates")


@dataclasses.dataclass(frozen=True)
class Exported:
    """Models of a study and the versions made of them.

    Attributes:
        study: the study's directory.
        served: folder of the versions, each made when it is asked for.
    """

    study: pathlib.Path
    served: pathlib.Path

    def version(self, code: str) -> pathlib.Path:
        with filelock.FileLock(f"{self.served}-{code}.lock"):
            return versions.publish(sources.find_best(self.study, code), self.served / code)

    def keras_file(self, code: str) -> pathlib.Path:
        return self.study / "best" / code / "model.keras"

    def model(self, code: str) -> keras.Model:
        return _load(self.keras_file(code))


@functools.cache
def _load(path: pathlib.Path) -> keras.Model:
    return keras.models.load_model(path)


class ShowingCell(keras.layers.Layer):
    """A cell whose output are all of another cell's states side by side."""

    def __init__(self, cell: zoo.VariantCell, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell = cell
        self.state_size = cell.state_size
        self.output_size = sum(cell.state_size)

    def build(self, shape: Any) -> None:
        self.built = True

    def call(self, inputs: Any, states: Any) -> Any:
        _, states = self.cell(inputs, states)
        return keras.ops.concatenate(states, axis=-1), states


def by_keras(model: keras.Model, sequence: np.ndarray) -> dict[str, np.ndarray]:
    """Logits and states after every frame, by Keras' own loop over the cell."""
    cell = model.get_layer(zoo.networks.RECURRENT).cell
    # Traced: a loop of hundreds of steps takes seconds otherwise.
    loop = tf.function(keras.layers.RNN(ShowingCell(cell), return_sequences=True))
    shown = loop(tf.constant(sequence))
    states = np.split(
        keras.ops.convert_to_numpy(shown), np.cumsum(cell.state_size)[:-1].tolist(), axis=-1
    )
    logits = model.get_layer(zoo.networks.LOGITS)(states[0])
    named = dict(zip(STATES, states, strict=False))
    return {"logits": keras.ops.convert_to_numpy(logits), **named}


def after(states: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Of states after every frame those after each sequence's last; before the first they are 0."""
    rows = np.arange(len(states))
    return np.where(lengths[:, None] > 0, states[rows, np.maximum(lengths, 1) - 1], 0)
