"""Exact functional ANOVA of regression trees, whose leaves are boxes in the unit cube.

A tree over the unit cube [0, 1]^d is a step function: leaf l predicts v_l in a box with sides
w_l1, …, w_ld. Its average over all factors but those of a subset U, the marginal

    a_U(x_U) = Σ_l v_l · [x_U in the box of l] · Π_{j not in U} w_lj,

is also a step function, on the grid of the tree's own split points. A difference array yields all
its steps at once: v_l · Π w_lj is added at the 2^|U| corners of each box with alternating signs,
and a running sum along each axis fills the boxes. That takes O(leaves + cells) instead of one
descent of the tree for each cell, for all trees in the same few NumPy calls, and the variances

    V_U = ∫ a_U² - (∫ a)² - Σ_{W a proper, non-empty subset of U} V_W

(equations 3 and 4, algorithms 1 and 2 of Hutter, Hoos and Leyton-Brown, "An Efficient Approach for
Assessing Hyperparameter Importance", ICML 2014) are exact up to rounding. V_U is what the factors
explain together *beyond* what fewer of them explain ("individual" importance in the `fanova`
package), so that the shares of all subsets add up to 1
(https://github.com/automl/ParameterImportance/issues/45).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

_CELLS = 2**19
"""Number of cells of pairs' marginals in memory at a time: 4 MiB."""


@dataclasses.dataclass(frozen=True)
class TreeLeaves:
    """Regression trees over the unit cube, as the boxes of their leaves.

    Attributes:
        lower: lower corners, float64 `[leaves, factors]`.
        upper: upper corners. The boxes of a tree are disjoint and fill the unit cube.
        values: predictions, float64 `[leaves]`.
        trees: the tree of each leaf, from 0, ascending, `[leaves]`.

    Example:
        >>> lower, upper = np.array([[0.0], [0.5]]), np.array([[0.5], [1.0]])
        >>> halves = TreeLeaves(lower, upper, np.array([1.0, 3.0]), np.array([0, 0]))
        >>> halves.means, halves.variances, halves.marginals([0])
        (array([2.]), array([1.]), array([[1., 3.]]))
    """

    lower: np.ndarray
    upper: np.ndarray
    values: np.ndarray
    trees: np.ndarray

    @property
    def count(self) -> int:
        """Number of trees."""
        return int(self.trees[-1]) + 1

    @functools.cached_property
    def sides(self) -> np.ndarray:
        """Lengths of the boxes' sides, `[leaves, factors]`."""
        sides: np.ndarray = self.upper - self.lower
        return sides

    @functools.cached_property
    def means(self) -> np.ndarray:
        """Average of each tree over the cube, `[trees]`."""
        return np.bincount(self.trees, self.values * self.sides.prod(axis=1))

    @functools.cached_property
    def variances(self) -> np.ndarray:
        """Variance of each tree over the cube, V in the paper, `[trees]`."""
        squares = (self.values - self.means[self.trees]) ** 2
        return np.bincount(self.trees, squares * self.sides.prod(axis=1))

    @functools.cached_property
    def _steps(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        return tuple(
            _steps(np.stack(ends), self.trees)
            for ends in zip(self.lower.T, self.upper.T, strict=True)
        )

    def edges(self, factor: int) -> np.ndarray:
        """Returns ends of the steps along a factor: 0, ascending split points, 1, padding of ones.

        Returns:
            float64 `[trees, edges of the tree with the most]`.
        """
        return self._steps[factor][0]

    def marginals(self, factors: Sequence[int]) -> np.ndarray:
        """Averages each tree over all but some factors.

        Args:
            factors: the factors to keep, at least one.

        Returns:
            The averages in the cells of the grid of these factors' edges: `[trees, cells, …]`, one
            axis per factor. Cells between two ones of `edges` are empty.
        """
        shape = (self.count, *(self.edges(factor).shape[1] for factor in factors))
        mass = self.values * np.delete(self.sides, factors, axis=1).prod(axis=1)
        places, masses = [], []
        for corner in itertools.product((0, 1), repeat=len(factors)):
            # Among the edges of each factor, the place of the lower (0) or upper (1) corner.
            ends = zip(factors, corner, strict=True)
            place = (self.trees, *(self._steps[factor][1][end] for factor, end in ends))
            places.append(np.ravel_multi_index(place, shape))
            masses.append((-1) ** sum(corner) * mass)
        differences = np.bincount(
            np.concatenate(places), np.concatenate(masses), minlength=int(np.prod(shape))
        )
        marginals = differences.reshape(shape)
        for axis in range(1, len(shape)):
            np.cumsum(marginals, axis=axis, out=marginals)
        inner = tuple(slice(-1) for _ in factors)
        return marginals[(slice(None), *inner)]

    def variances_of(self, factors: Sequence[int], marginals: np.ndarray) -> np.ndarray:
        """Computes variances of marginals: what their factors explain, each alone and all together.

        Args:
            factors: the factors of the marginals.
            marginals: the marginals returned by `marginals`.

        Returns:
            `[trees]`.
        """
        means = self.means.reshape(-1, *(1 for _ in factors))
        squares: np.ndarray = (marginals - means) ** 2
        for factor in reversed(factors):
            sizes = np.diff(self.edges(factor))
            squares = np.einsum("t...c,tc->t...", squares, sizes)
        return squares

    def steps_at(self, factor: int, points: np.ndarray) -> np.ndarray:
        """Returns the step along a factor that contains each point in [0, 1], `[trees, points]`.

        A split point belongs to the step on its left, as in scikit-learn.
        """
        below = self.edges(factor)[:, np.newaxis, :] < points[:, np.newaxis]
        places: np.ndarray = below.sum(axis=2) - 1
        return places.clip(0)

    def batches(self) -> Iterator[TreeLeaves]:
        """Splits the trees so that the marginals of a pair stay small in memory."""
        widest = max(self.edges(factor).shape[1] for factor in range(self.lower.shape[1]))
        size = max(1, _CELLS // widest**2)
        if size >= self.count:
            yield self
            return
        for first in range(0, self.count, size):
            place = slice(*np.searchsorted(self.trees, (first, first + size)))
            yield TreeLeaves(
                self.lower[place], self.upper[place], self.values[place], self.trees[place] - first
            )


def _steps(ends: np.ndarray, trees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorts the ends of boxes along a factor.

    Args:
        ends: lower and upper ends, `[2, leaves]`.
        trees: the tree of each leaf.

    Returns:
        The distinct ends in each tree, padded with ones, and the index there of each of `ends`.
    """
    owners = np.concatenate([trees, trees])
    order = np.lexsort((ends.ravel(), owners))
    sorted_ends, sorted_owners = ends.ravel()[order], owners[order]
    first = np.append(True, (np.diff(sorted_ends) != 0) | (np.diff(sorted_owners) != 0))
    rank = first.cumsum() - 1
    starts = rank[np.searchsorted(sorted_owners, np.arange(trees[-1] + 1))]
    sorted_places = rank - starts[sorted_owners]
    edges = np.ones((trees[-1] + 1, sorted_places.max() + 1))
    edges[sorted_owners[first], sorted_places[first]] = sorted_ends[first]
    places = np.empty(order.size, dtype=np.intp)
    places[order] = sorted_places
    return edges, places.reshape(ends.shape)


@dataclasses.dataclass(frozen=True)
class Decomposition:
    """A forest's functional ANOVA.

    Attributes:
        mains: share of each factor alone in the variance of each tree, `[trees, factors]`; only of
            trees that vary at all.
        pairs: share of each pair beyond its two factors, `[trees, pairs]`; the pairs in the order
            of `itertools.combinations`.
        curves: marginal of each factor at its points, `[trees, points]`.
        surfaces: marginal of each pair at its points, mean over the trees, `[points, points]`.
    """

    mains: np.ndarray
    pairs: np.ndarray
    curves: tuple[np.ndarray, ...]
    surfaces: tuple[np.ndarray, ...]


def decompose(
    leaves: TreeLeaves, curves: Sequence[np.ndarray], surfaces: Sequence[np.ndarray]
) -> Decomposition:
    """Computes main effects, all pairs and their marginals.

    Args:
        leaves: the trees.
        curves: for each factor, the points in [0, 1] at which to evaluate its marginal.
        surfaces: the same for the marginals of pairs.
    """
    parts = [_decompose(batch, curves, surfaces) for batch in leaves.batches()]
    shares, drawn_curves, drawn_surfaces = zip(*parts, strict=True)
    varying = leaves.variances > 0
    # No pair explains less than nothing, but rounding may make it so.
    explained = np.concatenate(shares)[varying].clip(0)
    explained /= leaves.variances[varying, np.newaxis]
    return Decomposition(
        mains=explained[:, : len(curves)],
        pairs=explained[:, len(curves) :],
        curves=tuple(np.concatenate(batches) for batches in zip(*drawn_curves, strict=True)),
        surfaces=tuple(sum(parts) / leaves.count for parts in zip(*drawn_surfaces, strict=True)),
    )


def _decompose(
    leaves: TreeLeaves, curves: Sequence[np.ndarray], surfaces: Sequence[np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Returns variances `[trees, effects]`, curves, and the sums of surfaces over the trees."""
    variances, drawn_curves, drawn_surfaces = [], [], []
    for factor, points in enumerate(curves):
        marginals = leaves.marginals([factor])
        variances.append(leaves.variances_of([factor], marginals))
        places = leaves.steps_at(factor, points)
        drawn_curves.append(np.take_along_axis(marginals, places, axis=1))
    steps = [leaves.steps_at(factor, points) for factor, points in enumerate(surfaces)]
    trees = np.arange(leaves.count)[:, np.newaxis, np.newaxis]
    for first, second in itertools.combinations(range(len(curves)), 2):
        marginals = leaves.marginals([first, second])
        together = leaves.variances_of([first, second], marginals)
        variances.append(together - variances[first] - variances[second])
        rows, columns = steps[first][:, :, np.newaxis], steps[second][:, np.newaxis, :]
        drawn_surfaces.append(marginals[trees, rows, columns].sum(axis=0))
    return np.stack(variances, axis=1), drawn_curves, drawn_surfaces
