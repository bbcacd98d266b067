"""`zoo.RNN` where TensorFlow transforms it: vectorized, differentiated otherwise, converted."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.zoo import harness, reference

TOLERANCE = 1e-10
"""Float64, another order of the same operations."""

DIFFERENCE = 1e-7
"""A central difference of step 1e-5 of a gradient of the order of 10."""

MASK = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1]], bool)

pytestmark = pytest.mark.usefixtures("small_blocks")

vanilla_first = pytest.mark.parametrize(
    "code",
    [
        code if code in ("V", "FGR") else pytest.param(code, marks=pytest.mark.slow)
        for code in reference.CODES
    ],
)


def tensors(problem: harness.Problem) -> tuple[tf.Tensor, list[tf.Tensor]]:
    return tf.constant(problem.inputs), [tf.constant(state) for state in problem.states]


def weigh(results: Any, upstream: Any) -> tf.Tensor:
    return sum(tf.reduce_sum(a * b) for a, b in zip(results, upstream, strict=True))


@pytest.mark.parametrize(
    "code", ["V", *(pytest.param(code, marks=pytest.mark.slow) for code in reference.CODES[1:])]
)
def test_vectorized_over_sequences(code: str) -> None:
    problem = harness.make_problem(code, time=4)
    keep = MASK[:, :4]
    layer = harness.make_layer(problem, kind=zoo.RNN, go_backwards=True)

    def one(elements: tuple) -> tuple:
        inputs, states, upstream, mask = tf.nest.map_structure(lambda t: t[None], elements)
        with tf.GradientTape() as tape:
            tape.watch([inputs, states])
            results = layer(inputs, initial_state=states, mask=mask)
            loss = weigh(results, upstream)
        weights = [variable.value for variable in layer.trainable_variables]
        return results, tape.gradient(loss, [inputs, *states, *weights])

    upstream = [problem.output_gradient, *problem.state_gradients]
    results, gradient = tf.vectorized_map(one, (*tensors(problem), upstream, keep))
    backwards = dataclasses.replace(problem, inputs=problem.inputs[:, ::-1])
    arguments = {"mask": keep[:, ::-1]}
    outputs, finals = reference.forward(
        code, problem.weights, backwards.inputs, problem.states, **arguments
    )
    for found, expected in zip(results, [outputs, *finals], strict=True):
        harness.assert_close(found[:, 0], expected, TOLERANCE)
    loss = functools.partial(backwards.reference_loss, **arguments)
    wanted = reference.gradient(loss, backwards.point)
    wanted["inputs"] = wanted["inputs"][:, ::-1]
    each = [f"state {index}" for index in range(len(problem.states))]
    names = ["inputs", *each, *(variable.name for variable in layer.trainable_variables)]
    for name, found in zip(names, gradient, strict=True):
        # Of a weight the sum of what each sequence contributes.
        found = found[:, 0] if name in ("inputs", *each) else tf.reduce_sum(found, 0)
        harness.assert_close(found, wanted[name], TOLERANCE, name)


@pytest.mark.parametrize("vectorized", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_jacobian(vectorized: bool) -> None:
    problem = harness.make_problem("V", units=2, time=3)
    for gradients in problem.state_gradients:
        gradients[:] = 0
    layer = harness.make_layer(problem, kind=zoo.RNN, return_state=False)
    inputs, states = tensors(problem)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        outputs = layer(inputs, initial_state=states)
    jacobian = tape.jacobian(outputs, inputs, experimental_use_pfor=vectorized)
    expected = reference.gradient(problem.reference_loss, problem.point)["inputs"]
    found = np.tensordot(problem.output_gradient, jacobian, axes=3)
    harness.assert_close(found, expected, TOLERANCE)


@pytest.mark.parametrize(
    ("code", "compiled"),
    [("V", False), ("FGR", False), pytest.param("V", True, marks=pytest.mark.slow)],
)
def test_second_derivatives(code: str, compiled: bool) -> None:
    problem = harness.make_problem(code, features=2, units=3)
    layer = harness.make_layer(problem, kind=zoo.RNN)
    inputs, states = tensors(problem)
    direction = np.random.default_rng(1).normal(size=inputs.shape)
    upstream = [problem.output_gradient, *problem.state_gradients]

    def curvature() -> list[tf.Tensor]:
        weights = [variable.value for variable in layer.trainable_variables]
        with tf.GradientTape() as outer:
            outer.watch([inputs, *states])
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                results = layer(inputs, initial_state=states, mask=tf.constant(MASK))
                loss = weigh(results, upstream)
            slope = tf.reduce_sum(inner.gradient(loss, inputs) * direction)
        return outer.gradient(slope, [inputs, *states, *weights])

    found = (tf.function(curvature) if compiled else curvature)()
    loss = functools.partial(problem.reference_loss, mask=MASK)
    step = 1e-5
    ahead, behind = (
        reference.gradient(loss, {**problem.point, "inputs": problem.inputs + by * direction})
        for by in (step, -step)
    )
    names = ["inputs", *(f"state {index}" for index in range(len(states)))]
    names += [variable.name for variable in layer.trainable_variables]
    for name, array in zip(names, found, strict=True):
        expected = (ahead[name] - behind[name]) / (2 * step)
        assert np.abs(expected).max() > 1e-2, name
        harness.assert_close(array, expected, DIFFERENCE, name)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_forward_mode_is_refused(compiled: bool) -> None:
    problem = harness.make_problem("V", time=3)
    layer = harness.make_layer(problem, kind=zoo.RNN, return_state=False)
    function = tf.function(layer) if compiled else layer
    inputs = tf.constant(problem.inputs)
    with (
        pytest.raises(NotImplementedError, match=r"forward mode: use keras\.layers\.RNN\(cell\)"),
        tf.autodiff.ForwardAccumulator(inputs, tf.ones_like(inputs)) as forward,
    ):
        forward.jvp(function(inputs))


@vanilla_first
@pytest.mark.parametrize("rows", [(1,), ()], ids=["one row", "no row"])
def test_an_initial_state_for_all_sequences(code: str, rows: tuple[int, ...]) -> None:
    problem = harness.make_problem(code)
    given = [np.reshape(state[0], (*rows, -1)) for state in problem.states]
    repeated = [np.broadcast_to(state, (harness.BATCH, state.shape[-1])) for state in given]
    problem = dataclasses.replace(problem, states=[np.array(state) for state in repeated])
    layer = harness.make_layer(problem, kind=zoo.RNN)
    inputs, states = tf.constant(problem.inputs), [tf.constant(state) for state in given]
    with tf.GradientTape() as tape:
        tape.watch(states)
        results = layer(inputs, initial_state=states)
        loss = weigh(results, [problem.output_gradient, *problem.state_gradients])
    outputs, finals = reference.forward(code, problem.weights, problem.inputs, problem.states)
    for found, expected in zip(results, [outputs, *finals], strict=True):
        harness.assert_close(found, expected, TOLERANCE)
    wanted = reference.gradient(problem.reference_loss, problem.point)
    for index, gradient in enumerate(tape.gradient(loss, states)):
        expected = wanted[f"state {index}"].sum(axis=0).reshape(given[index].shape)
        harness.assert_close(gradient, expected, TOLERANCE)


def test_an_initial_state_of_a_batch_of_any_size() -> None:
    problem = harness.make_problem("V")
    layer = harness.make_layer(problem, kind=zoo.RNN, return_state=False)
    one_row = [tf.TensorSpec([None, harness.UNITS], tf.float64)] * 2
    function = tf.function(
        lambda inputs, states: layer(inputs, initial_state=states),
        input_signature=[tf.TensorSpec([None, None, harness.FEATURES], tf.float64), one_row],
    )
    inputs, states = tensors(problem)
    for given in (states, [state[:1] for state in states]):
        repeated = [np.broadcast_to(state, (harness.BATCH, harness.UNITS)) for state in given]
        expected, _ = reference.forward("V", problem.weights, problem.inputs, repeated)
        harness.assert_close(function(inputs, given), expected, TOLERANCE)


@pytest.mark.parametrize("shapes", [[(3, 4), (3, 4)], [(1, 2, 4)] * 2, [(2, 1)] * 2, [(2, 4)]])
def test_initial_states_that_do_not_fit(shapes: list[tuple[int, ...]]) -> None:
    layer = zoo.RNN(zoo.NoPeepholesCell(4))
    states = [tf.zeros(shape) for shape in shapes]
    with pytest.raises(
        ValueError, match=r"`initial_state`, expected .*\[\(2, 4\), \(2, 4\)\]"
    ) as caught:
        layer(tf.zeros((2, 5, 3)), initial_state=states)
    assert f"got {shapes}" in str(caught.value)


def test_a_cell_wants_all_of_its_states() -> None:
    layer = keras.layers.RNN(zoo.FullGateRecurrenceCell(4))
    with pytest.raises(ValueError, match="`states`, expected 3 tensors, got 2"):
        layer(tf.zeros((2, 5, 3)), initial_state=[tf.zeros((2, 4)), tf.zeros((2, 4))])


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Sends what the converter's C++ says nowhere."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@pytest.mark.parametrize("time", [5, pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize("sequences", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_litert_refuses_a_free_batch(time: int | None, sequences: bool) -> None:
    # What it makes of lists of a free size overruns the interpreter's memory.
    layer = zoo.RNN(zoo.VanillaCell(4), return_sequences=sequences)
    model = keras.Sequential([keras.Input((time, 3)), layer])
    with silent(), pytest.raises(Exception, match=r"tensor list ops|TensorList"):
        tf.lite.TFLiteConverter.from_keras_model(model).convert()
