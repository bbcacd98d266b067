"""The layer of depth-adaptive cells: what it adds to the loss, and what it reports."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import zoo
from tests.zoo.harness import assert_close, numpy_of


def test_masked_frames_count_for_nothing() -> None:
    layer = zoo.AdaptiveRNN(
        zoo.DeepTransitionCell(4, max_depth=3), ponder_price=0.5, return_state=True
    )
    x = np.ones((2, 5, 3), "float32")
    mask = np.array([[True] * 5, [True, True, True, False, False]])
    ponder = numpy_of(layer(x, mask=mask))[-1]
    assert_close(ponder, [[15, 15], [9, 9]], 1e-6)
    assert float(numpy_of(layer.losses[0])) == pytest.approx(0.5 * 24)
    if keras.backend.backend() != "jax":
        assert float(numpy_of(layer.depth.result())) == pytest.approx(3)
    layer(x[:1])
    assert float(numpy_of(layer.losses[0])) == pytest.approx(0.5 * 15)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="takes TensorFlow's gradient")
def test_price_pulls_towards_less_depth() -> None:
    import tensorflow as tf

    keras.utils.set_random_seed(2)
    layer = zoo.AdaptiveRNN(zoo.DepthAdaptiveCell(4, max_depth=4, halting_bias_initializer="zeros"))
    x = np.random.default_rng(1).normal(size=(2, 3, 3)).astype("float32")
    with tf.GradientTape() as tape:
        layer(x)
        price = layer.losses[0]
    # A larger bias halts earlier.
    assert numpy_of(tape.gradient(price, layer.cell.halting_bias.value))[0] < -1e-3


def test_fit_counts_the_price_and_reports_the_depth() -> None:
    """Zero targets and weights of the output: the loss is what the steps cost."""
    inputs = keras.Input((5, 3))
    cell = zoo.DepthAdaptiveCell(4, max_depth=3, halting="fixed")
    layer = zoo.AdaptiveRNN(cell, ponder_price=0.1)
    outputs = keras.layers.Dense(1, kernel_initializer="zeros", trainable=False)(layer(inputs))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", loss="mse")
    frames = np.random.default_rng(1).normal(size=(4, 5, 3)).astype("float32")
    logs = model.fit(frames, np.zeros((4, 1)), batch_size=2, epochs=2, verbose=0).history
    # Two sequences of five frames, three steps each, are a batch.
    assert logs["loss"] == pytest.approx([0.1 * 2 * 5 * 3] * 2)
    reported = keras.backend.backend() != "jax"
    assert logs.get("depth") == (pytest.approx([3, 3]) if reported else None)
