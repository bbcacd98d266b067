"""float32 vectors as a type of compiled code: eight numbers that one instruction works on.

    x = load(array, place)
    store(array, place, (x * x + spread(1)) * load(other, place))

Loops over whole vectors have no remainder to do one by one and no test whether arrays overlap, and
they may ask a switch inside: the answer is the same every time. LLVM splits a vector where
registers are shorter (SSE, NEON). Arithmetic is that of IEEE 754, never reordered. Only compiled
code can have vectors.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

LANES = 8
"""float32 numbers a vector: one AVX register."""

VECTOR = ir.VectorType(ir.FloatType(), LANES)
"""LLVM's type of a vector."""

_INTEGERS = ir.VectorType(ir.IntType(32), LANES)
_UNDEFINED = ir.Constant(VECTOR, ir.Undefined)


class _VectorType(types.Type):
    """Numba's type of a vector."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


_vector = _VectorType()


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, VECTOR)


# --- For intrinsics that are written out in LLVM's terms ---


def data_of(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """Returns the address of a flat array."""
    return context.make_array(array_type)(context, builder, array).data


def _pointer(builder: Any, data: Any, index: Any) -> Any:
    return builder.bitcast(builder.gep(data, [index]), VECTOR.as_pointer())


def emit_load(builder: Any, data: Any, index: Any) -> Any:
    """Loads a vector from any place."""
    # Offsets are arbitrary: no more alignment than a float's can be promised.
    return builder.load(_pointer(builder, data, index), align=4)


def emit_store(builder: Any, vector: Any, data: Any, index: Any) -> None:
    """Stores a vector at any place."""
    builder.store(vector, _pointer(builder, data, index), align=4)


def emit_spread(builder: Any, scalar: Any) -> Any:
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
def load(typingctx, array, place):
    """Reads the vector that begins at a place of a flat float32 array."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = data_of(context, builder, signature.args[0], values[0])
        return emit_load(builder, data, values[1])

    return _vector(array, types.intp), generate


@intrinsic
def store(typingctx, array, place, vector):
    """Writes a vector to a place of a flat float32 array."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = data_of(context, builder, signature.args[0], values[0])
        emit_store(builder, values[2], data, values[1])
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def spread(typingctx, number):
    """Makes a vector of one number."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return emit_spread(builder, values[0])

    return _vector(types.float32), generate


def _intrinsic(emit: Callable[..., Any], arity: int) -> Any:
    """Makes an intrinsic of one, two or three vectors."""

    def typed(*arguments: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return emit(builder, *values)

        return _vector(*arguments), generate

    if arity == 1:

        @intrinsic
        def one(typingctx, a):
            return typed(a)

        return one
    if arity == 2:

        @intrinsic
        def two(typingctx, a, b):
            return typed(a, b)

        return two

    @intrinsic
    def three(typingctx, a, b, c):
        return typed(a, b, c)

    return three


def _emit_where(condition: str) -> Callable[..., Any]:
    """Returns a choice by a comparison that is false when a number is NaN."""

    def emit(builder: Any, a: Any, b: Any, then: Any, otherwise: Any) -> Any:
        return builder.select(builder.fcmp_ordered(condition, a, b), then, otherwise)

    return emit


def _emit_power(builder: Any, a: Any) -> Any:
    """Makes 2ⁿ of the float 1.5 2²³ + n: its low bits become the exponent."""
    bits = builder.sub(
        builder.bitcast(a, _INTEGERS), ir.Constant(_INTEGERS, [0x4B400000 - 127] * LANES)
    )
    return builder.bitcast(builder.shl(bits, ir.Constant(_INTEGERS, [23] * LANES)), VECTOR)


multiply_add = _intrinsic(emit_multiply_add, 3)
"""multiply_add(a, b, c) = a b + c."""

power = _intrinsic(_emit_power, 1)
"""power(x) = 2ⁿ for x = 1.5 2²³ + n, -126 <= n <= 127."""

absolute = _intrinsic(lambda builder, a: _call(builder, f"llvm.fabs.v{LANES}f32", a), 1)
"""absolute(a) = |a|."""

with_sign_of = _intrinsic(
    lambda builder, a, b: _call(builder, f"llvm.copysign.v{LANES}f32", a, b), 2
)
"""with_sign_of(a, b): a's size with b's sign."""

minimum = _intrinsic(lambda builder, a, b: _emit_where("<")(builder, a, b, a, b), 2)
"""minimum(a, b): b where either is NaN."""

maximum = _intrinsic(lambda builder, a, b: _emit_where(">")(builder, a, b, a, b), 2)
"""maximum(a, b): b where either is NaN."""


@intrinsic
def where_less(typingctx, a, b, then, otherwise):
    """Chooses `then` in lanes with a < b, else `otherwise`."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _emit_where("<")(builder, *values)

    return _vector(a, b, then, otherwise), generate


def _operator(symbol: Callable[..., Any], emit: Callable[..., Any]) -> None:
    """Defines an operator between two vectors."""

    @type_callable(symbol)
    def typing(context):
        def result(a, b):
            return _vector if isinstance(a, _VectorType) and isinstance(b, _VectorType) else None

        return result

    @lower_builtin(symbol, _VectorType, _VectorType)
    def lowering(context, builder, signature, values):
        return emit(builder, *values)


_operator(operator.add, lambda builder, a, b: builder.fadd(a, b))
_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b))
_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b))
_operator(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))
