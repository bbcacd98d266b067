"""Guards the value tests: a cell with a mistake in it must fail them."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

import zoo
from tests.zoo import equations_test, harness, reference

Step = Callable[..., tuple[Any, Any, list[Any]]]

HOME = sys.modules[zoo.VariantCell.__module__]
"""The module of the step function, beside the class that calls it."""

ORIGINAL: Step = HOME.step


def exchanged(values: dict[str, Any], one: str, other: str) -> dict[str, Any]:
    return {**values, one: values[other], other: values[one]}


def exchange_net(one: str, other: str) -> Step:
    """Two gates take each other's matrices and biases."""

    def step(variant: zoo.Variant, net: dict, c: Any, peephole: dict, *rest: Any) -> tuple:
        return ORIGINAL(variant, exchanged(net, one, other), c, peephole, *rest)

    return step


def exchange_peepholes(one: str, other: str) -> Step:
    """Two gates take each other's peepholes."""

    def step(variant: zoo.Variant, net: dict, c: Any, peephole: dict, *rest: Any) -> tuple:
        return ORIGINAL(variant, net, c, exchanged(peephole, one, other), *rest)

    return step


def output_peephole_at_the_old_cell(
    variant: zoo.Variant, net: dict, c: Any, peephole: dict, *rest: Any
) -> tuple:
    net = {**net, "o": net["o"] + peephole["o"] * c}
    return ORIGINAL(variant, net, c, {**peephole, "o": 0 * peephole["o"]}, *rest)


def without_peephole(gate: str) -> Step:
    def step(variant: zoo.Variant, net: dict, c: Any, peephole: dict, *rest: Any) -> tuple:
        kept = {name: weights for name, weights in peephole.items() if name != gate}
        return ORIGINAL(variant, net, c, kept, *rest)

    return step


def as_if(**switches: bool) -> Step:
    """The step of a variant with other switches."""

    def step(variant: zoo.Variant, *rest: Any) -> tuple:
        return ORIGINAL(dataclasses.replace(variant, **switches), *rest)

    return step


def gate_state_in_another_order(*arguments: Any) -> tuple:
    h, c, gates = ORIGINAL(*arguments)
    return h, c, gates[::-1]


def squashed_cell(*arguments: Any) -> tuple:
    """The cell that is handed on is the one behind the output activation."""
    h, c, gates = ORIGINAL(*arguments)
    return h, keras.ops.tanh(c), gates


def mistakes() -> Iterator[Any]:
    """Lists all pairs of a variant and a mistake that matters for it."""
    for code in reference.CODES:
        gates, peepholes = reference.GATES[code], reference.PEEPHOLES[code]
        steps = {"squashed cell": squashed_cell}
        for pair in itertools.combinations(gates, 2):
            steps["exchange {}-{}".format(*pair)] = exchange_net(*pair)
        for pair in itertools.combinations(peepholes, 2):
            steps["exchange peepholes {}-{}".format(*pair)] = exchange_peepholes(*pair)
        for gate in peepholes:
            steps[f"no peephole {gate}"] = without_peephole(gate)
        if "o" in peepholes:
            steps["output peephole at the old cell"] = output_peephole_at_the_old_cell
        if "i" in gates:
            steps["input gate open"] = as_if(input_gate=False, coupled=False)
        if "f" in gates:
            steps["forget gate open"] = as_if(forget_gate=False)
            steps["forget gate coupled"] = as_if(forget_gate=False, coupled="i" in gates)
        if "o" in gates:
            steps["output gate open"] = as_if(output_gate=False)
        if code == "CIFG":
            steps["not coupled"] = as_if(coupled=False)
        if code == "FGR":
            # Of FGR a step without a gate would give a state of another size.
            steps = {name: step for name, step in steps.items() if "open" not in name}
            steps = {name: step for name, step in steps.items() if "coupled" not in name}
            steps["gate state in another order"] = gate_state_in_another_order
        steps["input activation"] = as_if(input_activation=code == "NIAF")
        steps["output activation"] = as_if(output_activation=code == "NOAF")
        for name, step in steps.items():
            yield pytest.param(code, step, id=f"{code}-{name.replace(' ', '_')}")


@pytest.mark.parametrize(("code", "mistake"), list(mistakes()))
def test_mistake_in_the_step_is_noticed(
    code: str, mistake: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HOME, "step", mistake)
    with pytest.raises(AssertionError, match="outputs|state"):
        equations_test.check_forward(harness.make_problem(code))


@pytest.mark.parametrize("code", reference.CODES)
def test_every_weight_matters(code: str) -> None:
    """Sets each single weight to 0: the reference, which the cells equal, must give other values.

    A weight that the random problem does not exercise would be a blind spot of all value tests.
    """
    problem = harness.make_problem(code)
    right, states = reference.forward(code, problem.weights, problem.inputs, problem.states)
    for name, array in problem.weights.items():
        for index in np.ndindex(array.shape):
            weights = {**problem.weights, name: array.copy()}
            weights[name][index] = 0
            wrong, other = reference.forward(code, weights, problem.inputs, problem.states)
            change = max(np.abs(wrong - right).max(), np.abs(other[1] - states[1]).max())
            assert change > 1e6 * equations_test.VALUE, (name, index)


@pytest.mark.parametrize("code", reference.CODES)
def test_exchanged_gates_are_noticed_in_every_gradient(code: str) -> None:
    problem = harness.make_problem(code, batch=1, features=2, units=3)
    right = reference.gradient(problem.reference_loss, problem.point)
    for one, other in itertools.combinations(reference.GATES[code], 2):
        weights = {}
        for name in ("kernel", "recurrent_kernel", "bias"):
            parts = reference.blocks(problem.weights[name], reference.GATES[code])
            swapped = exchanged(parts, one, other).values()
            weights[name] = np.concatenate(list(swapped), axis=-1)
        point = {**problem.point, **weights}
        wrong = reference.gradient(problem.reference_loss, point)
        for name, array in right.items():
            assert np.abs(wrong[name] - array).max() > 1e-3, (one, other, name)


def test_transposed_gate_kernel_is_noticed() -> None:
    problem = harness.make_problem("FGR")
    layer = harness.make_layer(problem)
    kernel = layer.cell.gate_recurrent_kernel
    expected, _ = reference.forward("FGR", problem.weights, problem.inputs, problem.states)
    harness.assert_close(harness.run(layer, problem)[0], expected, equations_test.VALUE)
    kernel.assign(problem.weights["gate_recurrent_kernel"].T)
    difference = harness.run(layer, problem)[0] - expected
    assert np.abs(difference).max() > 1e-2
