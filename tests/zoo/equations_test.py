"""The nine cells compute the equations of the paper: values and every gradient, in float64."""

from __future__ import annotations

import numpy as np

from tests.zoo import harness, reference

VALUE = 1e-13
"""The same few dozen float64 operations in another order differ by some 1e-15."""

GRADIENT = 1e-12
"""As `VALUE`, but a gradient sums over batch and time, and is of the order of 10."""

DIFFERENCE = 1e-8
"""A central difference with step h = 1e-5 is off by h^2 / 6 third derivatives and by 1e-16 / h."""


@harness.each_variant
def test_forward_follows_the_paper(code: str) -> None:
    problem = harness.make_problem(code)
    outputs, finals = harness.run(harness.make_layer(problem), problem)
    expected, states = reference.forward(
        problem.code, problem.weights, problem.inputs, problem.states
    )
    harness.assert_close(outputs, expected, VALUE, "outputs")
    for index, (final, state) in enumerate(zip(finals, states, strict=True)):
        harness.assert_close(final, state, VALUE, f"state {index}")


@harness.each_variant
def test_every_gradient_follows_the_paper(code: str) -> None:
    problem = harness.make_problem(code)
    gradient = harness.Differentiable(problem, harness.make_layer(problem)).gradient()
    harness.assert_all_close(gradient, harness.exact_gradient(code), GRADIENT)


def test_every_gradient_equals_central_differences() -> None:
    # Of the cell itself, so this holds whatever the reference says.
    problem = harness.make_problem("FGR", batch=1, time=3, features=1, units=2)
    function = harness.Differentiable(problem, harness.make_layer(problem))
    expected = reference.central_differences(function.loss, problem.point)
    harness.assert_all_close(function.gradient(), expected, DIFFERENCE)


@harness.some_variants
def test_activation_arguments_replace_tanh_and_sigmoid(code: str) -> None:
    problem = harness.make_problem(code)
    layer = harness.make_layer(
        problem, cell_arguments={"activation": "softsign", "recurrent_activation": "hard_sigmoid"}
    )
    expected, _ = reference.forward(
        code,
        problem.weights,
        problem.inputs,
        problem.states,
        activation=lambda x: x / (1 + abs(x)),
        recurrent_activation=lambda x: np.clip(x / 6 + 0.5, 0, 1),
    )
    harness.assert_close(harness.run(layer, problem)[0], expected, VALUE)


@harness.some_variants
def test_cell_without_bias(code: str) -> None:
    problem = harness.make_problem(code)
    del problem.weights["bias"]
    layer = harness.make_layer(problem, cell_arguments={"use_bias": False})
    expected, _ = reference.forward(code, problem.weights, problem.inputs, problem.states)
    harness.assert_close(harness.run(layer, problem)[0], expected, VALUE)


@harness.some_variants
def test_reference_gradient_equals_its_central_differences(code: str) -> None:
    # The yardstick itself: complex steps and differences of the same NumPy function.
    problem = harness.make_problem(code, batch=1, time=3, features=2, units=2)
    harness.assert_all_close(
        reference.gradient(problem.reference_loss, problem.point),
        reference.central_differences(problem.reference_loss, problem.point),
        DIFFERENCE,
    )
