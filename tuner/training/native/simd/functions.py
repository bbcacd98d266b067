"""exp, sigmoid, tanh and softplus of float32 vectors, and log-sum-exp of rows.

Plain arithmetic on the bits of floats, with series whose coefficients anyone can derive. The error
is at most 3 units in the last place of the exact result; results below 1.82e-38, near the smallest
normal number, may be returned as 0. NaN yields NaN, and limits are exact.
"""

from __future__ import annotations

import math

import numpy as np

from tuner.training.native.compiling import compiled, inlined
from tuner.training.native.simd.vectors import (
    LANES,
    START,
    absolute,
    copysign,
    load,
    maximum,
    minimum,
    multiply_add,
    power,
    splat,
    store,
    where_less,
)

_float = np.float32

_LOG2_E = _float(math.log2(math.e))
# ln 2 in two parts: the first has so few bits that its product with an exponent is exact.
_LN2_HIGH = _float(0.693359375)
_LN2_LOW = _float(math.log(2) - 0.693359375)
_LN2 = _float(math.log(2))
# Adding it rounds to an integer, which is then in the low bits.
_ROUND = _float(1.5 * 2**23)
_EXP_MAX = _float(88.72284)
# Below it, 2ⁿ⁻¹ would not be a normal number.
_EXP_MIN = _float(-86.9)
# 1 - tanh(9.1) is less than half a unit in the last place.
_TANH_MAX = _float(9.1)
_SQRT2_MINUS_1 = _float(math.sqrt(2) - 1)
_ZERO, _HALF, _ONE, _TWO, _THREE = (_float(x) for x in (0, 0.5, 1, 2, 3))
_C3, _C4, _C5, _C6, _C7 = (_float(1 / math.factorial(k)) for k in range(3, 8))
_L3, _L5, _L7, _L9 = (_float(2 / k) for k in (3, 5, 7, 9))
_INFINITY = _float(math.inf)


@inlined
def _expm1_parts(x):
    """Writes x = n ln 2 + r with |r| <= ln 2 / 2.

    Returns:
        2ⁿ⁻¹, which is a normal number even for the largest x, and eʳ - 1 = r + r² (1/2 + r/6 + …).
    """
    shifted = multiply_add(x, splat(_LOG2_E), splat(_ROUND))
    n = shifted - splat(_ROUND)
    r = (x - n * splat(_LN2_HIGH)) - n * splat(_LN2_LOW)
    tail = multiply_add(splat(_C7), r, splat(_C6))
    tail = multiply_add(tail, r, splat(_C5))
    tail = multiply_add(tail, r, splat(_C4))
    tail = multiply_add(tail, r, splat(_C3))
    tail = multiply_add(tail, r, splat(_HALF))
    return power(shifted - splat(_ONE)), multiply_add(r * r, tail, r)


@inlined
def exp(x):
    """Computes eˣ, infinity above 88.7228, 0 below -86.9 (1.82e-38)."""
    # `maximum` and `minimum` return their second argument if either is NaN.
    inside = minimum(splat(_EXP_MAX), maximum(splat(_EXP_MIN), x))
    half_power, rest = _expm1_parts(inside)
    value = half_power * multiply_add(splat(_TWO), rest, splat(_TWO))
    value = where_less(x, splat(_EXP_MIN), splat(_ZERO), value)
    return where_less(splat(_EXP_MAX), x, splat(_INFINITY), value)


@inlined
def sigmoid(x):
    """Computes 1 / (1 + e⁻ˣ)."""
    return splat(_ONE) / (splat(_ONE) + exp(splat(_ZERO) - x))


@inlined
def tanh(x):
    """Computes ± m / (m + 2) with m = e²|ˣ| - 1, which is exact near 0."""
    half_power, rest = _expm1_parts(splat(_TWO) * minimum(splat(_TANH_MAX), absolute(x)))
    power_of_2 = half_power + half_power
    m = multiply_add(power_of_2, rest, power_of_2 - splat(_ONE))
    return copysign(m / (m + splat(_TWO)), x)


@inlined
def _log1p(e):
    """Computes ln(1 + e) for 0 <= e <= 1.

    It is ln m or ln 2 + ln m with m in [√½, √2), and ln m = 2 (s + s³/3 + s⁵/5 + …) with
    s = (m - 1) / (m + 1); 1 + e itself, which would lose the last bits of e, is never needed.
    """
    large = splat(_SQRT2_MINUS_1)
    above = where_less(large, e, e - splat(_ONE), e)
    below = where_less(large, e, e + splat(_THREE), e + splat(_TWO))
    s = above / below
    square = s * s
    tail = multiply_add(splat(_L9), square, splat(_L7))
    tail = multiply_add(tail, square, splat(_L5))
    tail = multiply_add(tail, square, splat(_L3))
    series = multiply_add(s * square, tail, s + s)
    return where_less(large, e, splat(_LN2), splat(_ZERO)) + series


@inlined
def softplus_and_sigmoid(x):
    """Computes ln(1 + eˣ) = max(x, 0) + ln(1 + e⁻|x|) and its derivative σ(x)."""
    e = exp(splat(_ZERO) - absolute(x))
    # `maximum` returns its second argument if either is NaN.
    softplus = maximum(splat(_ZERO), x) + _log1p(e)
    sigmoid = where_less(x, splat(_ZERO), e, splat(_ONE)) / (splat(_ONE) + e)
    return softplus, sigmoid


@compiled
def exp_minus(row, at, width, number, out, to):
    """Writes eᵃ⁻ⁿ for the `width` numbers a, including padding, of the row that begins at `at`.

    Results begin at `to` in `out`, which may be the row's own array; n is float32.
    """
    for place in range(0, width, LANES):
        store(out, to + place, exp(load(row, at + place) - splat(number)))


@compiled
def log_sum_exp(row, at, width, count, buffer):
    """Computes log Σ eᵃ of the first `count` numbers of a row, float64, without overflow.

    Afterward, the buffer, float32 [width], holds eᵃ divided by e to the largest a.
    """
    largest = row[at + argmax(row[at : at + count])]
    exp_minus(row, at, width, largest, buffer, START)
    return np.float64(largest) + math.log(total(buffer[:count]))


@compiled
def total(numbers):
    """Sums float32 numbers in float64."""
    result = 0.0
    for number in numbers:
        result += np.float64(number)
    return result


@compiled
def argmax(numbers):
    """Returns the index of the first of the largest numbers."""
    best = 0
    for place in range(1, len(numbers)):
        if numbers[place] > numbers[best]:
            best = place
    return best
