"""Truncated backpropagation through time: whole where it reaches, nothing beyond."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import zoo
from tests.zoo import reference
from tests.zoo.harness import (
    TIME,
    Differentiable,
    assert_all_close,
    assert_close,
    make_cell,
    make_layer,
    make_problem,
    run,
)

MASK = np.array([[True, True, False, True, True], [False, True, True, False, False]])


def _by_pieces(code: str, steps: int) -> dict[str, np.ndarray]:
    """The gradient by its definition: of each piece's outputs, its first states being constants."""
    problem = make_problem(code)
    states, total = problem.states, {}
    for start in range(0, TIME, steps):
        piece = slice(start, start + steps)
        last = start + steps >= TIME

        def loss(point: Any, piece: slice = piece, states: Any = states, last: bool = last) -> Any:
            first = piece.start == 0
            begin = [point[f"state {index}"] for index in range(len(states))] if first else states
            outputs, finals = reference.forward(code, point, point["inputs"][:, piece], begin)
            value = (outputs * problem.output_gradient[:, piece]).sum()
            if last:
                pairs = zip(finals, problem.state_gradients, strict=True)
                value = value + sum((final * gradient).sum() for final, gradient in pairs)
            return value

        for name, gradient in reference.gradient(loss, problem.point).items():
            total[name] = total.get(name, 0) + gradient
        inputs = problem.inputs[:, piece]
        states = reference.forward(code, problem.weights, inputs, states)[1]
    return total


@pytest.mark.parametrize(("code", "steps"), [("V", 1), ("FGR", 2), ("V", 3)])
def test_gradient_is_the_sum_of_those_of_the_pieces(code: str, steps: int) -> None:
    problem = make_problem(code)
    layer = make_layer(problem, kind=zoo.RNN, truncate=steps)
    gradient = Differentiable(problem, layer).gradient()
    expected = _by_pieces(code, steps)
    assert_all_close(gradient, {name: expected[name] for name in gradient}, 1e-11)
    whole = Differentiable(problem, make_layer(problem, kind=zoo.RNN)).gradient()
    assert np.abs(whole["recurrent_kernel"] - gradient["recurrent_kernel"]).max() > 0.01


def test_of_as_many_steps_it_is_whole_bit_for_bit() -> None:
    problem = make_problem("V")
    whole = Differentiable(problem, make_layer(problem, kind=zoo.RNN)).gradient()
    for steps in (TIME, TIME + 3):
        gradient = Differentiable(problem, make_layer(problem, kind=zoo.RNN, truncate=steps))
        for name, array in gradient.gradient().items():
            np.testing.assert_array_equal(array, whole[name])


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
@pytest.mark.parametrize("arguments", [{}, {"go_backwards": True}, {"zero_output_for_mask": True}])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_values_stay_the_same(
    mask: np.ndarray | None, arguments: dict[str, Any], return_sequences: bool
) -> None:
    problem = make_problem("V")
    arguments = {**arguments, "return_sequences": return_sequences}
    plain = make_layer(problem, **arguments)
    for steps in (1, 2):
        layer = make_layer(problem, kind=zoo.RNN, truncate=steps, **arguments)
        for one, other in zip(
            run(layer, problem, mask=mask), run(plain, problem, mask=mask), strict=True
        ):
            for each, right in zip(one, other, strict=True):
                assert_close(each, right, 1e-13)


def test_for_a_while_or_for_good() -> None:
    problem = make_problem("V")
    whole = make_layer(problem, kind=zoo.RNN)
    expected = Differentiable(problem, make_layer(problem, kind=zoo.RNN, truncate=2)).gradient()
    with zoo.truncated(2):
        found = Differentiable(problem, whole).gradient()
    assert_all_close(found, expected, 1e-14)
    after = Differentiable(problem, whole).gradient()
    assert np.abs(after["kernel"] - found["kernel"]).max() > 1e-3
    assert "truncate" not in whole.get_config()
    layer = zoo.RNN.from_config(zoo.RNN(zoo.VanillaCell(3), truncate=4).get_config())
    assert layer.truncate == 4


def test_what_is_refused() -> None:
    for steps in (0, 2.0, True):
        message = "`truncate`, expected a positive integer or None, got"
        with pytest.raises(ValueError, match=message):
            zoo.RNN(zoo.VanillaCell(3), truncate=steps)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=message), zoo.truncated(steps):  # type: ignore[arg-type]
            pass
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        problem = make_problem("V")
        layer = zoo.RNN(make_cell(problem), dtype="float64", truncate=2)
        unknown = tf.TensorSpec((2, None, problem.inputs.shape[-1]), tf.float64)
        with pytest.raises(ValueError, match="expected a known number of steps"):
            tf.function(layer).get_concrete_function(unknown)
