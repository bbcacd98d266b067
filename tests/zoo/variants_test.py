"""Every combination of switches computes what it says, in the zoo's step, cell and scan."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest

import zoo
from tests.zoo import harness, reference
from zoo import variant_cell

LEGAL = harness.legal_variants()
CHOSEN = random.Random(1).sample(LEGAL, 3)
MASK = np.array([[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
"""Masked on the right, scattered, everywhere, nowhere."""


def test_what_is_legal() -> None:
    # Seven free switches; or coupled, with an input gate and no forget gate of its own.
    assert len(LEGAL) == 2**7 + 2**5


@pytest.mark.parametrize(
    ("switch", "arguments"),
    [
        ("code", {"code": ""}),
        ("name", {"name": None}),
        ("coupled", {"coupled": True}),
        ("coupled", {"coupled": True, "forget_gate": False, "input_gate": False}),
    ],
)
def test_switches_that_contradict_each_other(switch: str, arguments: dict) -> None:
    with pytest.raises(ValueError, match=rf"`{switch}`.*expected.*got"):
        zoo.Variant(**{"code": "X", "name": "x", **arguments})


def test_the_step_on_numpy() -> None:
    for variant in [*reference.CODES, *LEGAL]:
        harness.assert_step_follows_the_paper(harness.make_problem(variant), variant_cell.step)


@pytest.mark.parametrize(
    "variant",
    [
        *(zoo.get_variant(code) for code in ("V", "FGR", "CIFG")),
        *CHOSEN,
        *(pytest.param(one, marks=pytest.mark.slow) for one in LEGAL if one not in CHOSEN),
    ],
    ids=lambda variant: variant.code,
)
def test_cell_and_scan_under_a_mask(variant: zoo.Variant) -> None:
    problem = harness.make_problem(variant, batch=len(MASK), time=4, features=2, units=3)
    mask = keras.ops.convert_to_tensor(MASK)
    outputs, states = reference.forward(
        variant, problem.weights, problem.inputs, problem.states, mask=MASK
    )

    def loss(point: Any) -> Any:
        return problem.reference_loss(point, mask=MASK)

    expected = reference.gradient(loss, problem.point)
    for kind in (keras.layers.RNN, zoo.RNN):
        layer = harness.make_layer(problem, kind=kind)
        assert layer.cell.count_params() == variant.count_params(2, 3)
        found, finals = harness.run(layer, problem, mask=mask)
        for one, other in zip([found, *finals], [outputs, *states], strict=True):
            harness.assert_close(one, other, 1e-12)
        gradient = harness.Differentiable(problem, layer, mask=mask).gradient()
        harness.assert_all_close(gradient, expected, 1e-12)
        assert not gradient["inputs"][~MASK].any() and gradient["inputs"][MASK].all()
