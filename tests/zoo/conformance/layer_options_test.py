"""Every cell under the options and wrappers of `keras.layers.RNN`, by the NumPy reference."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np

from tests.zoo import harness, reference

TOLERANCE = 1e-13
"""Float64, another order of the same operations."""


def expect(problem: harness.Problem, inputs: Any = None, states: Any = None) -> list[np.ndarray]:
    """Outputs and final states by the reference, of other inputs or initial states if given."""
    outputs, finals = reference.forward(
        problem.code,
        problem.weights,
        problem.inputs if inputs is None else inputs,
        problem.states if states is None else states,
    )
    return [outputs, *finals]


def zeros(problem: harness.Problem) -> list[np.ndarray]:
    return [np.zeros_like(state) for state in problem.states]


def assert_equal(found: Any, expected: list[np.ndarray]) -> None:
    found = harness.numpy_of(list(found))
    for result, wanted in zip(found, expected, strict=True):
        assert result.shape == wanted.shape
        harness.assert_close(result, wanted, TOLERANCE)


@harness.some_variants
def test_return_sequences_and_return_state(code: str) -> None:
    problem = harness.make_problem(code)
    outputs, *states = expect(problem)
    for sequences, state in itertools.product([False, True], repeat=2):
        layer = harness.make_layer(problem, return_sequences=sequences, return_state=state)
        found = layer(problem.inputs, initial_state=problem.states)
        expected = [outputs if sequences else outputs[:, -1], *(states if state else [])]
        assert_equal(found if state else [found], expected)
        # What Keras infers without running the layer.
        inferred = layer.compute_output_shape(problem.inputs.shape)
        shapes = [array.shape for array in expected]
        assert [tuple(shape) for shape in (inferred if state else [inferred])] == shapes


@harness.some_variants
def test_functional_model(code: str) -> None:
    problem = harness.make_problem(code)
    inputs = keras.Input((None, harness.FEATURES), dtype="float64")
    symbolic = harness.make_layer(problem)(inputs)
    assert [tuple(tensor.shape) for tensor in symbolic] == [
        (None, None, harness.UNITS),
        *((None, state.shape[-1]) for state in problem.states),
    ]
    model = keras.Model(inputs, symbolic)
    assert_equal(model(problem.inputs), expect(problem, states=zeros(problem)))


@harness.some_variants
def test_go_backwards(code: str) -> None:
    problem = harness.make_problem(code)
    layer = harness.make_layer(problem, go_backwards=True)
    found = layer(problem.inputs, initial_state=problem.states)
    assert_equal(found, expect(problem, inputs=problem.inputs[:, ::-1]))


@harness.some_variants
def test_unrolled_loop(code: str) -> None:
    problem = harness.make_problem(code)
    layer = harness.make_layer(problem, unroll=True)
    assert_equal(layer(problem.inputs, initial_state=problem.states), expect(problem))


@harness.some_variants
def test_stateful_layer_goes_on_where_it_stopped(code: str) -> None:
    problem = harness.make_problem(code)
    layer = harness.make_layer(problem, stateful=True)
    whole, *states = expect(problem, states=zeros(problem))
    for _ in range(2):
        first, *_ = layer(problem.inputs[:, :2])
        second, *finals = layer(problem.inputs[:, 2:])
        assert_equal([first, second, *finals], [whole[:, :2], whole[:, 2:], *states])
        layer.reset_state()


@harness.some_variants
def test_bidirectional_layer_equals_two_layers(code: str) -> None:
    forward, backward = harness.make_problem(code, seed=1), harness.make_problem(code, seed=2)
    layer = keras.layers.Bidirectional(harness.make_layer(forward), dtype="float64")
    layer.build(forward.inputs.shape)
    harness.set_weights(layer.forward_layer.cell, forward.weights)
    harness.set_weights(layer.backward_layer.cell, backward.weights)
    found = layer(forward.inputs, initial_state=[*forward.states, *backward.states])
    outputs, *states = expect(forward)
    reversed_outputs, *others = expect(backward, inputs=forward.inputs[:, ::-1])
    both = np.concatenate([outputs, reversed_outputs[:, ::-1]], axis=-1)
    assert_equal(found, [both, *states, *others])


@harness.some_variants
def test_stacked_cells_equal_two_layers(code: str) -> None:
    first = harness.make_problem(code, units=3)
    second = harness.make_problem(code, features=3, units=5)
    cells = [harness.make_cell(first), harness.make_cell(second)]
    stack = keras.layers.StackedRNNCells(cells, dtype="float64")
    layer = keras.layers.RNN(stack, return_sequences=True, return_state=True, dtype="float64")
    outputs, *finals = layer(first.inputs, initial_state=[first.states, second.states])
    lower, *lower_states = expect(first)
    upper, *upper_states = expect(second, inputs=lower)
    assert_equal([outputs, *keras.tree.flatten(finals)], [upper, *lower_states, *upper_states])


@harness.some_variants
def test_cell_alone_makes_one_step(code: str) -> None:
    problem = harness.make_problem(code, time=1)
    cell = harness.make_cell(problem)
    states = [keras.ops.convert_to_tensor(state) for state in problem.states]
    output, states = cell(problem.inputs[:, 0], states)
    outputs, *finals = expect(problem)
    assert_equal([output, *states], [outputs[:, 0], *finals])
    sizes = [state.shape[-1] for state in problem.states]
    assert list(cell.state_size) == sizes and cell.output_size == harness.UNITS
    initial = harness.numpy_of(cell.get_initial_state(batch_size=3))
    assert [state.shape for state in initial] == [(3, size) for size in sizes]
    assert not any(state.any() for state in initial)
