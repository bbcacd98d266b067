"""Forward and backward of recurrent Keras layers on random sequences."""

from __future__ import annotations

import time

import keras
import tensorflow as tf

import zoo


class KerasLayer:
    """One layer, its loss a random linear function of all outputs."""

    def __init__(
        self,
        layer: str,
        variant: str,
        shape: tuple[int, int, int],
        inputs: int,
        compiled: bool,
    ) -> None:
        """Makes the layer and compiles the function that is timed.

        Args:
            layer: `zoo.RNN`, `keras.layers.RNN(cell)` or `keras.layers.LSTM`.
            variant: the cell's; the last layer is NP whatever is said here.
            shape: batch, time, units.
            inputs: features of an input.
            compiled: whether by XLA; otherwise it is a plain `tf.function`.
        """
        keras.utils.set_random_seed(1)
        batch, steps, units = shape
        if layer == "keras.layers.LSTM":
            made = keras.layers.LSTM(units, return_sequences=True)
        else:
            kind = zoo.RNN if layer == "zoo.RNN" else keras.layers.RNN
            made = kind(zoo.make_cell(variant, units=units), return_sequences=True)
        made.build((batch, steps, inputs))
        weights = [variable.value for variable in made.trainable_variables]
        output_gradients = tf.random.normal((batch, steps, units))

        @tf.function(jit_compile=compiled)
        def differentiate(sequences: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(sequences)
                loss = tf.reduce_sum(made(sequences, training=True) * output_gradients)
            return tape.gradient(loss, [sequences, *weights])

        self._sequences = tf.random.normal((batch, steps, inputs))
        self._differentiate = differentiate
        differentiate(self._sequences)

    def seconds(self, at_least: float) -> float:
        """Calls the function for some seconds and returns the mean time of a call."""
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < at_least:
            # A tensor that is here has been computed.
            self._differentiate(self._sequences)[0].numpy()
            count += 1
        return (time.perf_counter() - started) / count
