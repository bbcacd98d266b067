"""Tiles of a matrix product in registers, as LLVM vector code: the building blocks of `products`.

A tile stays in registers during the loop over the inner dimension,

    tile[r, n] = Σ_k A[r, k] B[k, n],

with B read along its rows, eight columns per vector, and A one element at a time. A compiler on its
own writes the sums to memory at every k, which halves the speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
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
    emit_splat,
    emit_store,
    vector,
)


class Matrix(NamedTuple):
    """A matrix in a flat float32 array: element (r, n) is `data[at + r row + n]`.

    A sequence that is read backward begins at its last row and has a negative stride.
    """

    data: np.ndarray
    at: int
    row: int


class Update(NamedTuple):
    """A matrix of weights to be updated by a gradient with Nesterov momentum.

    The velocities are at the same indices of another array; momentum and learning rate are float32.
    """

    weights: np.ndarray
    at: int
    row: int
    velocities: np.ndarray
    momentum: float
    rate: float


_ZERO = ir.Constant(VECTOR, None)
_INDEX = ir.IntType(64)
_ONE = _INDEX(1)
_MASK = ir.VectorType(ir.IntType(32), LANES)


def _fields(context: Any, builder: Any, kind: Any, value: Any) -> list[Any]:
    """Unpacks a named tuple, with the address of each array in place of the array."""
    return [
        data_of(context, builder, of, part) if isinstance(of, types.Array) else part
        for of, part in zip(kind.types, cgutils.unpack_tuple(builder, value), strict=True)
    ]


def _starts(builder: Any, count: int, at: Any, row: Any) -> Iterator[Any]:
    """Yields the starts of the first `count` rows."""
    for number in range(count):
        yield builder.add(at, builder.mul(row, _INDEX(number)))


def _places(builder: Any, rows: int, vectors: int, at: Any, row: Any) -> Iterator[Any]:
    """Yields where the vectors of a tile belong, row by row."""
    for start in _starts(builder, rows, at, row):
        for number in range(vectors):
            yield builder.add(start, _INDEX(LANES * number))


def _lanes(places: Iterable[int]) -> Any:
    """Makes the mask that selects which of the sixteen lanes of two vectors a shuffle takes."""
    return ir.Constant(_MASK, [ir.Constant(ir.IntType(32), place) for place in places])


def _slots(builder: Any, count: int) -> list[Any]:
    """Allocates sums with value zero; LLVM keeps them in registers."""
    slots = [cgutils.alloca_once_value(builder, _ZERO) for _ in range(count)]
    for slot in slots:
        # They are allocated once per function and used by every tile.
        builder.store(_ZERO, slot)
    return slots


def _prefetch(builder: Any, data: Any, index: Any) -> None:
    """Prefetches a cache line that is going to be written."""
    byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag]), "llvm.prefetch.p0"
    )
    address = builder.bitcast(builder.gep(data, [index]), byte)
    builder.call(function, [address, flag(1), flag(3), flag(1)])


def _tile(
    builder: Any, rows: int, vectors: int, left: Any, right: Any, count: Any, transposed: bool
) -> list[Any]:
    """Computes the vectors of a tile of A B, or of Aᵀ B, row by row.

    Args:
        builder: the LLVM builder.
        rows: number of rows of the tile.
        vectors: number of columns of the tile, in vectors.
        left: address, place and stride of A.
        right: address, place and stride of B.
        count: inner dimension.
        transposed: whether to take Aᵀ.
    """
    (a, a_at, a_row), (b, b_at, b_row) = left, right
    r_stride, k_stride = (_ONE, a_row) if transposed else (a_row, _ONE)
    sums = _slots(builder, rows * vectors)
    with cgutils.for_range(builder, count) as loop:
        a_k = builder.add(a_at, builder.mul(loop.index, k_stride))
        b_k = builder.add(b_at, builder.mul(loop.index, b_row))
        along = [emit_load(builder, b, place) for place in _places(builder, 1, vectors, b_k, b_row)]
        for r, place in enumerate(_starts(builder, rows, a_k, r_stride)):
            factor = emit_splat(builder, builder.load(builder.gep(a, [place])))
            for number in range(vectors):
                slot = sums[r * vectors + number]
                total = emit_multiply_add(builder, factor, along[number], builder.load(slot))
                builder.store(total, slot)
    return [builder.load(slot) for slot in sums]


def _emit_assign(
    builder: Any, out: Any, at: Any, rows: int, vectors: int, tile: Callable[[], list[Any]]
) -> None:
    """Writes a tile into a `Matrix`."""
    data, _, row = out
    for value, place in zip(tile(), _places(builder, rows, vectors, at, row), strict=True):
        emit_store(builder, value, data, place)


def _emit_nesterov(
    builder: Any, out: Any, at: Any, rows: int, vectors: int, tile: Callable[[], list[Any]]
) -> None:
    """Updates the weights and velocities of an `Update`, with a tile as the gradient g.

        v ← momentum v - rate g,   w ← w + momentum v - rate g

    This is Nesterov momentum as Keras defines it.
    """
    weights, _, row, velocities, momentum, rate = out
    # They come from a distant cache: prefetched now, they arrive before the sums are done.
    for place in _starts(builder, rows, at, row):
        _prefetch(builder, weights, place)
        _prefetch(builder, velocities, place)
    gradients = tile()
    factor, down = emit_splat(builder, momentum), emit_splat(builder, builder.fneg(rate))
    for gradient, place in zip(gradients, _places(builder, rows, vectors, at, row), strict=True):
        change = builder.fmul(down, gradient)
        velocity = emit_multiply_add(builder, factor, emit_load(builder, velocities, place), change)
        emit_store(builder, velocity, velocities, place)
        moved = builder.fadd(emit_load(builder, weights, place), change)
        emit_store(builder, emit_multiply_add(builder, factor, velocity, moved), weights, place)


# 6 x 2 sums, 2 vectors of B and one element of A fill the 16 registers of AVX2.
_ROWS = 6


def _columns(emit: Callable[..., None], transposed: bool, vectors: int) -> Any:
    """Makes the routine that passes `vectors` vectors of columns of a product to `emit`, by tiles.

    It is called with an output, A and B, each followed by the place where the columns, or the data
    for them, begin; then with the number of rows and the inner dimension.
    """

    @intrinsic
    def columns(typingctx, out, at, a, a_at, b, b_at, rows, count):
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            fields, (left, _, a_row), (right, _, b_row) = (
                _fields(context, builder, signature.args[place], values[place])
                for place in (0, 2, 4)
            )
            r_stride = _ONE if transposed else a_row

            def emit_rows(number: int, first: Any) -> None:
                a_at = builder.add(values[3], builder.mul(first, r_stride))
                emit(
                    builder, fields, builder.add(values[1], builder.mul(first, fields[2])), number,
                    vectors,
                    lambda: _tile(
                        builder, number, vectors, (left, a_at, a_row), (right, values[5], b_row),
                        values[7], transposed,
                    ),
                )  # fmt: skip

            blocks = builder.sdiv(values[6], _INDEX(_ROWS))
            with cgutils.for_range(builder, blocks) as loop:
                emit_rows(_ROWS, builder.mul(loop.index, _INDEX(_ROWS)))
            whole = builder.mul(blocks, _INDEX(_ROWS))
            done = builder.append_basic_block()
            rest = builder.switch(builder.sub(values[6], whole), done)
            for number in range(1, _ROWS):
                rest.add_case(_INDEX(number), builder.append_basic_block())
                builder.position_at_end(rest.cases[-1][1])
                emit_rows(number, whole)
                builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        index = types.intp
        return types.void(out, index, a, index, b, index, index, index), generate

    return columns


assign_one, assign_two = (_columns(_emit_assign, False, vectors) for vectors in (1, 2))
"""Compute one and two vectors of columns of C = A B."""

nesterov_one, nesterov_two = (_columns(_emit_nesterov, True, vectors) for vectors in (1, 2))
"""Update one and two vectors of columns of weights by the gradient Aᵀ B."""


@intrinsic
def nesterov_step(typingctx, update, at, gradient):
    """Updates the vector of weights at an index by a gradient."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        fields = _fields(context, builder, signature.args[0], values[0])
        _emit_nesterov(builder, fields, values[1], 1, 1, lambda: [values[2]])
        return context.get_dummy_value()

    return types.void(update, types.intp, vector), generate


@intrinsic
def add_rows(typingctx, y, at, a, a_at, b, b_at, vectors):
    """Adds `LANES` rows of B, each times a number: y[n] += Σ_r a[r] B[r, n].

    The rows, `vectors` times `LANES` long, are read side by side from their beginnings, a pattern
    that processors prefetch.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        out, left = (
            data_of(context, builder, signature.args[place], values[place]) for place in (0, 2)
        )
        right, _, row = _fields(context, builder, signature.args[4], values[4])
        factors = [
            emit_splat(
                builder, builder.load(builder.gep(left, [builder.add(values[3], _INDEX(number))]))
            )
            for number in range(LANES)
        ]
        starts = list(_starts(builder, LANES, values[5], row))
        with cgutils.for_range(builder, values[6]) as loop:
            n = builder.mul(loop.index, _INDEX(LANES))
            place = builder.add(values[1], n)
            # Two chains of sums: a single one would wait for its own results.
            sums = [emit_load(builder, out, place), _ZERO]
            for number, (factor, start) in enumerate(zip(factors, starts, strict=True)):
                along = emit_load(builder, right, builder.add(start, n))
                sums[number % 2] = emit_multiply_add(builder, factor, along, sums[number % 2])
            emit_store(builder, builder.fadd(*sums), out, place)
        return context.get_dummy_value()

    index = types.intp
    return types.void(y, index, a, index, b, index, index), generate


@intrinsic
def add_dots(typingctx, y, at, a, a_at, b, b_at, vectors):
    """Adds the dot products of `LANES` rows of A with a vector: y[r] += Σ_n A[r, n] b[n]."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        out, right = (
            data_of(context, builder, signature.args[place], values[place]) for place in (0, 4)
        )
        left, _, row = _fields(context, builder, signature.args[2], values[2])
        sums = _slots(builder, LANES)
        with cgutils.for_range(builder, values[6]) as loop:
            n = builder.mul(loop.index, _INDEX(LANES))
            factor = emit_load(builder, right, builder.add(values[5], n))
            for slot, start in zip(
                sums, _starts(builder, LANES, values[3], row), strict=True
            ):
                along = emit_load(builder, left, builder.add(start, n))
                total = emit_multiply_add(builder, along, factor, builder.load(slot))
                builder.store(total, slot)
        rows = [builder.load(slot) for slot in sums]
        even, odd = _lanes(range(0, 16, 2)), _lanes(range(1, 16, 2))
        # Neighbors are added three times: then lane r holds the sum of row r.
        while len(rows) > 1:
            rows = [
                builder.fadd(*(builder.shuffle_vector(*rows[pair : pair + 2], mask)
                               for mask in (even, odd)))
                for pair in range(0, len(rows), 2)
            ]
        total = builder.fadd(emit_load(builder, out, values[1]), rows[0])
        emit_store(builder, total, out, values[1])
        return context.get_dummy_value()

    index = types.intp
    return types.void(y, index, a, index, b, index, index), generate


@intrinsic
def transpose_tile(typingctx, c, at, c_row, a, a_at, a_row):
    """Writes the transpose of `LANES` by `LANES` numbers of A into C."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        out, source = (
            data_of(context, builder, signature.args[place], values[place]) for place in (0, 3)
        )
        rows = [
            emit_load(builder, source, start) for start in _starts(builder, LANES, *values[4:])
        ]
        # Rows r and r + 4 are interleaved, three times.
        first = _lanes(lane // 2 + LANES * (lane % 2) for lane in range(LANES))
        second = _lanes(lane // 2 + LANES * (lane % 2) for lane in range(LANES, 2 * LANES))
        for _ in range(3):
            pairs = [(rows[row], rows[row + LANES // 2]) for row in range(LANES // 2)]
            rows = [
                builder.shuffle_vector(*pair, mask) for pair in pairs for mask in (first, second)
            ]
        for start, value in zip(_starts(builder, LANES, *values[1:3]), rows, strict=True):
            emit_store(builder, value, out, start)
        return context.get_dummy_value()

    index = types.intp
    return types.void(c, index, index, a, index, index), generate
