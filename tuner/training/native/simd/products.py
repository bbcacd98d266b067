"""Products of matrices and vectors, cut into tiles that stay in registers.

Nothing is copied, packed or allocated: at the sizes of a trial (60 frames, 100 units) a library's
general product spends a third of its time on that, and a gradient would be written out only for the
optimizer to read it again.

Column counts are multiples of `LANES`; `tuner.training.native.memory` pads with zeros.
"""

from __future__ import annotations

from tuner.training.native.compiling import compiled
from tuner.training.native.simd.tiles import (
    add_dots,
    add_rows,
    assign_one,
    assign_two,
    nesterov_one,
    nesterov_two,
    transpose_tile,
)
from tuner.training.native.simd.vectors import LANES


@compiled
def assign_product(c, a, b, rows, columns, count):
    """Computes C = A B for A [rows, count] and B [count, columns]; each is a `Matrix`."""
    n = 0
    while columns - n >= 2 * LANES:
        assign_two(c, c.at + n, a, a.at, b, b.at + n, rows, count)
        n += 2 * LANES
    if n < columns:
        assign_one(c, c.at + n, a, a.at, b, b.at + n, rows, count)


@compiled
def nesterov_update(update, a, b, rows, columns, count):
    """Updates weights [rows, columns] by the gradient Aᵀ B of A [count, rows], B [count, columns].

    The weights are an `Update`, A and B each a `Matrix`.
    """
    n = 0
    while columns - n >= 2 * LANES:
        nesterov_two(update, update.at + n, a, a.at, b, b.at + n, rows, count)
        n += 2 * LANES
    if n < columns:
        nesterov_one(update, update.at + n, a, a.at, b, b.at + n, rows, count)


@compiled
def add_row_product(y, at, a, a_at, b, rows, columns, downward):
    """Computes y[n] += Σ_r a[r] B[r, n] for a number of rows that is a multiple of `LANES`.

    Called step after step, alternately `downward` and upward, it begins with the rows that it read
    last, which are still in the nearest cache. A vector is an array and its start in it; B is a
    `Matrix`.
    """
    for block in range(0, rows, LANES):
        r = rows - LANES - block if downward else block
        add_rows(y, at, a, a_at + r, b, b.at + r * b.row, columns // LANES)


@compiled
def add_column_product(y, at, a, b, b_at, rows, columns, downward):
    """Computes y[r] += Σ_n A[r, n] b[n]; otherwise like `add_row_product`."""
    for block in range(0, rows, LANES):
        r = rows - LANES - block if downward else block
        add_dots(y, at + r, a, a.at + r * a.row, b, b_at, columns // LANES)


@compiled
def transpose(c, a, rows, columns):
    """Writes C = Aᵀ; A is [rows, columns], both multiples of `LANES`, without gaps."""
    for r in range(0, rows, LANES):
        for n in range(0, columns, LANES):
            transpose_tile(c, n * rows + r, rows, a, r * columns + n, columns)
