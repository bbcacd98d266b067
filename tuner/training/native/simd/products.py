"""Products of matrices and vectors, cut into tiles that stay in registers.

A matrix is a flat float32 array with an offset and strides, all in elements, so that one routine
serves a matrix, its transpose and a sequence that is read backward. Nothing is copied, packed or
allocated: at the sizes of a trial (60 frames, 100 units) a library's general product spends a third
of its time on that, and its result would be written out only for the optimizer to read it again.

Numbers of columns are multiples of `LANES`; `tuner.training.native.memory` pads with zeros.
"""

from __future__ import annotations

import numpy as np

from tuner.training.native.compiling import compiled, inlined
from tuner.training.native.simd.tiles import (
    add_dots,
    add_rows,
    assign_tile,
    descend_tile,
    transpose_tile,
)
from tuner.training.native.simd.vectors import LANES

START, NEXT = np.int64(0), np.int64(1)
"""For arguments: literal numbers would make Numba compile a function once more for them."""

# 6 x 2 sums, 2 vectors of B and one element of A fill the 16 registers of AVX2; the smaller tiles
# are for what is left at the edges.
_assign_6x2, _assign_5x2, _assign_4x2, _assign_3x2, _assign_2x2, _assign_1x2 = (
    assign_tile(rows, 2) for rows in (6, 5, 4, 3, 2, 1)
)
_assign_6x1, _assign_3x1, _assign_1x1 = (assign_tile(rows, 1) for rows in (6, 3, 1))
_descend_6x2, _descend_5x2, _descend_4x2, _descend_3x2, _descend_2x2, _descend_1x2 = (
    descend_tile(rows, 2) for rows in (6, 5, 4, 3, 2, 1)
)
_descend_6x1, _descend_3x1, _descend_1x1 = (descend_tile(rows, 1) for rows in (6, 3, 1))


@inlined
def _assign_columns(c, c_at, c_row, a, a_at, a_row, a_step, b, b_at, b_step, rows, count):
    """Computes two vectors of columns of C = A B."""
    whole = rows - rows % 6
    for r in range(0, whole, 6):
        _assign_6x2(
            c, c_at + r * c_row, c_row, a, a_at + r * a_row, a_row, a_step, b, b_at, b_step, count
        )
    c_at, a_at, rest = c_at + whole * c_row, a_at + whole * a_row, rows - whole
    if rest == 5:
        _assign_5x2(c, c_at, c_row, a, a_at, a_row, a_step, b, b_at, b_step, count)
    elif rest == 4:
        _assign_4x2(c, c_at, c_row, a, a_at, a_row, a_step, b, b_at, b_step, count)
    elif rest == 3:
        _assign_3x2(c, c_at, c_row, a, a_at, a_row, a_step, b, b_at, b_step, count)
    elif rest == 2:
        _assign_2x2(c, c_at, c_row, a, a_at, a_row, a_step, b, b_at, b_step, count)
    elif rest == 1:
        _assign_1x2(c, c_at, c_row, a, a_at, a_row, a_step, b, b_at, b_step, count)


@inlined
def _assign_column(c, c_at, c_row, a, a_at, a_row, a_step, b, b_at, b_step, rows, count):
    """Computes one vector of columns of C = A B."""
    r = 0
    while rows - r >= 6:
        _assign_6x1(
            c, c_at + r * c_row, c_row, a, a_at + r * a_row, a_row, a_step, b, b_at, b_step, count
        )
        r += 6
    if rows - r >= 3:
        _assign_3x1(
            c, c_at + r * c_row, c_row, a, a_at + r * a_row, a_row, a_step, b, b_at, b_step, count
        )
        r += 3
    while r < rows:
        _assign_1x1(
            c, c_at + r * c_row, c_row, a, a_at + r * a_row, a_row, a_step, b, b_at, b_step, count
        )
        r += 1


@compiled
def assign_product(c, c_at, c_row, a, a_at, a_row, a_step, b, b_at, b_step, rows, columns, count):
    """Computes C[r, n] = Σ_k A[r, k] B[k, n].

    Args:
        c: result; element (r, n) at `c_at + r c_row + n`.
        c_at: see `c`.
        c_row: see `c`.
        a: left factor; element (r, k) at `a_at + r a_row + k a_step`.
        a_at: see `a`.
        a_row: see `a`.
        a_step: see `a`.
        b: right factor; element (k, n) at `b_at + k b_step + n`.
        b_at: see `b`.
        b_step: see `b`.
        rows: rows of A and C.
        columns: columns of B and C, a multiple of `LANES`.
        count: columns of A and rows of B.
    """
    n = 0
    while columns - n >= 2 * LANES:
        _assign_columns(
            c, c_at + n, c_row, a, a_at, a_row, a_step, b, b_at + n, b_step, rows, count
        )
        n += 2 * LANES
    if n < columns:
        _assign_column(c, c_at + n, c_row, a, a_at, a_row, a_step, b, b_at + n, b_step, rows, count)


@inlined
def _descend_columns(w, v, momentum, rate, at, row, a, a_at, a_row, a_step, b, b_at, b_step, rows, count): # noqa: E501
    """Moves two vectors of columns of weights."""
    whole = rows - rows % 6
    for r in range(0, whole, 6):
        _descend_6x2(
            w, v, momentum, rate, at + r * row, row, a, a_at + r * a_row, a_row, a_step, b, b_at,
            b_step, count,
        )  # fmt: skip
    at, a_at, rest = at + whole * row, a_at + whole * a_row, rows - whole
    if rest == 5:
        _descend_5x2(w, v, momentum, rate, at, row, a, a_at, a_row, a_step, b, b_at, b_step, count)
    elif rest == 4:
        _descend_4x2(w, v, momentum, rate, at, row, a, a_at, a_row, a_step, b, b_at, b_step, count)
    elif rest == 3:
        _descend_3x2(w, v, momentum, rate, at, row, a, a_at, a_row, a_step, b, b_at, b_step, count)
    elif rest == 2:
        _descend_2x2(w, v, momentum, rate, at, row, a, a_at, a_row, a_step, b, b_at, b_step, count)
    elif rest == 1:
        _descend_1x2(w, v, momentum, rate, at, row, a, a_at, a_row, a_step, b, b_at, b_step, count)


@inlined
def _descend_column(w, v, momentum, rate, at, row, a, a_at, a_row, a_step, b, b_at, b_step, rows, count): # noqa: E501
    """Moves one vector of columns of weights."""
    r = 0
    while rows - r >= 6:
        _descend_6x1(
            w, v, momentum, rate, at + r * row, row, a, a_at + r * a_row, a_row, a_step, b, b_at,
            b_step, count,
        )  # fmt: skip
        r += 6
    if rows - r >= 3:
        _descend_3x1(
            w, v, momentum, rate, at + r * row, row, a, a_at + r * a_row, a_row, a_step, b, b_at,
            b_step, count,
        )  # fmt: skip
        r += 3
    while r < rows:
        _descend_1x1(
            w, v, momentum, rate, at + r * row, row, a, a_at + r * a_row, a_row, a_step, b, b_at,
            b_step, count,
        )  # fmt: skip
        r += 1


@compiled
def descend_product(w, v, momentum, rate, at, row, a, a_at, a_row, a_step, b, b_at, b_step, rows, columns, count): # noqa: E501
    """Takes A B as a gradient and moves weights: v ← m v - rate A B, w ← w + m v - rate A B.

    Args:
        w: weights; element (r, n) at `at + r row + n`.
        v: their velocities, likewise.
        momentum: m.
        rate: learning rate.
        at: see `w`.
        row: see `w`.
        a: as in `assign_product`.
        a_at: likewise.
        a_row: likewise.
        a_step: likewise.
        b: likewise.
        b_at: likewise.
        b_step: likewise.
        rows: likewise.
        columns: likewise.
        count: likewise.
    """
    n = 0
    while columns - n >= 2 * LANES:
        _descend_columns(
            w, v, momentum, rate, at + n, row, a, a_at, a_row, a_step, b, b_at + n, b_step, rows,
            count,
        )  # fmt: skip
        n += 2 * LANES
    if n < columns:
        _descend_column(
            w, v, momentum, rate, at + n, row, a, a_at, a_row, a_step, b, b_at + n, b_step, rows,
            count,
        )  # fmt: skip


@compiled
def add_row_product(c, c_at, a, a_at, b, b_at, b_row, rows, columns, downward):
    """Computes c[n] += Σ_r a[r] B[r, n] for a number of rows that is a multiple of `LANES`.

    Called step after step, now `downward`, now upward, it begins with the rows that it read last:
    those are still in the nearest cache.

    Args:
        c: sums; element n at `c_at + n`.
        c_at: see `c`.
        a: vector; element r at `a_at + r`.
        a_at: see `a`.
        b: matrix; element (r, n) at `b_at + r b_row + n`.
        b_at: see `b`.
        b_row: see `b`.
        rows: rows of B.
        columns: columns of B.
        downward: whether to begin with the last rows.
    """
    for block in range(0, rows, LANES):
        r = rows - LANES - block if downward else block
        add_rows(c, c_at, a, a_at + r, b, b_at + r * b_row, b_row, columns // LANES)


@compiled
def add_column_product(c, c_at, a, a_at, a_row, b, b_at, rows, columns, downward):
    """Computes c[r] += Σ_n A[r, n] b[n]; otherwise as `add_row_product`."""
    for block in range(0, rows, LANES):
        r = rows - LANES - block if downward else block
        add_dots(c, c_at + r, a, a_at + r * a_row, a_row, b, b_at, columns // LANES)


@compiled
def transpose(c, a, rows, columns):
    """Writes C = Aᵀ; A is [rows, columns], both multiples of `LANES`, without gaps."""
    for r in range(0, rows, LANES):
        for n in range(0, columns, LANES):
            transpose_tile(c, n * rows + r, rows, a, r * columns + n, columns)
