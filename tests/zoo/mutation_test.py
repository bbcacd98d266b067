"""Guards the value tests: a step with a mistake in it must fail them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import zoo
from tests.zoo import harness, reference
from tests.zoo.equations_test import VALUE
from zoo.variant_cell import step as original

Step = Callable[..., tuple[Any, Any, list[Any]]]


def exchanged(values: dict[str, Any], one: str, other: str) -> dict[str, Any]:
    return {**values, one: values[other], other: values[one]}


def changed(
    variant: Callable[..., Any] = lambda variant: variant,
    a: Callable[..., Any] = lambda a, c, p: a,
    peephole: Callable[..., Any] = lambda p: p,
    results: Callable[..., Any] = lambda h, c, gates: (h, c, gates),
) -> Step:
    """The step with other arguments or results."""

    def step(v: zoo.Variant, pre_activations: dict, c: Any, p: dict, *rest: Any) -> tuple:
        arguments = variant(v), a(pre_activations, c, p), c, peephole(p)
        return results(*original(*arguments, *rest))

    return step


def as_if(**switches: bool) -> Step:
    return changed(variant=lambda variant: dataclasses.replace(variant, **switches))


def mistakes(code: str) -> dict[str, Step]:
    """All mistakes that matter for a variant."""
    gates, peepholes = reference.GATES[code], reference.PEEPHOLES[code]
    steps = {
        "cell state behind tanh": changed(results=lambda h, c, gates: (h, np.tanh(c), gates)),
        "input activation": as_if(input_activation=code == "NIAF"),
        "output activation": as_if(output_activation=code == "NOAF"),
    }
    for pair in itertools.combinations(gates, 2):
        steps["exchange {}-{}".format(*pair)] = changed(a=lambda a, c, p, x=pair: exchanged(a, *x))
    for pair in itertools.combinations(peepholes, 2):
        steps["exchange peepholes {}-{}".format(*pair)] = changed(
            peephole=lambda p, x=pair: exchanged(p, *x)
        )
    for gate in peepholes:
        steps[f"no peephole {gate}"] = changed(peephole=lambda p, x=gate: {**p, x: 0 * p[x]})
    if "o" in peepholes:
        steps["output peephole at the old cell"] = changed(
            a=lambda a, c, p: {**a, "o": a["o"] + p["o"] * c},
            peephole=lambda p: {**p, "o": 0 * p["o"]},
        )
    if code == "FGR":
        # Without a gate, its state would have another size.
        steps["gates in another order"] = changed(results=lambda h, c, gates: (h, c, gates[::-1]))
        return steps
    if "i" in gates:
        steps["input gate open"] = as_if(input_gate=False, coupled=False)
    if "f" in gates:
        steps["forget gate open"] = as_if(forget_gate=False)
    if "f" in gates and "i" in gates:
        steps["forget gate coupled"] = as_if(forget_gate=False, coupled=True)
    if "o" in gates:
        steps["output gate open"] = as_if(output_gate=False)
    if code == "CIFG":
        steps["not coupled"] = as_if(coupled=False)
    return steps


@harness.each_variant
def test_mistake_in_the_step_is_noticed(code: str) -> None:
    problem = harness.make_problem(code)
    for name, mistake in mistakes(code).items():
        with pytest.raises(AssertionError, match="outputs|state"):
            harness.assert_step_follows_the_paper(problem, mistake)
            pytest.fail(f"nobody notices: {name}", pytrace=False)


@harness.each_variant
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
            assert change > 1e6 * VALUE, (name, index)


@pytest.mark.parametrize("code", ["V", "CIFG"])
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
    kernel = problem.weights["gate_recurrent_kernel"]
    transposed = {**problem.weights, "gate_recurrent_kernel": kernel.T}
    right, wrong = (
        reference.forward("FGR", weights, problem.inputs, problem.states)[0]
        for weights in (problem.weights, transposed)
    )
    assert np.abs(right - wrong).max() > 1e-2
