"""Two implementations by others: stock Keras for NP, the C++ kernel of TensorFlow 1 for V."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest

from tests.zoo import harness, reference

FLOAT64 = 1e-12
"""Another order of the same operations."""

FLOAT32 = 2e-6
"""The kernel knows no float64; both sides round to 1e-7 at each of five steps."""


def stock_layer(problem: harness.Problem, **arguments: Any) -> keras.layers.LSTM:
    """Makes `keras.layers.LSTM` with the weights of an NP problem."""
    layer = keras.layers.LSTM(
        harness.UNITS,
        unit_forget_bias=False,
        return_sequences=True,
        return_state=True,
        dtype="float64",
        **{**harness.float64_arguments("float64"), **arguments},
    )
    layer.build(problem.inputs.shape)
    harness.set_weights(layer.cell, problem.weights)
    return layer


def test_no_peepholes_equals_the_stock_layer() -> None:
    problem = harness.make_problem("NP")
    ours, stock = harness.make_layer(problem), stock_layer(problem)
    outputs, finals = harness.run(ours, problem)
    expected, states = harness.run(stock, problem)
    harness.assert_close(outputs, expected, FLOAT64)
    for final, state in zip(finals, states, strict=True):
        harness.assert_close(final, state, FLOAT64)
    harness.assert_all_close(
        harness.Differentiable(problem, ours).gradient(),
        harness.Differentiable(problem, stock).gradient(),
        FLOAT64,
    )


def test_no_peepholes_equals_the_stock_layer_under_a_mask() -> None:
    problem = harness.make_problem("NP", batch=3)
    mask = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [0, 1, 1, 1, 1]], bool)
    mask = keras.ops.convert_to_tensor(mask)
    outputs, finals = harness.run(harness.make_layer(problem), problem, mask=mask)
    # Without cuDNN, which takes masks on the right only.
    expected, states = harness.run(stock_layer(problem, use_cudnn=False), problem, mask=mask)
    harness.assert_close(outputs, expected, FLOAT64)
    harness.assert_close(finals[1], states[1], FLOAT64)


def test_no_peepholes_starts_like_the_stock_layer() -> None:
    def initial(seed: int) -> dict[str, Any]:
        return {
            "kernel_initializer": keras.initializers.GlorotUniform(seed),
            "recurrent_initializer": keras.initializers.Orthogonal(seed=seed),
        }

    ours = harness.CELLS["NP"](harness.UNITS, **initial(3))
    stock = keras.layers.LSTMCell(harness.UNITS, **initial(3))
    for cell in (ours, stock):
        cell.build((None, harness.FEATURES))
    for variable, other in zip(ours.weights, stock.weights, strict=True):
        assert variable.name == other.name
        np.testing.assert_array_equal(harness.numpy_of(variable), harness.numpy_of(other))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a TensorFlow kernel")
def test_vanilla_equals_the_block_kernel() -> None:
    import tensorflow as tf

    problem = harness.make_problem("V")
    # Beyond 3, where the kernel would clip by default: that `cell_clip` is off must be seen.
    problem = dataclasses.replace(problem, states=[problem.states[0], 5 * problem.states[1]])
    assert np.abs(problem.states[1]).max() > 3
    layer = harness.make_layer(problem, dtype="float32")
    point = {name: tf.constant(array, "float32") for name, array in problem.point.items()}

    def kernel_loss(point: dict[str, tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        def permuted(name: str) -> tf.Tensor:  # To the kernel's order of the gates.
            i, f, z, o = tf.split(point[name], 4, axis=-1)
            return tf.concat([i, z, f, o], axis=-1)

        wci, wcf, wco = tf.split(point["peephole"], 3)
        block = tf.raw_ops.BlockLSTM(
            seq_len_max=tf.constant(harness.TIME, "int64"),
            x=tf.transpose(point["inputs"], [1, 0, 2]),
            h_prev=point["state 0"],
            cs_prev=point["state 1"],
            w=tf.concat([permuted("kernel"), permuted("recurrent_kernel")], axis=0),
            wci=wci,
            wcf=wcf,
            wco=wco,
            b=permuted("bias"),
            forget_bias=0.0,
            cell_clip=-1.0,
            use_peephole=True,
        )
        return loss([tf.transpose(block.h, [1, 0, 2]), block.h[-1], block.cs[-1]])

    def cell_loss(point: dict[str, tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        results, _ = layer.stateless_call(
            [point[variable.name] for variable in layer.trainable_variables],
            [variable.value for variable in layer.non_trainable_variables],
            point["inputs"],
            initial_state=[point["state 0"], point["state 1"]],
        )
        return loss(results)

    def loss(results: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        gradients = [problem.output_gradient, *problem.state_gradients]
        pairs = zip(results, gradients, strict=True)
        return sum(tf.reduce_sum(result * slope) for result, slope in pairs), results

    found = []
    for function in (cell_loss, kernel_loss):
        with tf.GradientTape() as tape:
            tape.watch(point)
            value, results = function(point)
        found.append((harness.numpy_of(results), tape.gradient(value, point)))
    (results, gradient), (expected, kernel_gradient) = found
    for result, wanted in zip(results, expected, strict=True):
        harness.assert_close(result, wanted, FLOAT32)
    harness.assert_all_close(
        {name: array.numpy() for name, array in gradient.items()},
        {name: array.numpy() for name, array in kernel_gradient.items()},
        # Gradients add up over batch and time.
        10 * FLOAT32,
    )
    # The kernel agrees with the reference too, so the permutation above is right by itself.
    outputs, _ = reference.forward("V", problem.weights, problem.inputs, problem.states)
    harness.assert_close(expected[0], outputs, FLOAT32)
