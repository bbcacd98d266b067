"""Dropout of every cell: one mask for all steps and gates, in training only."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.zoo import harness, reference

RATE = 0.4
TOLERANCE = 1e-13
ARGUMENTS = {"dropout": RATE, "recurrent_dropout": RATE, "seed": 5}


def draw(generator: keras.random.SeedGenerator, shape: tuple[int, ...]) -> np.ndarray:
    """The mask that Keras draws for a tensor of ones."""
    mask = harness.numpy_of(keras.random.dropout(np.ones(shape), RATE, seed=generator))
    # Otherwise there would be nothing to see: some are dropped, some kept and scaled up.
    np.testing.assert_allclose(np.unique(mask), [0, 1 / (1 - RATE)])
    return mask


@harness.some_variants
@pytest.mark.parametrize("which", ["dropout", "recurrent_dropout"])
def test_one_mask_for_all_steps_and_gates(code: str, which: str) -> None:
    problem = harness.make_problem(code, batch=4)
    layer = harness.make_layer(problem, cell_arguments={which: RATE, "seed": 5})
    outputs, finals = harness.run(layer, problem, training=True)
    dropped = problem.inputs[:, 0] if which == "dropout" else problem.states[0]
    mask = draw(keras.random.SeedGenerator(5), dropped.shape)
    expected, states = reference.forward(
        code,
        problem.weights,
        problem.inputs,
        problem.states,
        **{"input_dropout" if which == "dropout" else which: mask},
    )
    harness.assert_close(outputs, expected, TOLERANCE)
    harness.assert_close(finals[1], states[1], TOLERANCE)


@harness.some_variants
def test_both_at_once(code: str) -> None:
    problem = harness.make_problem(code, batch=4)
    layer = harness.make_layer(problem, cell_arguments=ARGUMENTS)
    # The cell keeps the masks that it has drawn until the layer has been called.
    masks = {
        "input_dropout": layer.cell.get_dropout_mask(problem.inputs[:, 0]),
        "recurrent_dropout": layer.cell.get_recurrent_dropout_mask(problem.states[0]),
    }
    outputs, _ = harness.run(layer, problem, training=True)
    expected, _ = reference.forward(
        code,
        problem.weights,
        problem.inputs,
        problem.states,
        **{name: harness.numpy_of(mask) for name, mask in masks.items()},
    )
    harness.assert_close(outputs, expected, TOLERANCE)


@harness.some_variants
def test_off_in_inference(code: str) -> None:
    problem = harness.make_problem(code)
    layer = harness.make_layer(problem, cell_arguments=ARGUMENTS)
    expected, _ = reference.forward(code, problem.weights, problem.inputs, problem.states)
    harness.assert_close(harness.run(layer, problem)[0], expected, TOLERANCE)
    outputs, _ = harness.run(layer, problem, training=False)
    harness.assert_close(outputs, expected, TOLERANCE)


@harness.some_variants
def test_seed_repeats_the_masks_and_every_call_draws_new_ones(code: str) -> None:
    problem = harness.make_problem(code, batch=4)
    calls = []
    for compile_ in (lambda layer: layer, tf.function):
        layer = harness.make_layer(problem, cell_arguments=ARGUMENTS)
        function = compile_(layer)
        calls.append([harness.run(function, problem, training=True)[0] for _ in range(2)])
    (first, second), (compiled, compiled_second) = calls
    # The same seed gives the same sequence of masks, also in a graph, where none is frozen in.
    harness.assert_close(first, compiled, TOLERANCE)
    harness.assert_close(second, compiled_second, TOLERANCE)
    assert np.abs(first - second).max() > 1e-2
    other = harness.make_layer(problem, cell_arguments={**ARGUMENTS, "seed": 6})
    assert np.abs(first - harness.run(other, problem, training=True)[0]).max() > 1e-2


@pytest.mark.parametrize("rate", [-0.1, -1, 1, 1.0, 1.5, float("inf"), np.float32(0.5)])
def test_a_rate_outside_is_the_nearest_inside_as_in_keras(rate: float) -> None:
    arguments = {"dropout": rate, "recurrent_dropout": rate, "seed": 1}
    cells = harness.CELLS["NP"](4, **arguments), keras.layers.LSTMCell(4, **arguments)
    for name in ("dropout", "recurrent_dropout"):
        ours, stock = (cell.get_config()[name] for cell in cells)
        assert ours == stock and type(ours) is float
    if rate != 0.5:
        # Below 0 and, as it is in Keras, above 1 nothing is dropped.
        problem = harness.make_problem("NP")
        for kind in (keras.layers.RNN, zoo.RNN):
            layer = harness.make_layer(
                problem, kind=kind, cell_arguments={**arguments, "seed": None}
            )
            expected, _ = reference.forward("NP", problem.weights, problem.inputs, problem.states)
            harness.assert_close(harness.run(layer, problem, training=True)[0], expected, TOLERANCE)


def test_rate_of_each_mask() -> None:
    count = 20_000
    cell = harness.CELLS["V"](4, dropout=0.25, recurrent_dropout=0.6, seed=1)
    masks = {
        0.25: cell.get_dropout_mask(np.ones((count, 1), "float32")),
        0.6: cell.get_recurrent_dropout_mask(np.ones((count, 1), "float32")),
    }
    for rate, mask in masks.items():
        dropped = np.mean(harness.numpy_of(mask) == 0)
        # Five standard deviations of a binomial; the seed is fixed, so it does not flicker.
        assert abs(dropped - rate) < 5 * np.sqrt(rate * (1 - rate) / count)
