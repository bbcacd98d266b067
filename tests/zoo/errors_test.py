"""Bad arguments are refused with the argument's name, what was expected and what came."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zoo
from tests.zoo import harness

POSITIVE = "expected a positive integer"
RATE = "expected a float between 0 and 1"

BAD = [
    ("units", 0, POSITIVE),
    ("units", -3, POSITIVE),
    ("units", 2.5, POSITIVE),
    ("units", "four", POSITIVE),
    ("units", None, POSITIVE),
    ("units", True, POSITIVE),
    ("dropout", "half", RATE),
    ("dropout", None, RATE),
    ("dropout", float("nan"), RATE),
    ("recurrent_dropout", True, RATE),
    ("implementation", 1, "one implementation"),
]


@pytest.mark.parametrize(("name", "value", "expectation"), BAD)
def test_bad_argument(name: str, value: Any, expectation: str) -> None:
    with pytest.raises(ValueError, match=expectation) as caught:
        zoo.VanillaCell(**{name: value})
    assert f"`{name}`" in str(caught.value)
    assert f"ot {value!r}" in str(caught.value)  # "got" or "Got".


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("activation", "tanhh", "tanhh"),
        ("recurrent_activation", "sigmoidal", "sigmoidal"),
        ("kernel_initializer", "gloroot", "gloroot"),
        ("peephole_initializer", "gloroot", "gloroot"),
        ("peephole_regularizer", "l3", "l3"),
        ("peephole_constraint", "min_norm", "min_norm"),
        ("peepholes", True, "peepholes"),
        ("unit", 4, "unit"),
    ],
)
def test_what_keras_refuses(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        zoo.VanillaCell(**{name: value})


def test_all_cells_inherit_their_constructor() -> None:
    for cell in harness.CELLS.values():
        assert not {"__init__", "build", "call", "get_config"} & set(vars(cell))


def test_units_may_be_a_numpy_integer() -> None:
    cell = zoo.VanillaCell(np.int64(4))
    assert cell.units == 4 and type(cell.get_config()["units"]) is int


def test_the_base_class_is_no_cell() -> None:
    with pytest.raises(TypeError, match="use one of them"):
        zoo.VariantCell(4)
