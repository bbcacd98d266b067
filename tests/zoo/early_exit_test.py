"""Inner steps that nobody takes are not computed: in inference, with the JAX backend."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import zoo
from tests.zoo.harness import numpy_of


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="other backends compute all steps")
@pytest.mark.parametrize(("bias", "steps"), [(30.0, 1), (0.5, 2), (-30.0, 4)])
def test_early_exit_computes_the_steps_of_the_deepest_sample(bias: float, steps: int) -> None:
    import jax

    computed = []

    def tanh(net: keras.KerasTensor) -> keras.KerasTensor:
        """Counts its executions: two a step, of the block input and of the output."""
        jax.debug.callback(lambda: computed.append(1))
        return keras.ops.tanh(net)

    cell = zoo.DepthAdaptiveCell(5, max_depth=4, activation=tanh, seed=3)
    cell.build((2, 3))
    cell.halting_kernel.assign(0 * cell.halting_kernel)
    cell.halting_bias.assign([bias])
    frame, h, c = np.random.default_rng(1).normal(size=(3, 2, 5)).astype("float32")
    answers = []
    for training in (False, True):
        inputs = (frame[:, :3], [h, c, np.zeros((2, 2), "float32")])
        _, states = jax.jit(lambda inputs, training=training: cell(*inputs, training=training))(
            inputs
        )
        jax.effects_barrier()
        assert len(computed) == 2 * (4 if training else steps)
        computed.clear()
        answers.append([numpy_of(state) for state in states])
    for ours, all_steps in zip(*answers, strict=True):
        np.testing.assert_allclose(ours, all_steps, rtol=1e-6, atol=1e-7)
    assert answers[0][2][:, 1].tolist() == [steps, steps]
