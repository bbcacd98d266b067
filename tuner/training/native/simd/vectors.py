"""float32 vectors as a type for compiled code: eight numbers that one instruction processes.

    x = load(array, at)
    store(array, at, (x * x + splat(1)) * load(other, at))

Loops over whole vectors have no remainder and no test for overlapping arrays, and a branch inside
them costs nothing, since it goes the same way every time. LLVM splits a vector where registers are
shorter (SSE, NEON). Arithmetic is that of IEEE 754, never reordered.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

LANES = 8
"""Number of float32 numbers per vector: one AVX register."""

VECTOR = ir.VectorType(ir.FloatType(), LANES)
"""LLVM's type of a vector."""

START = np.int64(0)
"""Zero for use as an argument: for a literal 0, Numba would compile a function once more."""

_INTEGERS = ir.VectorType(ir.IntType(32), LANES)
_UNDEFINED = ir.Constant(VECTOR, ir.Undefined)


class _VectorType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


vector = _VectorType()
"""Numba's type of a vector."""


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, VECTOR)


def padded(size: int) -> int:
    """Rounds a size up to whole vectors."""
    return -(-size // LANES) * LANES


def aligned_zeros(size: int) -> np.ndarray:
    """Makes zeros, float32 [size], aligned to a cache line."""
    array = np.zeros(size + 16, np.float32)
    start = -array.ctypes.data // 4 % 16
    return array[start : start + size]


# --- For intrinsics that are written in LLVM's terms ---


def data_of(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """Returns the address of a flat array."""
    return context.make_array(array_type)(context, builder, array).data


def _pointer(builder: Any, data: Any, index: Any) -> Any:
    return builder.bitcast(builder.gep(data, [index]), VECTOR.as_pointer())


def emit_load(builder: Any, data: Any, index: Any) -> Any:
    """Loads a vector from any place with the alignment of a float."""
    return builder.load(_pointer(builder, data, index), align=4)


def emit_store(builder: Any, value: Any, data: Any, index: Any) -> None:
    """Stores a vector at any place with the alignment of a float."""
    builder.store(value, _pointer(builder, data, index), align=4)


def emit_splat(builder: Any, scalar: Any) -> Any:
    """Puts a number into every lane."""
    first = builder.insert_element(_UNDEFINED, scalar, ir.IntType(64)(0))
    return builder.shuffle_vector(first, _UNDEFINED, ir.Constant(_INTEGERS, None))


def emit_multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Computes a b + c, fused where the processor does that in one instruction."""
    return _call(builder, f"llvm.fmuladd.v{LANES}f32", a, b, c)


def _call(builder: Any, name: str, *vectors: Any) -> Any:
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(VECTOR, [VECTOR] * len(vectors)), name
    )
    return builder.call(function, vectors)


# --- What compiled code calls ---


@intrinsic
def load(typingctx, array, at):
    """Reads the vector that begins at an index of a flat float32 array."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = data_of(context, builder, signature.args[0], values[0])
        return emit_load(builder, data, values[1])

    return vector(array, types.intp), generate


@intrinsic
def store(typingctx, array, at, value):
    """Writes a vector to an index of a flat float32 array."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = data_of(context, builder, signature.args[0], values[0])
        emit_store(builder, values[2], data, values[1])
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def splat(typingctx, number):
    """Makes a vector with one number in every lane."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return emit_splat(builder, values[0])

    return vector(types.float32), generate


def _intrinsic(arity: int, emit: Callable[..., Any]) -> Any:
    """Makes an intrinsic of vectors."""

    def typed(*arguments: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return emit(builder, *values)

        return vector(*arguments), generate

    # Numba reads the number of arguments from the signature.
    signatures: dict[int, Callable[..., Any]] = {
        1: lambda typingctx, a: typed(a),
        2: lambda typingctx, a, b: typed(a, b),
        3: lambda typingctx, a, b, c: typed(a, b, c),
        4: lambda typingctx, a, b, c, d: typed(a, b, c, d),
    }
    return intrinsic(signatures[arity])


def _emit_where(condition: str) -> Callable[..., Any]:
    """Makes a selection by a comparison that is false if either number is NaN."""

    def emit(builder: Any, a: Any, b: Any, then: Any, otherwise: Any) -> Any:
        return builder.select(builder.fcmp_ordered(condition, a, b), then, otherwise)

    return emit


def _emit_power(builder: Any, a: Any) -> Any:
    """Makes 2ⁿ from the float 1.5 2²³ + n: its low bits become the exponent."""
    bits = builder.sub(
        builder.bitcast(a, _INTEGERS), ir.Constant(_INTEGERS, [0x4B400000 - 127] * LANES)
    )
    return builder.bitcast(builder.shl(bits, ir.Constant(_INTEGERS, [23] * LANES)), VECTOR)


multiply_add = _intrinsic(3, emit_multiply_add)
"""multiply_add(a, b, c) = a b + c."""

power = _intrinsic(1, _emit_power)
"""power(x) = 2ⁿ for x = 1.5 2²³ + n, -126 <= n <= 127."""

absolute = _intrinsic(1, lambda builder, a: _call(builder, f"llvm.fabs.v{LANES}f32", a))
"""absolute(a) = |a|."""

copysign = _intrinsic(2, lambda builder, a, b: _call(builder, f"llvm.copysign.v{LANES}f32", a, b))
"""copysign(a, b): |a| with the sign of b."""

minimum = _intrinsic(2, lambda builder, a, b: _emit_where("<")(builder, a, b, a, b))
"""minimum(a, b): b where either is NaN."""

maximum = _intrinsic(2, lambda builder, a, b: _emit_where(">")(builder, a, b, a, b))
"""maximum(a, b): b where either is NaN."""

where_less = _intrinsic(4, _emit_where("<"))
"""where_less(a, b, c, d): c in lanes with a < b, else d."""


def _operator(symbol: Callable[..., Any], method: str) -> None:
    """Defines an operator between two vectors by a method of LLVM's builder."""

    @type_callable(symbol)
    def typing(context):
        def result(a, b):
            return vector if isinstance(a, _VectorType) and isinstance(b, _VectorType) else None

        return result

    @lower_builtin(symbol, _VectorType, _VectorType)
    def lowering(context, builder, signature, values):
        return getattr(builder, method)(*values)


_operator(operator.add, "fadd")
_operator(operator.sub, "fsub")
_operator(operator.mul, "fmul")
_operator(operator.truediv, "fdiv")
