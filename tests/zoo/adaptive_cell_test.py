"""Cells with several steps in a frame, against NumPy and against cells with one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pytest

import zoo
from tests.zoo import reference
from tests.zoo.harness import (
    CELLS,
    Differentiable,
    Problem,
    assert_all_close,
    assert_close,
    float64_arguments,
    make_problem,
    numpy_of,
    run,
    set_weights,
)
from zoo.adaptive_cell import FORMS, HALTING
from zoo.registry import count_params, unregister
from zoo.variants import STEPPED

DEPTH, EPSILON = 3, 0.01
SINGLE = [code for code in reference.CODES if code != "FGR"]
Arrays = Mapping[str, np.ndarray]


def _inner(code: str, weights: Arrays, form: str, n: int) -> dict[str, np.ndarray]:
    """The weights of inner step n as those of a cell with one step."""
    if form == "shared":
        names = ("kernel", "recurrent_kernel", "bias", "peephole")
        own = {name: weights[name] for name in names if name in weights}
        return own | ({"bias": own["bias"] + weights["flag_kernel"][0]} if n == 1 else {})
    names = ("recurrent_kernel", "bias", "peephole")
    suffix = "" if n == 1 else f"_{n}"
    own = {name: weights[name + suffix] for name in names if name + suffix in weights}
    return own | {"kernel": weights["kernel"] * (n == 1)}


def _frame(
    code: str, weights: Arrays, x: np.ndarray, h: np.ndarray, c: np.ndarray, halting: str, form: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One frame of one sequence, from the equations: h, c, and what is added to the ponder."""
    seen, steps = np.concatenate([x, h]), []
    for n in range(1, DEPTH + 1):
        inner = reference.unpack(code, _inner(code, weights, form, n))
        h, c = reference.step(code, inner, x, h, c)
        steps.append((h, c))
    if halting == "fixed":
        return h, c, np.array([DEPTH, DEPTH])
    if halting == "choice":
        scores = seen @ weights["halting_kernel"] + weights["halting_bias"]
        soft = np.exp(scores) / np.exp(scores).sum()
        chosen = np.eye(DEPTH)[np.argmax(scores.real)]
        ponder, depth = soft @ range(1, DEPTH + 1), chosen @ range(1, DEPTH + 1)
    else:
        w, b = weights["halting_kernel"][:, 0], weights["halting_bias"][0]
        halts = [reference.sigmoid(h @ w + b) for h, _ in steps]
        sums = np.cumsum(halts)
        # Else rounding and differences would decide.
        assert np.all(np.abs(sums.real - (1 - EPSILON)) > 1e-3)
        depth = next((n for n in range(1, DEPTH) if sums[n - 1].real >= 1 - EPSILON), DEPTH)
        rest = 1 - sum(halts[: depth - 1])
        chosen = np.array([*halts[: depth - 1], rest, *[0] * (DEPTH - depth)])
        ponder = depth + rest
    h, c = (sum(p * part for p, part in zip(chosen, parts)) for parts in zip(*steps))  # noqa: B905
    return h, c, np.array([ponder, depth])


def _forward(
    problem: Problem, point: Arrays, halting: str, form: str
) -> tuple[np.ndarray, list[np.ndarray]]:
    rows = []
    states = [point[f"state {index}"] for index in range(3)]
    for row, sequence in enumerate(point["inputs"]):
        h, c, ponder = (state[row] for state in states)
        outputs = []
        for x in sequence:
            h, c, spent = _frame(str(problem.code), point, x, h, c, halting, form)
            ponder = ponder + spent
            outputs.append(h)
        rows.append((np.array(outputs), h, c, ponder))
    outputs, *finals = (np.array(part) for part in zip(*rows, strict=True))
    return outputs, finals


def _problem(code: str, halting: str, form: str, seed: int = 2) -> Problem:
    """Random weights of a cell of three steps, from 1/2 normal numbers."""
    small = make_problem(code, seed, batch=2, time=3, features=2, units=3)
    random = np.random.default_rng([seed, 7])
    cell = _cell(code, halting, form)
    weights = {
        one.name: small.weights.get(one.name, random.normal(0, 0.5, one.shape))
        for one in cell.trainable_variables
    }
    if halting == "act":
        # Depths that differ from frame to frame.
        weights["halting_kernel"] = 8 * weights["halting_kernel"]
    ponder, gradient = random.normal(size=(2, 2, 2))
    return Problem(
        code, weights, small.inputs, [*small.states, ponder],
        small.output_gradient, [*small.state_gradients, gradient],
    )  # fmt: skip


def _cell(code: str, halting: str, form: str = "transition", **arguments: Any) -> Any:
    arguments = {
        "dtype": "float64",
        "max_depth": DEPTH,
        **float64_arguments("float64"),
        **arguments,
    }
    cell = zoo.DepthAdaptiveCell(3, halting=halting, form=form, inner=code, **arguments)
    cell.build((None, 2))
    return cell


def _layer(problem: Problem, cell: Any) -> keras.layers.RNN:
    set_weights(cell, problem.weights)
    layer = keras.layers.RNN(cell, return_sequences=True, return_state=True, dtype="float64")
    layer.build(problem.inputs.shape)
    return layer


@pytest.mark.parametrize(
    ("code", "halting", "form"),
    [
        *itertools.product(["V"], HALTING, FORMS),
        *((code, "act", "transition") for code in ("NIG", "CIFG", "NP")),
        *(
            pytest.param(code, "act", "transition", marks=pytest.mark.slow)
            for code in ("NFG", "NOG", "NIAF", "NOAF")
        ),
    ],
)
def test_values_follow_the_equations(code: str, halting: str, form: str) -> None:
    problem = _problem(code, halting, form)
    outputs, finals = run(_layer(problem, _cell(code, halting, form)), problem)
    expected, states = _forward(problem, problem.point, halting, form)
    assert_close(outputs, expected, 1e-12, "outputs")
    for index, (final, state) in enumerate(zip(finals, states, strict=True)):
        assert_close(final, state, 1e-12, f"state {index}")


@pytest.mark.parametrize("form", ["transition", pytest.param("shared", marks=pytest.mark.slow)])
def test_gradients_follow_the_equations(form: str) -> None:
    problem = _problem("V", "act", form)
    # N itself has no gradient, and the reference sees none either.
    found = Differentiable(problem, _layer(problem, _cell("V", "act", form))).gradient()

    def loss(point: Arrays) -> Any:
        return problem.loss(*_forward(problem, point, "act", form))

    expected = reference.gradient(loss, problem.point)
    assert_all_close(found, {name: expected[name] for name in found}, 1e-10)
    assert np.all(np.abs(found["halting_kernel"]) > 1e-4)


def test_depths_of_the_problems_differ() -> None:
    # Else the tests above would prove little.
    problem, depths = _problem("V", "act", "transition"), set()
    for row, sequence in enumerate(problem.inputs):
        h, c, _ = (state[row] for state in problem.states)
        for x in sequence:
            h, c, spent = _frame("V", problem.weights, x, h, c, "act", "transition")
            depths.add(int(spent[1]))
    assert depths == {2, 3}


@pytest.mark.parametrize("code", SINGLE)
def test_of_one_step_it_is_the_variant_bit_for_bit(code: str) -> None:
    problem = make_problem(code, units=3)
    plain = CELLS[code](3, dtype="float64")
    deep = zoo.DepthAdaptiveCell(3, max_depth=1, inner=code, dtype="float64")
    x, h, c = (
        keras.ops.convert_to_tensor(each) for each in (problem.inputs[:, 0], *problem.states)
    )
    for cell in (plain, deep):
        cell.build((None, problem.inputs.shape[-1]))
        for variable in cell.trainable_variables:
            variable.assign(problem.weights.get(variable.name, np.ones(variable.shape)))
    expected = numpy_of(plain(x, [h, c])[1])
    *found, ponder = numpy_of(deep(x, [h, c, np.zeros((len(x), 2))])[1])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(ponder, [[2, 1]] * len(x))


class _Known(zoo.DepthAdaptiveCell):
    """Inner steps whose halting units are known: hⁿ = logit(qⁿ), w_q = 1, b_q = 0."""

    def _step(self, n: int, inputs: Any, h: Any, c: Any, running: Any = None) -> tuple[Any, Any]:
        q = inputs[:, n - 1 : n]
        return keras.ops.log(q) - keras.ops.log(1 - q), c + 1


@pytest.mark.parametrize(
    ("q", "shares", "ponder", "depth"),
    [
        ((0.3, 0.5, 0.4, 0.9), (0.3, 0.5, 0.2, 0), 3.2, 3),
        ((0.2, 0.2, 0.2, 0.2), (0.2, 0.2, 0.2, 0.4), 4.4, 4),
        ((0.995, 0.5, 0.5, 0.5), (1, 0, 0, 0), 2, 1),
        ((0.2, 0.995, 0.5, 0.5), (0.2, 0.8, 0, 0), 2.8, 2),
    ],
)
def test_halting_rule(q: Any, shares: Any, ponder: float, depth: int) -> None:
    cell = _Known(1, max_depth=4, dtype="float64")
    cell.build((None, 4))
    cell.halting_kernel.assign([[1.0]])
    cell.halting_bias.assign([0.0])
    zeros = [np.zeros((2, size)) for size in (1, 1, 2)]
    h, c, spent = numpy_of(cell(np.array([q, [0.995] * 4]), zeros)[1])
    logits = np.log(q) - np.log1p(-np.array(q))
    assert h[0, 0] == pytest.approx(np.dot(shares, logits), rel=1e-12)
    assert c[0, 0] == pytest.approx(np.dot(shares, [1, 2, 3, 4]), rel=1e-12)
    assert_close(spent, [[ponder, depth], [2, 1]], 1e-12)


def test_ponder_falls_by_1_with_each_halting_unit_before_the_last() -> None:
    # By differences, so on every backend: the ponder is linear between its jumps.
    cell = _Known(1, max_depth=4, dtype="float64")
    cell.build((None, 4))
    cell.halting_kernel.assign([[1.0]])
    cell.halting_bias.assign([0.0])
    q = np.array([0.3, 0.5, 0.4, 0.9])
    moved = np.concatenate([q + 1e-3 * np.eye(4), q - 1e-3 * np.eye(4)])
    spent = numpy_of(cell(moved, [np.zeros((8, size)) for size in (1, 1, 2)])[1])[2][:, 0]
    assert_close((spent[:4] - spent[4:]) / 2e-3, [-1, -1, 0, 0], 1e-9)


@pytest.mark.parametrize("bias", [-30.0, 30.0])
def test_between_deep_transition_and_variant(bias: float) -> None:
    problem = _problem("V", "act", "transition")
    problem.weights["halting_kernel"][:] = 0
    problem.weights["halting_bias"][:] = bias
    outputs, finals = run(_layer(problem, _cell("V", "act")), problem)
    if bias < 0:
        other = zoo.DeepTransitionCell(3, DEPTH, dtype="float64", **float64_arguments("float64"))
    else:
        other = zoo.VanillaCell(3, dtype="float64", **float64_arguments("float64"))
    other.build((None, 2))
    for variable in other.trainable_variables:
        variable.assign(problem.weights[variable.name])
    layer = keras.layers.RNN(other, return_sequences=True, dtype="float64")
    states = [keras.ops.convert_to_tensor(each) for each in problem.states[: len(other.state_size)]]
    expected = numpy_of(layer(keras.ops.convert_to_tensor(problem.inputs), initial_state=states))
    assert_close(outputs, expected, 1e-11)
    depth = finals[-1][:, 1] - problem.states[-1][:, 1]
    assert_close(depth, [3 * (DEPTH if bias < 0 else 1)] * 2, 1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_choice_that_never_changes_is_a_fixed_depth(depth: int) -> None:
    problem = _problem("V", "choice", "transition")
    problem.weights["halting_kernel"][:] = 0
    problem.weights["halting_bias"][:] = 60 * np.eye(DEPTH)[depth - 1]
    outputs, finals = run(_layer(problem, _cell("V", "choice")), problem)
    fixed = _cell("V", "fixed", max_depth=depth)
    for variable in fixed.trainable_variables:
        variable.assign(problem.weights[variable.name])
    layer = keras.layers.RNN(fixed, return_sequences=True, dtype="float64")
    states = [keras.ops.convert_to_tensor(each) for each in problem.states]
    expected = numpy_of(layer(keras.ops.convert_to_tensor(problem.inputs), initial_state=states))
    assert_close(outputs, expected, 1e-12)
    assert_close(finals[-1] - problem.states[-1], [[3 * depth] * 2] * 2, 1e-12)


def test_batch_mates_have_no_effect() -> None:
    problem = _problem("V", "act", "transition")
    layer = _layer(problem, _cell("V", "act"))
    together, finals = run(layer, problem)
    for row in range(2):
        one = [keras.ops.convert_to_tensor(each[row : row + 1]) for each in problem.states]
        inputs = keras.ops.convert_to_tensor(problem.inputs[row : row + 1])
        alone, *states = numpy_of(layer(inputs, initial_state=one))
        assert_close(alone[0], together[row], 1e-13)
        for state, final in zip(states, finals, strict=True):
            assert_close(state[0], final[row], 1e-13)


@pytest.mark.parametrize(
    "name", ["recurrent_kernel_3", pytest.param("bias_3", marks=pytest.mark.slow)]
)
def test_what_is_not_used_may_be_infinite(name: str) -> None:
    # With q¹ = σ(2) every frame halts at the second step at the latest.
    problem = _problem("V", "act", "transition")
    problem.weights["halting_kernel"][:] = 0
    problem.weights["halting_bias"][:] = 2
    expected = Differentiable(problem, _layer(problem, _cell("V", "act"))).gradient()
    outputs = run(_layer(problem, _cell("V", "act")), problem)[0]
    problem.weights[name][:] = np.inf
    layer = _layer(problem, _cell("V", "act"))
    assert_close(run(layer, problem)[0], outputs, 1e-14)
    assert_all_close(Differentiable(problem, layer).gradient(), expected, 1e-14)
    assert not np.any(expected[name])
    assert np.any(expected["recurrent_kernel_2"])


def test_weights_are_those_of_the_formula() -> None:
    m, n = 5, 4
    plain = 4 * (n * m + n * n + n) + 3 * n
    for form, halting, expected in (
        ("transition", "act", plain + 2 * (4 * n * n + 7 * n) + n + 1),
        ("transition", "fixed", plain + 2 * (4 * n * n + 7 * n)),
        ("shared", "act", plain + 4 * n + n + 1),
        ("shared", "choice", plain + 4 * n + 3 * (m + n + 1)),
    ):
        cell = zoo.DepthAdaptiveCell(n, halting=halting, form=form)
        cell.build((None, m))
        assert cell.count_params() == expected


@pytest.mark.parametrize("arguments", [{}, {"halting": "choice", "form": "shared", "inner": "NP"}])
def test_configuration_is_complete(arguments: dict[str, Any]) -> None:
    layer = zoo.AdaptiveRNN(zoo.DepthAdaptiveCell(4, 2, **arguments), 0.25)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    assert (again.ponder_price, again.cell.max_depth) == (0.25, 2)
    assert again.cell.halting == arguments.get("halting", "act")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_depth": 0}, "`max_depth`, expected a positive integer, got 0"),
        ({"halting": "never"}, "`halting`, expected 'act' or 'choice' or 'fixed', got 'never'"),
        ({"form": "deep"}, "`form`, expected 'transition' or 'shared', got 'deep'"),
        ({"epsilon": 1}, "`epsilon`, expected a number above 0 and below 1, got 1"),
        ({"inner": "FGR"}, "`inner`, expected a variant without gate recurrence, got 'FGR'"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        zoo.DepthAdaptiveCell(3, **arguments)
    assert zoo.DepthAdaptiveCell(3, epsilon=np.float32(0.25)).epsilon == 0.25


def test_what_else_is_refused() -> None:
    with pytest.raises(ValueError, match="depth of a DeepTransitionCell is fixed"):
        zoo.DeepTransitionCell(3, halting="act")
    with pytest.raises(ValueError, match=r"expected a zoo\.DepthAdaptiveCell, got VanillaCell"):
        zoo.AdaptiveRNN(zoo.VanillaCell(3))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`ponder_price`, expected a number of at least 0, got -1"):
        zoo.AdaptiveRNN(zoo.DepthAdaptiveCell(3), -1)


def test_a_study_finds_them_by_code() -> None:
    before = zoo.list_variants()
    assert len(STEPPED) == 16 and not set(STEPPED) & set(before)
    for code in ("da-cifg", "DT-NP"):
        found = zoo.find_variant(code)
        try:
            cell = zoo.make_cell(found, units=3)
            assert cell.variant.code == code.partition("-")[2].upper()
            assert cell.halting == ("act" if code.startswith("da") else "fixed")
            assert zoo.find_variant(zoo.registry.cell_path(found)) == found
            assert zoo.list_variants() == [*before, found]
            assert zoo.registry.switches(found) is None
        finally:
            unregister(found)
    assert count_params("DA-V", input_dim=88, units=100) == 157_401
    # 4 · 100 · 100 recurrent weights, 400 biases and 300 peepholes fewer.
    assert count_params("DA-V", input_dim=88, units=100, max_depth=2) == 157_401 - 40_700
    unregister("DA-V")
