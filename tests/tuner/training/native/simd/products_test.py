"""Products of the native engine against NumPy, at the edges of tiles, forward and backward."""

from __future__ import annotations

import numpy as np
import pytest

from tuner.training.native.simd import products
from tuner.training.native.simd.tiles import Matrix, Update

ROWS = [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 61]
COLUMNS = [8, 16, 24, 40]


def matrix(seed: int, rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def filled(seed: int, rows: int, stride: int, offset: int) -> np.ndarray:
    """A flat array for rows at a stride, filled so that a write to a wrong place is found."""
    return matrix(seed, 1, offset + rows * stride)[0]


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("rows", ROWS)
def test_assign_product(rows: int, columns: int) -> None:
    count = 9
    b = filled(2, count, columns + 3, 5)
    right = b[5:].reshape(count, columns + 3)[:, :columns]
    plain = matrix(1, rows, count)
    for a in (
        Matrix(plain.ravel(), 0, count),
        # From the last row to the first.
        Matrix(plain[::-1].ravel(), (rows - 1) * count, -count),
    ):
        c = filled(3, rows, columns + 2, 4)
        expected = c.copy()
        expected[4:].reshape(rows, columns + 2)[:, :columns] = plain.astype(float) @ right
        products.assign_product(
            Matrix(c, 4, columns + 2), a, Matrix(b, 5, columns + 3), rows, columns, count
        )
        # What is between the rows of C is as it was.
        np.testing.assert_allclose(c, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("rows", ROWS)
def test_nesterov_update(rows: int, columns: int) -> None:
    count, momentum, rate = 9, np.float32(0.7), np.float32(0.3)
    a, b = matrix(1, count, rows), matrix(2, count, columns)
    backward = a[::-1].ravel()
    w, v = filled(3, rows, columns + 2, 4), filled(4, rows, columns + 2, 4)
    gradient = a.T.astype(float) @ b
    weights, velocities = w.astype(float), v.astype(float)
    inside = [flat[4:].reshape(rows, columns + 2)[:, :columns] for flat in (weights, velocities)]
    inside[1][...] = momentum * inside[1] - rate * gradient
    inside[0][...] += momentum * inside[1] - rate * gradient
    products.nesterov_update(
        Update(w, 4, columns + 2, v, momentum, rate),
        Matrix(backward, (count - 1) * rows, -rows), Matrix(b.ravel(), 0, columns),
        rows, columns, count,
    )  # fmt: skip
    np.testing.assert_allclose(v, velocities, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(w, weights, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("downward", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (16, 40), (24, 72), (8, 24)])
def test_products_with_a_vector(rows: int, columns: int, downward: bool) -> None:
    b = filled(1, rows, columns + 16, 3)
    right = b[3:].reshape(rows, columns + 16)[:, :columns].astype(float)
    c = filled(2, 1, columns + 4, 2)
    a = filled(3, 1, rows, 1)
    expected = c.astype(float)
    expected[2 : 2 + columns] += a[1:].astype(float) @ right
    wide = Matrix(b, 3, columns + 16)
    products.add_row_product(c, 2, a, 1, wide, rows, columns, downward)
    np.testing.assert_allclose(c, expected, rtol=1e-5, atol=1e-5)

    left = filled(4, 1, columns, 1)
    sums = filled(5, 1, rows + 4, 2)
    expected = sums.astype(float)
    expected[2 : 2 + rows] += right @ left[1:].astype(float)
    products.add_column_product(sums, 2, wide, left, 1, rows, columns, downward)
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (16, 24), (40, 8)])
def test_transpose(rows: int, columns: int) -> None:
    a = matrix(1, rows, columns)
    c = np.zeros(rows * columns, np.float32)
    products.transpose(c, a.ravel(), rows, columns)
    np.testing.assert_array_equal(c.reshape(columns, rows), a.T)
