"""Every cell in float32, bfloat16 and float16: types, values and gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.zoo import harness, reference

TOLERANCES = {"float32": 1e-6, "mixed_bfloat16": 0.06, "mixed_float16": 0.008}
"""About 16 roundings of each format (2^-24, 2^-8, 2^-11), five steps deep, on values of order 1."""

each_policy = pytest.mark.parametrize("policy", TOLERANCES)


@each_policy
@harness.some_variants
def test_values(code: str, policy: str) -> None:
    problem = harness.make_problem(code)
    layer = harness.make_layer(problem, dtype=policy)
    compute = keras.DTypePolicy(policy).compute_dtype
    inputs = keras.ops.convert_to_tensor(problem.inputs, dtype="float32")
    states = [keras.ops.convert_to_tensor(state, dtype="float32") for state in problem.states]
    results = harness.compiled(layer)(inputs, initial_state=states)
    assert {keras.backend.standardize_dtype(result.dtype) for result in results} == {compute}
    assert {variable.dtype for variable in layer.trainable_variables} == {"float32"}

    expected, finals = reference.forward(code, problem.weights, problem.inputs, problem.states)
    for result, wanted in zip(results, [expected, *finals], strict=True):
        result = harness.numpy_of(keras.ops.cast(result, "float32"))
        harness.assert_close(result, wanted, TOLERANCES[policy])


@each_policy
@harness.some_variants
def test_gradients(code: str, policy: str) -> None:
    problem = harness.make_problem(code)
    layer = harness.make_layer(problem, dtype=policy)
    gradient = harness.Differentiable(problem, layer, dtype="float32").gradient()
    for name, wanted in harness.exact_gradient(code).items():
        assert gradient[name].dtype == np.float32
        # Sums over batch and time: the rounding is relative to the largest term.
        largest = np.abs(wanted).max()
        tolerance = 2 * TOLERANCES[policy]
        harness.assert_close(gradient[name] / largest, wanted / largest, tolerance, name)
