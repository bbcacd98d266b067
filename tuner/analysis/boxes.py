"""Functional ANOVA of regression trees, exact: the leaves of a tree are boxes of the unit cube.

A tree over the unit cube [0, 1]^d is a step function: leaf l predicts v_l in a box with sides
w_l1, …, w_ld. Its average over all factors but those of a subset U, the marginal

    a_U(x_U) = Σ_l v_l · [x_U in the box of l] · Π_{j not in U} w_lj,

is a step function too, on the grid of the tree's own split points. A difference array gives all
its steps at once: v_l · Π w_lj is added in the 2^|U| corners of each box with alternating signs,
and a running sum along each axis fills the boxes. That takes O(leaves + cells) instead of one
descent of the tree for each cell, and the variances

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
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Boxes:
    """A regression tree over the unit cube, as the boxes of its leaves.

    Attributes:
        lower: lower corners, float64 `[leaves, factors]`.
        upper: upper corners. The boxes are disjoint and fill the unit cube.
        values: predictions, float64 `[leaves]`.

    Example:
        >>> halves = Boxes(np.array([[0.0], [0.5]]), np.array([[0.5], [1.0]]), np.array([1.0, 3.0]))
        >>> halves.mean, halves.variance
        (2.0, 1.0)
    """

    lower: np.ndarray
    upper: np.ndarray
    values: np.ndarray

    @functools.cached_property
    def sides(self) -> np.ndarray:
        """Lengths of the boxes' sides, `[leaves, factors]`."""
        return self.upper - self.lower

    @functools.cached_property
    def mean(self) -> float:
        """Average of the tree over the cube."""
        return float(self.values @ self.sides.prod(axis=1))

    @functools.cached_property
    def variance(self) -> float:
        """Variance of the tree over the cube, V in the paper."""
        return float((self.values - self.mean) ** 2 @ self.sides.prod(axis=1))

    @functools.cached_property
    def edges(self) -> tuple[np.ndarray, ...]:
        """The ends of the steps along each factor, from 0 to 1, sorted."""
        return tuple(np.append(np.unique(column), 1.0) for column in self.lower.T)

    @functools.cached_property
    def _places(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Where the lower and upper corners stand among the edges of each factor."""
        return tuple(
            (np.searchsorted(edges, lower), np.searchsorted(edges, upper))
            for edges, lower, upper in zip(self.edges, self.lower.T, self.upper.T, strict=True)
        )

    def marginal(self, factors: Sequence[int]) -> np.ndarray:
        """Averages the tree over all factors but some.

        Args:
            factors: which to keep, at least one.

        Returns:
            The average in each cell of the grid of these factors' edges, an axis for each factor.

        Example:
            >>> lower, upper = np.array([[0, 0], [0, 0.5], [0.5, 0]]), np.array([[0.5, 0.5], [0.5, 1], [1, 1]])
            >>> Boxes(lower, upper, np.array([1.0, 3.0, 4.0])).marginal([0])
            array([2., 4.])
        """  # noqa: E501
        others = np.delete(self.sides, factors, axis=1)
        mass = self.values * others.prod(axis=1)
        shape = tuple(len(self.edges[factor]) for factor in factors)
        steps = np.zeros(int(np.prod(shape)))
        for corner in itertools.product((0, 1), repeat=len(factors)):
            place = np.ravel_multi_index(
                tuple(
                    self._places[factor][end]
                    for factor, end in zip(factors, corner, strict=True)
                ),
                shape,
            )
            steps += np.bincount(place, (-1) ** sum(corner) * mass, minlength=steps.size)
        marginal = steps.reshape(shape)
        for axis in range(len(factors)):
            marginal = marginal.cumsum(axis=axis)
        # Beyond the last edge nothing is left but rounding.
        return marginal[tuple(slice(-1) for _ in factors)]

    def variance_of(self, factors: Sequence[int], marginal: np.ndarray) -> float:
        """The variance of a marginal over the cube: what its factors explain alone and together.

        Args:
            factors: those of the marginal.
            marginal: as `marginal` returns it.
        """
        squares = (marginal - self.mean) ** 2
        for factor in reversed(factors):
            squares = squares @ np.diff(self.edges[factor])
        return float(squares)

    def steps_at(self, factor: int, points: np.ndarray) -> np.ndarray:
        """The step of a marginal in which each point lies; a split point belongs to its left."""
        places = np.searchsorted(self.edges[factor], points, side="left") - 1
        return places.clip(0, len(self.edges[factor]) - 2)


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
    trees: Sequence[Boxes], curves: Sequence[np.ndarray], surfaces: Sequence[np.ndarray]
) -> Decomposition:
    """Computes main effects, all pairs and their marginals; memory for one tree at a time.

    Args:
        trees: over the same factors.
        curves: for each factor, the points of the unit interval at which its marginal is wanted.
        surfaces: the same for the marginals of pairs.
    """
    singles = [(factor,) for factor in range(len(curves))]
    couples = list(itertools.combinations(range(len(curves)), 2))
    variances = np.zeros((len(trees), len(singles) + len(couples)))
    drawn_curves = [np.empty((len(trees), len(points))) for points in curves]
    drawn_surfaces = [np.zeros((len(surfaces[j]), len(surfaces[k]))) for j, k in couples]
    for number, tree in enumerate(trees):
        for column, factors in enumerate([*singles, *couples]):
            marginal = tree.marginal(factors)
            variances[number, column] = tree.variance_of(factors, marginal)
            if len(factors) == 1:
                (j,) = factors
                drawn_curves[j][number] = marginal[tree.steps_at(j, curves[j])]
            else:
                j, k = factors
                variances[number, column] -= variances[number, j] + variances[number, k]
                rows, columns = tree.steps_at(j, surfaces[j]), tree.steps_at(k, surfaces[k])
                drawn_surfaces[column - len(singles)] += marginal[np.ix_(rows, columns)]
    totals = np.array([tree.variance for tree in trees])
    varying = totals > 0
    # A pair explains at least nothing; rounding may say a little less.
    shares = (variances[varying] / totals[varying, np.newaxis]).clip(0, 1)
    return Decomposition(
        mains=shares[:, : len(singles)],
        pairs=shares[:, len(singles) :],
        curves=tuple(drawn_curves),
        surfaces=tuple(surface / len(trees) for surface in drawn_surfaces),
    )
