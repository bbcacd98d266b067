"""exp, sigmoid, tanh and softplus against float64, on the whole range of float32."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.special

from tuner.training.native.compiling import compiled, inlined
from tuner.training.native.simd import functions
from tuner.training.native.simd.vectors import LANES, load, store


def over(function: object) -> object:
    """A loop that applies a function of vectors to an array."""

    @compiled
    def loop(x, y):
        for place in range(0, len(x), LANES):
            store(y, place, function(load(x, place)))

    return loop


@inlined
def softplus(x):
    return functions.softplus_and_sigmoid(x)[0]


@inlined
def derivative_of_softplus(x):
    return functions.softplus_and_sigmoid(x)[1]


CASES = {
    "exp": (over(functions.exp), np.exp),
    "sigmoid": (over(functions.sigmoid), scipy.special.expit),
    "tanh": (over(functions.tanh), np.tanh),
    "softplus": (over(softplus), lambda x: np.logaddexp(0.0, x)),
    "derivative of softplus": (over(derivative_of_softplus), scipy.special.expit),
}

# Every 4,099th float there is, and all near zero crossings of the range reduction.
BITS = np.arange(0, 2**31, 4099, dtype=np.int64).astype(np.uint32)
POSITIVE = BITS.view(np.float32)
POSITIVE = POSITIVE[np.isfinite(POSITIVE)]
DENSE = np.linspace(-90, 90, 400_001, dtype=np.float32)
EVERYWHERE = np.concatenate([POSITIVE, -POSITIVE, DENSE])
SMALLEST = 1.82e-38


def apply(function: Callable[..., None], x: np.ndarray) -> np.ndarray:
    padded = np.zeros(-(-len(x) // LANES) * LANES, np.float32)
    padded[: len(x)] = x
    out = np.empty_like(padded)
    function(padded, out)
    return out[: len(x)]


@pytest.mark.parametrize("name", CASES)
def test_within_three_units_in_the_last_place(name: str) -> None:
    function, exact = CASES[name]
    found = apply(function, EVERYWHERE)
    with np.errstate(over="ignore"):
        expected = exact(EVERYWHERE.astype(np.float64))
        rounded = expected.astype(np.float32)
    finite = np.isfinite(rounded)
    normal = finite & (np.abs(expected) > SMALLEST)
    error = np.abs(found[normal] - expected[normal]) / np.spacing(np.abs(rounded[normal]))
    assert error.max() < 3, EVERYWHERE[normal][error.argmax()]
    # Below the normal numbers the result may be 0; above all numbers it is infinite.
    assert np.abs(found[finite & ~normal] - expected[finite & ~normal]).max(initial=0) < SMALLEST
    np.testing.assert_array_equal(found[~finite], rounded[~finite])


@pytest.mark.parametrize("name", CASES)
def test_limits_and_nan(name: str) -> None:
    function, exact = CASES[name]
    special = np.array([np.inf, -np.inf, 0.0, -0.0, np.nan, 3e38, -3e38, 1e-45], np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = exact(special.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(apply(function, special), expected, rtol=2e-7)
    # A NaN stays in its lane.
    lanes = np.linspace(-2, 2, LANES, dtype=np.float32)
    broken = lanes.copy()
    broken[3] = np.nan
    whole = np.arange(LANES) != 3
    np.testing.assert_array_equal(apply(function, broken)[whole], apply(function, lanes)[whole])
