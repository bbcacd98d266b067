"""Stock Keras under `model.fit`: `keras.layers.RNN(cell)` and `keras.layers.LSTM`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import zoo
from benchmarks.work import Pass, Work


class _Clock(keras.callbacks.Callback):
    """Times an epoch of `model.fit` without what `fit` does before its first step."""

    seconds = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds = time.perf_counter() - self._started


def _loss(targets: Any, logits: Any) -> Any:
    return keras.ops.sum(keras.ops.softplus(logits) - targets * logits)


class KerasTrial:
    """Trains one trial, one sequence an update."""

    def __init__(self, layer: str, jit_compile: bool) -> None:
        """Chooses the network.

        Args:
            layer: `RNN` (Keras' loop over the zoo's cell) or `LSTM`.
            jit_compile: for `model.compile`; XLA then compiles for every length of the work.
        """
        self._layer = layer
        self._jit_compile = jit_compile

    def prepare(self, path: str) -> None:
        """Builds the network of a work; the first pass compiles it."""
        keras.backend.clear_session()
        self._work = work = Work.load(path)
        sequence = keras.Input((None, work.inputs[0].shape[1]))
        if self._layer == "LSTM":
            layer = keras.layers.LSTM(work.units, return_sequences=True, unit_forget_bias=False)
        else:
            cell = zoo.make_cell(work.variant, units=work.units, unit_forget_bias=False)
            layer = keras.layers.RNN(cell, return_sequences=True)
        logits = keras.layers.Dense(work.targets[0].shape[1])(layer(sequence))
        self._model = keras.Model(sequence, logits)
        self._model.set_weights(work.weights)
        self._model.compile(
            optimizer=keras.optimizers.SGD(work.rate, momentum=work.momentum, nesterov=True),
            loss=_loss,
            jit_compile=self._jit_compile,
        )

    def _sequences(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        generator = np.random.default_rng(self._work.seed)
        scale = np.float32(self._work.noise_std)
        for inputs, targets in zip(self._work.inputs, self._work.targets, strict=True):
            noise = generator.standard_normal(inputs.shape, dtype=np.float32)
            yield (inputs + scale * noise)[np.newaxis], targets[np.newaxis]

    def run(self) -> dict[str, Any]:
        """Trains on every sequence once; returns a `Pass`."""
        spec = [
            tf.TensorSpec((1, None, arrays[0].shape[1]), tf.float32)
            for arrays in (self._work.inputs, self._work.targets)
        ]
        dataset = tf.data.Dataset.from_generator(self._sequences, output_signature=tuple(spec))
        count = tf.data.experimental.assert_cardinality(len(self._work.inputs))
        clock = _Clock()
        history = self._model.fit(
            dataset.apply(count).prefetch(2), shuffle=False, callbacks=[clock], verbose=0
        )
        # Keras reports the mean over updates.
        total = history.history["loss"][0] * len(self._work.inputs)
        return dataclasses.asdict(Pass(clock.seconds, total / self._work.frames))
