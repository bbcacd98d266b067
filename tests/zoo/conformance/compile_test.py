"""Every cell in eager mode and compiled by XLA: the same values and gradients.

Those in `tf.function` are in `equations_test.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.zoo import harness, reference

TOLERANCE = 1e-11
"""Float64; XLA reorders sums, fuses, and has its own exp and tanh."""


@pytest.mark.parametrize(
    ("code", "mode"),
    [
        *(("V", "eager"), ("FGR", "xla")),
        *(
            pytest.param(code, mode, marks=pytest.mark.slow)
            for code in reference.CODES
            for mode in ("eager", "xla")
            if (code, mode) not in (("V", "eager"), ("FGR", "xla"))
        ),
    ],
)
def test_values_and_gradients(code: str, mode: str) -> None:
    problem = harness.make_problem(code)
    layer = harness.make_layer(problem)
    upstream = [problem.output_gradient, *problem.state_gradients]

    def train_step(inputs: tf.Tensor, states: list[tf.Tensor]) -> tuple:
        # As training does it: through variables.
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            results = layer(inputs, initial_state=states, training=True)
            pairs = zip(results, upstream, strict=True)
            loss = sum(tf.reduce_sum(result * weight) for result, weight in pairs)
        values = [variable.value for variable in layer.trainable_variables]
        return results, tape.gradient(loss, [inputs, *values])

    step = train_step if mode == "eager" else tf.function(train_step, jit_compile=True)
    results, gradient = step(
        tf.constant(problem.inputs), [tf.constant(state) for state in problem.states]
    )
    outputs, finals = reference.forward(code, problem.weights, problem.inputs, problem.states)
    for result, expected in zip(results, [outputs, *finals], strict=True):
        harness.assert_close(result, expected, TOLERANCE)
    wanted = harness.exact_gradient(code)
    names = ["inputs", *(variable.name for variable in layer.trainable_variables)]
    assert len(names) == 1 + len(problem.weights)
    for name, found in zip(names, gradient, strict=True):
        harness.assert_close(found, wanted[name], TOLERANCE, name)


@pytest.mark.parametrize("code", ["FGR", pytest.param("V", marks=pytest.mark.slow)])
def test_one_program_serves_every_batch_and_length(code: str) -> None:
    layer = harness.make_layer(harness.make_problem(code), return_state=False)
    traced = []

    @tf.function(input_signature=[tf.TensorSpec([None, None, harness.FEATURES], tf.float64)])
    def run(inputs: tf.Tensor) -> tf.Tensor:
        traced.append(inputs.shape)
        return layer(inputs)

    for batch, time in ((2, 5), (3, 7), (1, 1)):
        problem = harness.make_problem(code, batch=batch, time=time)
        zeros = [np.zeros_like(state) for state in problem.states]
        # The weights do not depend on the batch: they are drawn first.
        expected, _ = reference.forward(code, problem.weights, problem.inputs, zeros)
        harness.assert_close(run(tf.constant(problem.inputs)), expected, TOLERANCE)
    assert len(traced) == 1
