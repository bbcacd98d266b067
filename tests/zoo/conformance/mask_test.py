"""Every cell under masks: a masked step keeps the states, repeats the output, gets no gradient."""

from __future__ import annotations

import functools

import keras
import numpy as np

from tests.zoo import harness, reference

MASKS = {
    "right": [1, 1, 1, 0, 0],
    "left": [0, 0, 1, 1, 1],
    "scattered": [1, 0, 1, 0, 1],
    "both ends": [0, 1, 0, 1, 0],
    "fully masked": [0, 0, 0, 0, 0],
    "none": [1, 1, 1, 1, 1],
}
"""One row of the batch each."""

MASK = np.array(list(MASKS.values()), bool)

VALUE = 1e-13
GRADIENT = 1e-12
"""As in `equations_test.py`: float64, and sums over batch and time."""


@harness.some_variants
def test_values(code: str) -> None:
    problem = harness.make_problem(code, batch=len(MASKS))
    layer = harness.make_layer(problem)
    outputs, finals = harness.run(layer, problem, mask=keras.ops.convert_to_tensor(MASK))
    expected, states = reference.forward(
        code, problem.weights, problem.inputs, problem.states, mask=MASK
    )
    for row, name in enumerate(MASKS):
        harness.assert_close(outputs[row], expected[row], VALUE, name)
        for final, state in zip(finals, states, strict=True):
            harness.assert_close(final[row], state[row], VALUE, name)


@harness.some_variants
def test_gradients(code: str) -> None:
    problem = harness.make_problem(code, batch=len(MASKS), features=2, units=3)
    mask = keras.ops.convert_to_tensor(MASK)
    function = harness.Differentiable(problem, harness.make_layer(problem), mask=mask)
    gradient = function.gradient()
    loss = functools.partial(problem.reference_loss, mask=MASK)
    harness.assert_all_close(gradient, reference.gradient(loss, problem.point), GRADIENT)
    assert not gradient["inputs"][~MASK].any()
    assert gradient["inputs"][MASK].all()


@harness.some_variants
def test_last_output_and_masking_layer(code: str) -> None:
    problem = harness.make_problem(code, batch=len(MASKS))
    zeros = [np.zeros_like(state) for state in problem.states]
    expected, _ = reference.forward(code, problem.weights, problem.inputs, zeros, mask=MASK)
    layer = harness.make_layer(problem, return_sequences=False, return_state=False)
    inputs = np.where(MASK[..., None], problem.inputs, -1.0)
    masked = keras.layers.Masking(-1.0, dtype="float64")(keras.ops.convert_to_tensor(inputs))
    harness.assert_close(harness.numpy_of(layer(masked)), expected[:, -1], VALUE)
