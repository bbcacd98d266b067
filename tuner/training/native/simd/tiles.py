"""Tiles of a matrix product in registers, as LLVM vector code: what `products` is made of.

A tile stays in registers while the inner dimension is walked through,

    tile[r, c] = Σ_k A[r, k] B[k, c],

with B read along its rows, eight columns a vector, and A one element at a time. The makers below
differ only in what then happens to the tile. A compiler that is left alone writes the sums to
memory at every k, which halves the rate.

Every matrix is a flat float32 array with an offset and strides, in elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tuner.training.native.simd.vectors import (
    LANES,
    VECTOR,
    data_of,
    emit_load,
    emit_multiply_add,
    emit_spread,
    emit_store,
)

_ZERO = ir.Constant(VECTOR, None)
_INDEX = ir.IntType(64)
_MASK = ir.VectorType(ir.IntType(32), LANES)


def _lanes(places: Iterable[int]) -> Any:
    """Makes the mask of a shuffle of two vectors: which of their sixteen lanes to take."""
    return ir.Constant(_MASK, [ir.Constant(ir.IntType(32), place) for place in places])


def _prefetch(builder: Any, data: Any, index: Any) -> None:
    """Asks for a cache line that is going to be written."""
    byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag]), "llvm.prefetch.p0"
    )
    address = builder.bitcast(builder.gep(data, [index]), byte)
    builder.call(function, [address, flag(1), flag(3), flag(1)])


def _products(
    context: Any, builder: Any, rows: int, vectors: int, kinds: Sequence[Any], values: Sequence[Any]
) -> list[Any]:
    """Computes a tile from (a, a_at, a_row, a_step, b, b_at, b_step, count), row by row."""
    a, b = (data_of(context, builder, kinds[place], values[place]) for place in (0, 4))
    a_at, a_row, a_step = values[1:4]
    b_at, b_step, count = values[5:8]
    sums = [cgutils.alloca_once_value(builder, _ZERO) for _ in range(rows * vectors)]
    for one in sums:
        # The slots are made once a function; every tile starts at zero.
        builder.store(_ZERO, one)
    with cgutils.for_range(builder, count) as loop:
        a_k = builder.add(a_at, builder.mul(loop.index, a_step))
        b_k = builder.add(b_at, builder.mul(loop.index, b_step))
        right = [
            emit_load(builder, b, builder.add(b_k, _INDEX(LANES * vector)))
            for vector in range(vectors)
        ]
        for row in range(rows):
            place = builder.add(a_k, builder.mul(a_row, _INDEX(row)))
            left = emit_spread(builder, builder.load(builder.gep(a, [place])))
            for vector in range(vectors):
                slot = sums[row * vectors + vector]
                total = emit_multiply_add(builder, left, right[vector], builder.load(slot))
                builder.store(total, slot)
    return [builder.load(slot) for slot in sums]


def _places(builder: Any, rows: int, vectors: int, at: Any, row_stride: Any) -> Iterator[Any]:
    """Yields where the vectors of a tile belong, in the order of `_products`."""
    for row in range(rows):
        start = builder.add(at, builder.mul(row_stride, _INDEX(row)))
        for vector in range(vectors):
            yield builder.add(start, _INDEX(LANES * vector))


def assign_tile(rows: int, vectors: int) -> Any:
    """Makes the routine C = A B for a tile of `rows` rows and `vectors` times `LANES` columns."""

    @intrinsic
    def tile(typingctx, c, at, stride, a, a_at, a_row, a_step, b, b_at, b_step, count):
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            sums = _products(context, builder, rows, vectors, signature.args[3:], values[3:])
            data = data_of(context, builder, signature.args[0], values[0])
            for place, vector in zip(
                _places(builder, rows, vectors, *values[1:3]), sums, strict=True
            ):
                emit_store(builder, vector, data, place)
            return context.get_dummy_value()

        index = types.intp
        return types.void(
            c, index, index, a, index, index, index, b, index, index, index
        ), generate

    return tile


def descend_tile(rows: int, vectors: int) -> Any:
    """Makes the routine that takes A B as a gradient and moves weights and velocities.

        v ← momentum v - rate A B,   w ← w + momentum v - rate A B

    Nesterov's momentum as Keras has it; see `tuner.training.native.descent`.
    """

    @intrinsic
    def tile(typingctx, w, v, momentum, rate, at, stride, a, a_at, a_row, a_step, b, b_at, b_step, count): # noqa: E501
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            weights, velocities = (
                data_of(context, builder, signature.args[place], values[place]) for place in (0, 1)
            )
            # They come from a far cache: asked for now, they are here when the sums are done.
            for place in _places(builder, rows, 1, *values[4:6]):
                _prefetch(builder, weights, place)
                _prefetch(builder, velocities, place)
            sums = _products(context, builder, rows, vectors, signature.args[6:], values[6:])
            factor = emit_spread(builder, values[2])
            down = emit_spread(builder, builder.fneg(values[3]))
            for place, gradient in zip(
                _places(builder, rows, vectors, *values[4:6]), sums, strict=True
            ):
                change = builder.fmul(down, gradient)
                velocity = emit_multiply_add(
                    builder, factor, emit_load(builder, velocities, place), change
                )
                emit_store(builder, velocity, velocities, place)
                moved = builder.fadd(emit_load(builder, weights, place), change)
                emit_store(
                    builder, emit_multiply_add(builder, factor, velocity, moved), weights, place
                )
            return context.get_dummy_value()

        index, scalar = types.intp, types.float32
        return types.void(
            w, v, scalar, scalar, index, index, a, index, index, index, b, index, index, index
        ), generate

    return tile


@intrinsic
def add_rows(typingctx, y, at, a, a_at, b, b_at, b_row, vectors):
    """Adds `LANES` rows of B, each times a number: y[n] += Σ_r a[r] B[r, n].

    The rows are read side by side from their beginnings on, which is what processors fetch ahead.

    Args:
        typingctx: Numba's.
        y: where the sums go.
        at: place of the first sum in `y`.
        a: holds the numbers.
        a_at: place of the first.
        b: holds the rows.
        b_at: place of the first row.
        b_row: stride between rows.
        vectors: length of the rows, in vectors of `LANES`.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        out, left, right = (
            data_of(context, builder, signature.args[place], values[place]) for place in (0, 2, 4)
        )
        factors = [
            emit_spread(
                builder, builder.load(builder.gep(left, [builder.add(values[3], _INDEX(row))]))
            )
            for row in range(LANES)
        ]
        starts = [
            builder.add(values[5], builder.mul(values[6], _INDEX(row))) for row in range(LANES)
        ]
        with cgutils.for_range(builder, values[7]) as loop:
            n = builder.mul(loop.index, _INDEX(LANES))
            place = builder.add(values[1], n)
            # Two chains of sums: one would wait for itself.
            sums = [emit_load(builder, out, place), _ZERO]
            for row, (factor, start) in enumerate(zip(factors, starts, strict=True)):
                vector = emit_load(builder, right, builder.add(start, n))
                sums[row % 2] = emit_multiply_add(builder, factor, vector, sums[row % 2])
            emit_store(builder, builder.fadd(*sums), out, place)
        return context.get_dummy_value()

    index = types.intp
    return types.void(y, index, a, index, b, index, index, index), generate


@intrinsic
def add_dots(typingctx, y, at, a, a_at, a_row, b, b_at, vectors):
    """Adds the dot products of `LANES` rows of A with a vector: y[r] += Σ_k A[r, k] b[k].

    Args:
        typingctx: Numba's.
        y: where the sums go.
        at: place of the first sum in `y`.
        a: holds the rows.
        a_at: place of the first row.
        a_row: stride between rows.
        b: holds the vector.
        b_at: its place.
        vectors: length of the rows, in vectors of `LANES`.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        out, left, right = (
            data_of(context, builder, signature.args[place], values[place]) for place in (0, 2, 5)
        )
        sums = [cgutils.alloca_once_value(builder, _ZERO) for _ in range(LANES)]
        for one in sums:
            builder.store(_ZERO, one)
        with cgutils.for_range(builder, values[7]) as loop:
            k = builder.mul(loop.index, _INDEX(LANES))
            vector = emit_load(builder, right, builder.add(values[6], k))
            for row, slot in enumerate(sums):
                start = builder.add(values[3], builder.mul(values[4], _INDEX(row)))
                numbers = emit_load(builder, left, builder.add(start, k))
                total = emit_multiply_add(builder, numbers, vector, builder.load(slot))
                builder.store(total, slot)
        rows = [builder.load(slot) for slot in sums]
        even, odd = _lanes(range(0, 16, 2)), _lanes(range(1, 16, 2))
        # Neighbors are added three times: then lane r holds the sum of row r.
        while len(rows) > 1:
            rows = [
                builder.fadd(
                    builder.shuffle_vector(rows[pair], rows[pair + 1], even),
                    builder.shuffle_vector(rows[pair], rows[pair + 1], odd),
                )
                for pair in range(0, len(rows), 2)
            ]
        total = builder.fadd(emit_load(builder, out, values[1]), rows[0])
        emit_store(builder, total, out, values[1])
        return context.get_dummy_value()

    index = types.intp
    return types.void(y, index, a, index, index, b, index, index), generate


@intrinsic
def transpose_tile(typingctx, c, at, c_row, a, a_at, a_row):
    """Writes `LANES` by `LANES` numbers of A into C with rows and columns exchanged."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        out, source = (
            data_of(context, builder, signature.args[place], values[place]) for place in (0, 3)
        )
        rows = [
            emit_load(builder, source, builder.add(values[4], builder.mul(values[5], _INDEX(row))))
            for row in range(LANES)
        ]
        # Rows r and r + 4 are shuffled like cards, three times.
        first = _lanes(lane // 2 + LANES * (lane % 2) for lane in range(LANES))
        second = _lanes(lane // 2 + LANES * (lane % 2) for lane in range(LANES, 2 * LANES))
        for _ in range(3):
            pairs = [(rows[row], rows[row + LANES // 2]) for row in range(LANES // 2)]
            rows = [
                builder.shuffle_vector(*pair, mask) for pair in pairs for mask in (first, second)
            ]
        for row, vector in enumerate(rows):
            emit_store(
                builder, vector, out, builder.add(values[1], builder.mul(values[2], _INDEX(row)))
            )
        return context.get_dummy_value()

    index = types.intp
    return types.void(c, index, index, a, index, index), generate
