"""Products of matrices and vectors, cut into tiles that stay in registers.

Nothing is copied, packed or allocated: at the sizes of a trial (60 frames, 100 units) a library's
general product spends a third of its time on that, and a gradient would be written out only for the
optimizer to read it again.

Numbers of columns are multiples of `LANES`; `tuner.training.native.memory` pads with zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tuner.training.native.compiling import compiled, inlined
from tuner.training.native.simd.tiles import (
    add_dots,
    add_rows,
    assign_tile,
    nesterov_tile,
    transpose_tile,
)
from tuner.training.native.simd.vectors import LANES


def _product(tile: Callable[[int, int], Any]) -> Any:
    """Makes a product of whole matrices from one of tiles."""
    # 6 x 2 sums, 2 vectors of B and one element of A fill the 16 registers of AVX2; the smaller
    # tiles are for what is left at the edges.
    tile_6x2, tile_5x2, tile_4x2, tile_3x2, tile_2x2, tile_1x2 = (
        tile(rows, 2) for rows in (6, 5, 4, 3, 2, 1)
    )
    tile_6x1, tile_3x1, tile_1x1 = (tile(rows, 1) for rows in (6, 3, 1))

    @inlined
    def two_vectors(out, at, a, a_at, a_row, b, b_at, rows, count):
        whole = rows - rows % 6
        for r in range(0, whole, 6):
            tile_6x2(out, at + r * out.row, a, a_at + r * a_row, b, b_at, count)
        at, a_at, rest = at + whole * out.row, a_at + whole * a_row, rows - whole
        if rest == 5:
            tile_5x2(out, at, a, a_at, b, b_at, count)
        elif rest == 4:
            tile_4x2(out, at, a, a_at, b, b_at, count)
        elif rest == 3:
            tile_3x2(out, at, a, a_at, b, b_at, count)
        elif rest == 2:
            tile_2x2(out, at, a, a_at, b, b_at, count)
        elif rest == 1:
            tile_1x2(out, at, a, a_at, b, b_at, count)

    @inlined
    def one_vector(out, at, a, a_at, a_row, b, b_at, rows, count):
        r = 0
        while rows - r >= 6:
            tile_6x1(out, at + r * out.row, a, a_at + r * a_row, b, b_at, count)
            r += 6
        if rows - r >= 3:
            tile_3x1(out, at + r * out.row, a, a_at + r * a_row, b, b_at, count)
            r += 3
        while r < rows:
            tile_1x1(out, at + r * out.row, a, a_at + r * a_row, b, b_at, count)
            r += 1

    @inlined
    def product(out, a, a_row, b, rows, columns, count):
        n = 0
        while columns - n >= 2 * LANES:
            two_vectors(out, out.at + n, a, a.at, a_row, b, b.at + n, rows, count)
            n += 2 * LANES
        if n < columns:
            one_vector(out, out.at + n, a, a.at, a_row, b, b.at + n, rows, count)

    return product


_assign = _product(assign_tile)
_nesterov = _product(nesterov_tile)


@compiled
def assign_product(c, a, b, rows, columns, count):
    """Computes C = A B for A [rows, count] and B [count, columns]; all are a `Matrix`."""
    _assign(c, a, a.row, b, rows, columns, count)


@compiled
def nesterov_update(update, a, b, rows, columns, count):
    """Moves weights [rows, columns] by the gradient Aᵀ B, for A [count, rows], B [count, columns].

    Args:
        update: an `Update`.
        a: a `Matrix`.
        b: a `Matrix`.
        rows: rows of the weights.
        columns: their columns.
        count: how many outer products the gradient is the sum of.
    """
    _nesterov(update, a, 1, b, rows, columns, count)


@compiled
def add_row_product(y, at, a, a_at, b, rows, columns, downward):
    """Computes y[n] += Σ_r a[r] B[r, n] for a number of rows that is a multiple of `LANES`.

    Called step after step, now `downward`, now upward, it begins with the rows that it read last:
    those are still in the nearest cache. Vectors are an array and where they begin in it; B is a
    `Matrix`.
    """
    for block in range(0, rows, LANES):
        r = rows - LANES - block if downward else block
        add_rows(y, at, a, a_at + r, b, b.at + r * b.row, columns // LANES)


@compiled
def add_column_product(y, at, a, b, b_at, rows, columns, downward):
    """Computes y[r] += Σ_n A[r, n] b[n]; otherwise as `add_row_product`."""
    for block in range(0, rows, LANES):
        r = rows - LANES - block if downward else block
        add_dots(y, at + r, a, a.at + r * a.row, b, b_at, columns // LANES)


@compiled
def transpose(c, a, rows, columns):
    """Writes C = Aᵀ; A is [rows, columns], both multiples of `LANES`, without gaps."""
    for r in range(0, rows, LANES):
        for n in range(0, columns, LANES):
            transpose_tile(c, n * rows + r, rows, a, r * columns + n, columns)
