"""The arguments of every cell reach the weights that they name."""

from __future__ import annotations

import keras
import numpy as np

from tests.zoo import harness, reference

WEIGHTS = {
    "kernel": "kernel",
    "recurrent": "recurrent_kernel",
    "bias": "bias",
    "peephole": "peephole",
}
"""The first word of an argument, and its weight."""


def weights_for(code: str, word: str) -> list[str]:
    """Names the weights of a variant that the arguments `<word>_...` are for."""
    if word == "peephole" and not reference.PEEPHOLES[code]:
        return []
    also = ["gate_recurrent_kernel"] if code == "FGR" and word == "recurrent" else []
    return [WEIGHTS[word], *also]


def built(code: str, **arguments: object) -> dict[str, keras.Variable]:
    cell = harness.CELLS[code](harness.UNITS, **arguments)
    cell.build((None, harness.FEATURES))
    return {variable.name: variable for variable in cell.trainable_variables}


@harness.some_variants
def test_initializers(code: str) -> None:
    values = {word: float(index + 2) for index, word in enumerate(WEIGHTS)}
    initializers = {
        f"{word}_initializer": keras.initializers.Constant(v) for word, v in values.items()
    }
    weights = built(code, unit_forget_bias=False, **initializers)
    for word, value in values.items():
        for name in weights_for(code, word):
            assert (harness.numpy_of(weights.pop(name)) == value).all(), name
    assert not weights


@harness.some_variants
def test_unit_forget_bias(code: str) -> None:
    for initializer, value in (("zeros", 0), (keras.initializers.Constant(3.0), 3)):
        bias = harness.numpy_of(built(code, bias_initializer=initializer)["bias"])
        for gate, block in reference.blocks(bias, reference.GATES[code]).items():
            assert (block == (1 if gate == "f" else value)).all(), gate
    bias = harness.numpy_of(built(code, unit_forget_bias=False)["bias"])
    assert (bias == 0).all()


@harness.some_variants
def test_regularizers(code: str) -> None:
    problem = harness.make_problem(code)
    for word in WEIGHTS:
        regularizer = {f"{word}_regularizer": keras.regularizers.L2(0.1)}
        layer = harness.make_layer(problem, cell_arguments=regularizer)
        expected = [0.1 * (problem.weights[name] ** 2).sum() for name in weights_for(code, word)]
        np.testing.assert_allclose(sorted(map(float, layer.losses)), sorted(expected), rtol=1e-6)


@harness.some_variants
def test_constraints(code: str) -> None:
    problem = harness.make_problem(code)
    for word in WEIGHTS:
        constraint = {f"{word}_constraint": keras.constraints.NonNeg()}
        variables = harness.make_layer(problem, cell_arguments=constraint).trainable_variables
        for variable in variables:
            before = problem.weights[variable.name]
            constrained = variable.name in weights_for(code, word)
            expected = np.maximum(before, 0) if constrained else before
            after = keras.ops.convert_to_tensor(before)
            if variable.constraint is not None:
                after = variable.constraint(after)
            np.testing.assert_array_equal(harness.numpy_of(after), expected, variable.name)


@harness.some_variants
def test_cell_that_is_not_trainable(code: str) -> None:
    cell = harness.CELLS[code](harness.UNITS, trainable=False)
    cell.build((None, harness.FEATURES))
    assert not cell.trainable_variables
