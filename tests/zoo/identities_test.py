"""Where two variants meet: for some weights they have the same values and gradients.

Of the reference, which the cells equal: it tells the variants apart by switches, as the zoo does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from tests.zoo import harness, reference

TOLERANCE = 1e-12
"""Two orders of the same float64 operations."""

OPEN = 60.0
"""A bias at which the logistic function is 1 and its derivative 0 up to float64 rounding."""

Weights = dict[str, np.ndarray]


def results(problem: harness.Problem, **activations: Any) -> tuple[list, Weights]:
    """Outputs and final states, and all gradients."""
    outputs, finals = reference.forward(
        problem.code, problem.weights, problem.inputs, problem.states, **activations
    )

    def loss(point: Weights) -> Any:
        return problem.reference_loss(point, **activations)

    return [outputs, *finals], reference.gradient(loss, problem.point)


def linear(x: np.ndarray) -> np.ndarray:
    return x


def as_variant(problem: harness.Problem, code: str, weights: Weights) -> harness.Problem:
    """The same inputs and loss for another variant; of the gates' state only FGR has one."""
    return dataclasses.replace(
        problem,
        code=code,
        weights=weights,
        states=problem.states[:2],
        state_gradients=problem.state_gradients[:2],
    )


def join(parts: Mapping[str, np.ndarray], gates: str) -> np.ndarray:
    return np.concatenate([parts[gate] for gate in gates], axis=-1)


def add_gate(
    problem: harness.Problem, gate: str, make: Callable[[np.ndarray, dict], np.ndarray]
) -> harness.Problem:
    """Makes a vanilla problem of one without `gate`; `make(like, others)` invents its blocks."""
    weights = {}
    for name, array in problem.weights.items():
        gates, wanted = reference.GATES[problem.code], reference.GATES["V"]
        if name == "peephole":
            gates, wanted = reference.PEEPHOLES[problem.code], reference.PEEPHOLES["V"]
        parts = reference.blocks(array, gates)
        parts[gate] = make(parts[gates[0]], parts)
        weights[name] = join(parts, wanted)
    return as_variant(problem, "V", weights)


def assert_same(
    first: tuple[list, Weights], second: tuple[list, Weights], names: tuple[str, ...]
) -> None:
    """Compares values, and the gradients of `names`."""
    for one, other in zip(first[0], second[0], strict=False):
        harness.assert_close(one, other, TOLERANCE)
    for name in names:
        harness.assert_close(first[1][name], second[1][name], TOLERANCE, name)


SHARED = ("inputs", "state 0", "state 1")
ALL = (*SHARED, "kernel", "recurrent_kernel", "bias")


def test_zero_peepholes_make_vanilla_into_no_peepholes() -> None:
    problem = harness.make_problem("V", batch=1, time=3)
    problem.weights["peephole"][:] = 0
    without = {name: array for name, array in problem.weights.items() if name != "peephole"}
    assert_same(results(problem), results(as_variant(problem, "NP", without)), ALL)


def test_zero_gate_kernel_makes_full_gate_recurrence_into_vanilla() -> None:
    problem = harness.make_problem("FGR", batch=1, time=3)
    problem.weights["gate_recurrent_kernel"][:] = 0
    problem.state_gradients[2][:] = 0
    others = {n: a for n, a in problem.weights.items() if n != "gate_recurrent_kernel"}
    vanilla = as_variant(problem, "V", others)
    assert_same(results(problem), results(vanilla), (*ALL, "peephole"))


def test_coupled_gates_equal_vanilla_with_the_opposite_forget_gate() -> None:
    # 1 - sigmoid(x) = sigmoid(-x), so a forget gate with minus the input gate's weights is 1 - i.
    problem = harness.make_problem("CIFG", batch=1, time=3)
    vanilla = add_gate(problem, "f", lambda _, parts: -parts["i"])
    coupled, forced = results(problem), results(vanilla)
    assert_same(coupled, forced, SHARED)
    # By the chain rule the one gate's gradient is that of i minus that of f.
    for name in ("kernel", "recurrent_kernel", "bias", "peephole"):
        gates = reference.PEEPHOLES if name == "peephole" else reference.GATES
        parts = reference.blocks(forced[1][name], gates["V"])
        parts["i"] = parts["i"] - parts["f"]
        harness.assert_close(coupled[1][name], join(parts, gates["CIFG"]), TOLERANCE, name)


@pytest.mark.parametrize(("code", "gate"), [("NIG", "i"), ("NFG", "f"), ("NOG", "o")])
def test_missing_gate_equals_vanilla_with_that_gate_open(code: str, gate: str) -> None:
    problem = harness.make_problem(code, batch=1, time=3)
    vanilla = add_gate(problem, gate, lambda like, _: np.zeros_like(like))
    position = reference.GATES["V"].index(gate) * harness.UNITS
    vanilla.weights["bias"][position : position + harness.UNITS] = OPEN
    assert_same(results(problem), results(vanilla), SHARED)


@pytest.mark.parametrize("code", ["NIAF", "NOAF"])
def test_missing_activation_equals_vanilla_with_a_linear_one(code: str) -> None:
    problem = harness.make_problem(code, batch=1, time=3)
    vanilla = as_variant(problem, "V", problem.weights)
    without = results(problem, activation=linear)
    assert_same(without, results(vanilla, activation=linear), (*ALL, "peephole"))


def test_the_two_missing_activations_are_not_each_other() -> None:
    # Guards the test above, which cannot tell which of the two activations a variant lacks.
    problem = harness.make_problem("NIAF", batch=1, time=3)
    other = as_variant(problem, "NOAF", problem.weights)
    assert np.abs(results(problem)[0][0] - results(other)[0][0]).max() > 1e-2
