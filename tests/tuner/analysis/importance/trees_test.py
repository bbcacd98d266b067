"""Marginals of trees against numbers worked out by hand, and against every cell of their grid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tuner.analysis.importance import trees
from tuner.analysis.importance.trees import TreeLeaves, decompose


def tree(*leaves: tuple[list[tuple[float, float]], float]) -> TreeLeaves:
    """A tree of leaves, each with its limits by factor and its value."""
    limits = np.array([limits for limits, _ in leaves], dtype=float)
    values = np.array([value for _, value in leaves])
    return TreeLeaves(limits[..., 0], limits[..., 1], values, np.zeros(len(leaves), dtype=int))


def forest(several: list[TreeLeaves]) -> TreeLeaves:
    return TreeLeaves(
        np.concatenate([each.lower for each in several]),
        np.concatenate([each.upper for each in several]),
        np.concatenate([each.values for each in several]),
        np.repeat(np.arange(len(several)), [len(each.values) for each in several]),
    )


def grown(factors: int, splits: int, seed: int) -> TreeLeaves:
    """A tree of random splits, some of them at the same point."""
    generator = np.random.default_rng(seed)
    limits = [[(0.0, 1.0)] * factors]
    for _ in range(splits):
        parent = limits.pop(int(generator.integers(len(limits))))
        factor = int(generator.integers(factors))
        low, high = parent[factor]
        point = low + (high - low) * generator.choice([0.25, 0.5, float(generator.random())])
        for side in ((low, point), (point, high)):
            limits.append([*parent[:factor], side, *parent[factor + 1 :]])
    return tree(*((limit, float(generator.normal(3.0, 2.0))) for limit in limits))


# Left of 1/4 it is 1; right of it, 3 below the middle of the second factor and 5 above.
BY_HAND = tree(
    ([(0, 0.25), (0, 1)], 1.0), ([(0.25, 1), (0, 0.5)], 3.0), ([(0.25, 1), (0.5, 1)], 5.0)
)


def test_a_tree_worked_out_by_hand() -> None:
    assert BY_HAND.means == pytest.approx([3.25])
    assert BY_HAND.variances == pytest.approx([2.4375])
    np.testing.assert_allclose(BY_HAND.marginals([0]), [[1.0, 4.0]])
    np.testing.assert_allclose(BY_HAND.marginals([1]), [[2.5, 4.0]])
    np.testing.assert_allclose(BY_HAND.marginals([0, 1]), [[[1.0, 1.0], [3.0, 5.0]]])
    result = decompose(BY_HAND, [np.array([0.1, 0.9])] * 2, [np.array([0.1, 0.9])] * 2)
    np.testing.assert_allclose(result.mains, [[1.6875 / 2.4375, 0.5625 / 2.4375]])
    np.testing.assert_allclose(result.pairs, [[0.1875 / 2.4375]])


def every_cell(each: TreeLeaves) -> tuple[list[np.ndarray], np.ndarray]:
    """Sizes of the cells along each factor, and the tree's value in each cell of its own grid."""
    edges = [np.unique([*each.lower[:, j], 1.0]) for j in range(each.lower.shape[1])]
    middles = [(edge[:-1] + edge[1:]) / 2 for edge in edges]
    values = np.empty([len(middle) for middle in middles])
    for cell in np.ndindex(values.shape):
        point = np.array([middle[place] for middle, place in zip(middles, cell, strict=True)])
        inside = ((each.lower <= point) & (point < each.upper)).all(axis=1)
        (leaf,) = np.flatnonzero(inside)
        values[cell] = each.values[leaf]
    return [np.diff(edge) for edge in edges], values


@pytest.mark.parametrize("seed", range(4))
def test_every_subset_of_factors_is_as_the_sum_over_all_cells(seed: int) -> None:
    each = grown(factors=3, splits=12, seed=seed)
    sizes, values = every_cell(each)
    weights = np.einsum("i,j,k->ijk", *sizes)
    assert each.means == pytest.approx([(weights * values).sum()])
    assert each.variances == pytest.approx([(weights * (values - each.means) ** 2).sum()])
    for count in (1, 2, 3):
        for subset in itertools.combinations(range(3), count):
            others = tuple(set(range(3)) - set(subset))
            expected = (weights * values).sum(axis=others) / weights.sum(axis=others)
            marginal = each.marginals(subset)
            np.testing.assert_allclose(marginal[0], expected, atol=1e-12)
            spread = (weights.sum(axis=others) * (expected - each.means) ** 2).sum()
            assert each.variances_of(subset, marginal) == pytest.approx([spread])


def test_main_effects_pairs_and_the_triple_add_up() -> None:
    each = grown(factors=3, splits=12, seed=5)
    points = [np.array([0.5])] * 3
    result = decompose(each, points, points)
    together = each.variances_of([0, 1, 2], each.marginals([0, 1, 2])) / each.variances
    triple = together - result.mains.sum() - result.pairs.sum()
    assert result.mains.sum() + result.pairs.sum() + triple == pytest.approx(1.0)
    assert triple > 0.01 and (result.pairs > 0.001).all()


def test_a_forest_is_its_trees_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    several = [grown(factors=3, splits=splits, seed=splits) for splits in (3, 15, 8, 1)]
    points = [np.linspace(0, 1, count) for count in (4, 5, 6)]
    alone = [decompose(each, points, points) for each in several]
    for cells in (2**19, 1):
        monkeypatch.setattr(trees, "_CELLS", cells)
        result = decompose(forest(several), points, points)
        np.testing.assert_allclose(result.mains, [each.mains[0] for each in alone], atol=1e-12)
        np.testing.assert_allclose(result.pairs, [each.pairs[0] for each in alone], atol=1e-12)
        for factor in range(3):
            expected = [each.curves[factor][0] for each in alone]
            np.testing.assert_allclose(result.curves[factor], expected, atol=1e-12)
            expected = np.mean([each.surfaces[factor] for each in alone], axis=0)
            np.testing.assert_allclose(result.surfaces[factor], expected, atol=1e-12)


def test_curves_and_surfaces_are_read_at_the_right_places() -> None:
    # A split point belongs to its left.
    points = [np.array([0.0, 0.25, 0.26, 1.0]), np.array([0.5, 0.51, 1.0])]
    result = decompose(BY_HAND, points, points)
    np.testing.assert_allclose(result.curves[0], [[1, 1, 4, 4]])
    np.testing.assert_allclose(result.curves[1], [[2.5, 4, 4]])
    np.testing.assert_allclose(result.surfaces[0], [[1, 1, 1], [1, 1, 1], [3, 5, 5], [3, 5, 5]])


def test_a_tree_of_one_leaf_has_no_shares_but_a_place_in_the_mean() -> None:
    constant = tree(([(0, 1), (0, 1)], 7.0))
    points = [np.array([0.1])] * 2
    result = decompose(forest([constant, BY_HAND]), points, points)
    np.testing.assert_allclose(result.mains, decompose(BY_HAND, points, points).mains)
    np.testing.assert_allclose(result.curves[0], [[7.0], [1.0]])
    np.testing.assert_allclose(result.surfaces[0], [[4.0]])
