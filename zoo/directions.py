"""Random directions of guided evolutionary strategies, computed from surrogate gradients.

Equations: `zoo.GuidedES`. Runs on every backend.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from zoo.variant_cell import Tensor

_DEPENDENT = 1e-6
"""A vector with less than this fraction of its length outside the subspace counts as inside."""


def orthonormal(rows: Tensor) -> Tensor:
    """Computes an orthonormal basis of the span of some vectors.

    Uses the Gram-Schmidt process, twice per vector: a decomposition would put arbitrary axes in
    place of vectors that depend linearly on earlier ones.

    Args:
        rows: vectors of any length, `(k, n)`.

    Returns:
        The basis, `(k, n)`; zeros in place of rows that are zero, not finite, or linearly dependent
        on the rows above.

    Example:
        >>> basis = orthonormal(ops.array([[0.0, 2.0], [0.0, 3.0], [1.0, 1.0]]))
        >>> ops.convert_to_numpy(basis).round(6).tolist()
        [[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]
    """
    basis: list[Tensor] = []
    least = max(_DEPENDENT, 100 * _epsilon(rows.dtype))
    for row in ops.unstack(rows, rows.shape[0]):
        row = ops.where(ops.all(ops.isfinite(row)), row, ops.zeros_like(row))
        # By the largest number first: squares of very small or large ones are out of range.
        for size in (_largest, _length):
            length = size(row)
            row = row / ops.where(length > 0, length, ops.ones_like(length))
        for _ in range(2):
            for known in basis:
                row = row - known * ops.sum(known * row)
        length = _length(row)
        outside = length > least
        row = row / ops.where(outside, length, ops.ones_like(length))
        basis.append(ops.where(outside, row, ops.zeros_like(row)))
    return ops.stack(basis)


def perturbations(basis: Tensor, xi: Tensor, zeta: Tensor, alpha: float, sigma: float) -> Tensor:
    """Computes the perturbations ε from standard normal numbers, see `GuidedES`.

    Args:
        basis: result of `orthonormal`, `(k, n)`.
        xi: standard normal numbers, `(pairs, n)`.
        zeta: standard normal numbers, `(pairs, k)`.
        alpha: fraction of the variance in the whole space; the rest is in the subspace.
        sigma: root mean squared length of a perturbation.

    Returns:
        Perturbations, `(pairs, n)`.
    """
    kept = _count(basis)
    empty = ops.cast(kept == 0, basis.dtype)
    everywhere = (alpha + empty * (float(alpha > 0) - alpha)) / basis.shape[1]
    within = (1 - alpha) / ops.maximum(kept, 1)
    guided = ops.matmul(zeta * ops.sqrt(within), basis)
    points: Tensor = sigma * (ops.sqrt(everywhere) * xi + guided)
    return points


def exact_directions(basis: Tensor, kept: Tensor, xi: Tensor | None) -> tuple[Tensor, Tensor]:
    """Computes the directions of the exact guide and their weights in the estimate.

    Args:
        basis: `(k, n)`, orthonormal rows or zeros.
        kept: number of nonzero rows.
        xi: standard normal numbers `(p, n)` for the other pairs, or None.

    Returns:
        Directions `(k + p, n)` and weights `(k + p,)`; those outside the subspace have mean squared
        length 1 and weight m / (p + 1 + m), m = n - kept.
    """
    ones = ops.ones_like(basis[:, 0])
    if xi is None:
        return basis, ones
    outside = ops.maximum(basis.shape[1] - kept, 1)
    for _ in range(2):
        xi = xi - ops.matmul(ops.matmul(xi, ops.transpose(basis)), basis)
    weight = outside / (xi.shape[0] + 1 + outside)
    weights = ops.concatenate([ones, weight * ops.ones_like(xi[:, 0])])
    return ops.concatenate([basis, xi / ops.sqrt(outside)]), weights


def side_by_side(blocks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Combines the bases of all blocks into one, `(blocks * k, n)`, and counts its nonzero rows."""
    sizes = [block.shape[1] for block in blocks]
    rows = [
        ops.pad(block, ((0, 0), (part.start, sum(sizes) - part.stop)))
        for block, part in zip(blocks, slices(sizes), strict=True)
    ]
    basis = ops.concatenate(rows)
    return basis, _count(basis)


def _largest(vector: Tensor) -> Tensor:
    return ops.max(ops.abs(vector))


def _length(vector: Tensor) -> Tensor:
    # Not `ops.norm`: on PyTorch it is of single precision.
    return ops.sqrt(ops.sum(vector * vector))


def _count(basis: Tensor) -> Tensor:
    return ops.sum(ops.cast(ops.any(basis != 0, axis=1), basis.dtype))


def _epsilon(dtype: Any) -> float:
    return 2.0**-52 if keras.backend.standardize_dtype(dtype) == "float64" else 2.0**-23


def slices(sizes: Sequence[int]) -> list[slice]:
    """Returns the slices of consecutive parts of these sizes."""
    ends = itertools.accumulate(sizes)
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
