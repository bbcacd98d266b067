"""exp, log, sigmoid and tanh of float32 that a compiler can vectorize.

A library's function is a call, and a loop with a call in it is not vectorized; these are plain
arithmetic on the bits of a float, with series whose coefficients anyone can derive. Their errors,
in units in the last place, are those that `tests/tuner/native/functions_test.py` measures: at most
2 for `exp`, `log`, `sigmoid`, 3 for `tanh`. NaN gives NaN; the limits are exact.

Results below the smallest normal number (1.2e-38) may come out as 0.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tuner.native.compiling import inlined

_float = np.float32

_LOG2_E = _float(math.log2(math.e))
# ln 2 in two parts: the first has so few bits that its product with an exponent is exact.
_LN2_HIGH = _float(0.693359375)
_LN2_LOW = _float(math.log(2) - 0.693359375)
# Adding it rounds to an integer, which is then in the low bits.
_ROUND = _float(1.5 * 2**23)
_ROUND_BITS = np.int32(np.float32(1.5 * 2**23).view(np.int32))
_EXP_MAX = _float(88.72284)
# Below, 2ⁿ⁻¹ would not be a normal number.
_EXP_MIN = _float(-86.9)
_SQRT_HALF_BITS = np.int32(np.float32(math.sqrt(0.5)).view(np.int32))

_ZERO, _HALF, _ONE, _TWO, _THREE = (_float(x) for x in (0, 0.5, 1, 2, 3))
_LN2 = _float(math.log(2))
_SQRT2_MINUS_1 = _float(math.sqrt(2) - 1)
_C3, _C4, _C5, _C6, _C7 = (_float(1 / math.factorial(k)) for k in range(3, 8))
_L3, _L5, _L7, _L9 = (_float(2 / k) for k in (3, 5, 7, 9))
_TANH_MAX = _float(9.1)
_INFINITY = _float(math.inf)


def _reinterpret(source: types.Type, target: types.Type, llvm_type: ir.Type):  # type: ignore[no-untyped-def]
    """Makes the routine that reads the bits of one type as another."""

    @intrinsic
    def reinterpret(typingctx, x):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
            return builder.bitcast(values[0], llvm_type)

        return target(source), generate

    return reinterpret


bits_of = _reinterpret(types.float32, types.int32, ir.IntType(32))
float_of = _reinterpret(types.int32, types.float32, ir.FloatType())


@inlined
def _reduce(x):  # type: ignore[no-untyped-def]
    """Writes x = n ln 2 + r with |r| <= ln 2 / 2; returns 2ⁿ⁻¹ (normal for the range of `exp`), r."""
    shifted = x * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    half_power = float_of(np.int32((bits_of(shifted) - _ROUND_BITS + np.int32(126)) << np.int32(23)))
    return half_power, r


@inlined
def _expm1_series(r):  # type: ignore[no-untyped-def]
    """Computes eʳ - 1 for |r| <= ln 2 / 2: r + r² (1/2 + r/6 + …)."""
    tail = _C7 * r + _C6
    tail = tail * r + _C5
    tail = tail * r + _C4
    tail = tail * r + _C3
    tail = tail * r + _HALF
    return r + (r * r) * tail


@inlined
def exp(x):  # type: ignore[no-untyped-def]
    """Computes eˣ, infinity above 88.7228, 0 below -86.9 (1.8e-38)."""
    inside = min(max(x, _EXP_MIN), _EXP_MAX)
    half_power, r = _reduce(inside)
    value = half_power * (_TWO * (_expm1_series(r) + _ONE))
    value = _ZERO if x < _EXP_MIN else value
    value = _INFINITY if x > _EXP_MAX else value
    return value if x == x else x


@inlined
def sigmoid(x):  # type: ignore[no-untyped-def]
    """Computes 1 / (1 + e⁻ˣ)."""
    return _ONE / (_ONE + exp(-x))


@inlined
def tanh(x):  # type: ignore[no-untyped-def]
    """Computes m / (m + 2) with m = e²ˣ - 1, which is exact near 0."""
    size = abs(x)
    half_power, r = _reduce(_TWO * min(size, _TANH_MAX))
    power = _TWO * half_power
    m = power * _expm1_series(r) + (power - _ONE)
    value = m / (m + _TWO)
    value = value if x >= _ZERO else -value
    return value if x == x else x


@inlined
def _log_series(s):  # type: ignore[no-untyped-def]
    """Computes ln((1 + s) / (1 - s)) = 2 (s + s³/3 + s⁵/5 + …) for |s| <= 0.172."""
    square = s * s
    tail = _L9 * square + _L7
    tail = tail * square + _L5
    tail = tail * square + _L3
    return _TWO * s + s * square * tail


@inlined
def log(x):  # type: ignore[no-untyped-def]
    """Computes ln x = n ln 2 + ln m, m in [√½, √2), of a positive, normal, finite x."""
    bits = bits_of(x)
    exponent = (bits - _SQRT_HALF_BITS) >> np.int32(23)
    m = float_of(np.int32(bits - (exponent << np.int32(23))))
    n = _float(exponent)
    return n * _LN2_HIGH + (n * _LN2_LOW + _log_series((m - _ONE) / (m + _ONE)))


@inlined
def softplus(x):  # type: ignore[no-untyped-def]
    """Computes ln(1 + eˣ) = max(x, 0) + ln(1 + e⁻|x|)."""
    e = exp(-abs(x))
    # 1 + e is never rounded: it is m or 2m with ln m = _log_series((m - 1) / (m + 1)).
    large = e > _SQRT2_MINUS_1
    s = (e - _ONE if large else e) / (e + (_THREE if large else _TWO))
    value = max(x, _ZERO) + ((_LN2 if large else _ZERO) + _log_series(s))
    return value if x == x else x
