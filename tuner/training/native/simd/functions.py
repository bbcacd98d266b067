"""exp, sigmoid, tanh and softplus of float32 vectors.

Plain arithmetic on the bits of floats, with series whose coefficients anyone can derive. The error
is at most 3 units in the last place of the exact result; results below 1.82e-38, near the smallest
normal number, may come out as 0. NaN gives
NaN, and limits are exact.
"""

from __future__ import annotations

import math

import numpy as np

from tuner.training.native.compiling import inlined
from tuner.training.native.simd.vectors import (
    absolute,
    maximum,
    minimum,
    multiply_add,
    power,
    spread,
    where_less,
    with_sign_of,
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
# Below, 2ⁿ⁻¹ would not be a normal number.
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
        2ⁿ⁻¹, which is a normal number also for the largest x, and eʳ - 1 = r + r² (1/2 + r/6 + …).
    """
    shifted = multiply_add(x, spread(_LOG2_E), spread(_ROUND))
    n = shifted - spread(_ROUND)
    r = (x - n * spread(_LN2_HIGH)) - n * spread(_LN2_LOW)
    tail = multiply_add(spread(_C7), r, spread(_C6))
    tail = multiply_add(tail, r, spread(_C5))
    tail = multiply_add(tail, r, spread(_C4))
    tail = multiply_add(tail, r, spread(_C3))
    tail = multiply_add(tail, r, spread(_HALF))
    return power(shifted - spread(_ONE)), multiply_add(r * r, tail, r)


@inlined
def exp(x):
    """Computes eˣ, infinity above 88.7228, 0 below -86.9 (1.82e-38)."""
    # Of a NaN, `maximum` and `minimum` take their second argument.
    inside = minimum(spread(_EXP_MAX), maximum(spread(_EXP_MIN), x))
    half_power, rest = _expm1_parts(inside)
    value = half_power * multiply_add(spread(_TWO), rest, spread(_TWO))
    value = where_less(x, spread(_EXP_MIN), spread(_ZERO), value)
    return where_less(spread(_EXP_MAX), x, spread(_INFINITY), value)


@inlined
def sigmoid(x):
    """Computes 1 / (1 + e⁻ˣ)."""
    return spread(_ONE) / (spread(_ONE) + exp(spread(_ZERO) - x))


@inlined
def tanh(x):
    """Computes ± m / (m + 2) with m = e²|ˣ| - 1, which is exact near 0."""
    half_power, rest = _expm1_parts(spread(_TWO) * minimum(spread(_TANH_MAX), absolute(x)))
    power_of_2 = half_power + half_power
    m = multiply_add(power_of_2, rest, power_of_2 - spread(_ONE))
    return with_sign_of(m / (m + spread(_TWO)), x)


@inlined
def _log1p(e):
    """Computes ln(1 + e) for 0 <= e <= 1.

    It is ln m or ln 2 + ln m with m in [√½, √2), and ln m = 2 (s + s³/3 + s⁵/5 + …) with
    s = (m - 1) / (m + 1); 1 + e itself, which would lose the last bits of e, is never needed.
    """
    large = spread(_SQRT2_MINUS_1)
    above = where_less(large, e, e - spread(_ONE), e)
    below = where_less(large, e, e + spread(_THREE), e + spread(_TWO))
    s = above / below
    square = s * s
    tail = multiply_add(spread(_L9), square, spread(_L7))
    tail = multiply_add(tail, square, spread(_L5))
    tail = multiply_add(tail, square, spread(_L3))
    series = multiply_add(s * square, tail, s + s)
    return where_less(large, e, spread(_LN2), spread(_ZERO)) + series


@inlined
def softplus_and_sigmoid(x):
    """Computes ln(1 + eˣ) = max(x, 0) + ln(1 + e⁻|x|) and its slope 1 / (1 + e⁻ˣ)."""
    e = exp(spread(_ZERO) - absolute(x))
    # `maximum` takes its second argument of a NaN.
    softplus = maximum(spread(_ZERO), x) + _log1p(e)
    sigmoid = where_less(x, spread(_ZERO), e, spread(_ONE)) / (spread(_ONE) + e)
    return softplus, sigmoid
