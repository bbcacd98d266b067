"""Stock Keras: trials under `model.fit`, and layers forward and backward."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import zoo
from benchmarks.peers import repeated
from benchmarks.work import Work


def _loss(targets: Any, logits: Any) -> Any:
    return keras.ops.sum(keras.ops.softplus(logits) - targets * logits)


class KerasTrial:
    """Trains one trial, with one sequence per update."""

    def __init__(self, layer: str, jit: bool = False) -> None:
        """Selects `RNN` (Keras' loop over the zoo's cell) or `LSTM`, and `jit_compile`."""
        self._layer, self._jit = layer, jit

    def prepare(self, path: str) -> None:
        """Builds the network of some work; the first pass compiles it."""
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
            jit_compile=self._jit,
        )

    def _sequences(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        generator = np.random.default_rng(self._work.seed)
        scale = np.float32(self._work.noise_std)
        for inputs, targets in zip(self._work.inputs, self._work.targets, strict=True):
            noise = generator.standard_normal(inputs.shape, dtype=np.float32)
            yield (inputs + scale * noise)[np.newaxis], targets[np.newaxis]

    def run(self) -> dict[str, float]:
        """Trains on every sequence once; returns the mean loss per frame."""
        spec = [
            tf.TensorSpec((1, None, arrays[0].shape[1]), tf.float32)
            for arrays in (self._work.inputs, self._work.targets)
        ]
        dataset = tf.data.Dataset.from_generator(self._sequences, output_signature=tuple(spec))
        count = tf.data.experimental.assert_cardinality(len(self._work.inputs))
        # Excludes what `fit` does before its first step.
        clock: list[float] = []
        look = lambda *_: clock.append(time.perf_counter())  # noqa: E731
        callback = keras.callbacks.LambdaCallback(on_epoch_begin=look, on_epoch_end=look)
        data = dataset.apply(count).prefetch(2)
        history = self._model.fit(data, shuffle=False, callbacks=[callback], verbose=0)
        # Keras reports the mean over updates.
        total = history.history["loss"][0] * len(self._work.inputs)
        seconds = clock[1] - clock[0]
        return {"seconds": seconds, "loss": total / self._work.frames, "trials": 1}


class KerasLayer:
    """One layer, with a random linear function of all outputs as the loss."""

    def __init__(self, layer: str) -> None:
        """Selects `zoo.RNN`, `keras.layers.RNN(cell)` or `keras.layers.LSTM`, which is NP."""
        self._layer = layer

    def prepare(self, shape: list[int], inputs: int, variant: str, compiled: str) -> None:
        """Builds the layer for `shape` (batch, time, units); `compiled`: `plain` or `jit` (XLA)."""
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)
        batch, steps, units = shape
        if self._layer == "keras.layers.LSTM":
            made = keras.layers.LSTM(units, return_sequences=True)
        else:
            kind = zoo.RNN if self._layer == "zoo.RNN" else keras.layers.RNN
            made = kind(zoo.make_cell(variant, units=units), return_sequences=True)
        made.build((batch, steps, inputs))
        weights = [variable.value for variable in made.trainable_variables]
        output_gradients = tf.random.normal((batch, steps, units))

        @tf.function(jit_compile=compiled == "jit")
        def differentiate(sequences: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(sequences)
                loss = tf.reduce_sum(made(sequences, training=True) * output_gradients)
            return tape.gradient(loss, [sequences, *weights])

        self._sequences = tf.random.normal((batch, steps, inputs))
        self._differentiate = differentiate
        differentiate(self._sequences)

    def run(self) -> dict[str, float]:
        """Differentiates for some seconds; returns the mean time."""
        # A tensor that has been copied here has been computed.
        return {"seconds": repeated(lambda: self._differentiate(self._sequences)[0].numpy())}
