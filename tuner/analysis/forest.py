"""The back end `forest`: scikit-learn's random forest (BSD licence), its trees taken apart exactly.

The settings are those of the `fanova` package: trees grown until their leaves are pure, on
bootstrap samples as large as the study, with 7/10 of the factors (rounded down, at least one) tried
at each split. Two things differ. scikit-learn splits halfway between two neighbouring trials, the
package at a random point between them, which changes a marginal by less than its spread. And
scikit-learn knows no categories: see `tuner.analysis.factors.Factor.categories`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tuner.analysis.boxes import Boxes

TREES = 64
"""Trees of a forest; shares of two forests of this size differ by less than 1/100."""
_LEAF_SHARE = 600
_TWO_PROCESSORS = 1000


def smallest_leaf(trials: int) -> int:
    """How many trials a leaf has at least: 1 in a study of 200, 3 in nine of them pooled.

    Leaves of one trial in a tree of 1,800 describe the noise of single trials at five times the
    cost.

    Example:
        >>> [smallest_leaf(trials) for trials in (20, 200, 1800)]
        [1, 1, 3]
    """
    return max(1, trials // _LEAF_SHARE)


def features_tried(factors: int) -> int:
    """How many factors are tried at each split.

    Example:
        >>> [features_tried(factors) for factors in (1, 4, 5)]
        [1, 2, 3]
    """
    return max(1, 7 * factors // 10)


def grow(
    points: np.ndarray,
    targets: np.ndarray,
    cells: Sequence[np.ndarray | None],
    *,
    trees: int = TREES,
    seed: int = 1,
) -> tuple[list[Boxes], float]:
    """Fits a forest; the same for any number of processors.

    Args:
        points: trials in the unit cube, float64 `[trials, factors]`.
        targets: float64 `[trials]`, not all equal.
        cells: for each factor, the ends of the intervals of its values if it is discrete
            (`tuner.analysis.factors.Factor.cells`); a split moves to the end of the interval that
            it cuts, since no value lies between.
        trees: how many.
        seed: of bootstrap samples and of the factors tried.

    Returns:
        The trees, and R² of the mean prediction of the trees that have not seen a trial
        (out-of-bag).
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        n_estimators=trees,
        max_features=features_tried(points.shape[1]),
        min_samples_leaf=smallest_leaf(len(points)),
        oob_score=True,
        random_state=seed,
        n_jobs=2 if len(points) >= _TWO_PROCESSORS else 1,
    ).fit(points, targets)
    grown = [boxes(estimator.tree_, cells) for estimator in forest.estimators_]
    return grown, float(forest.oob_score_)


def boxes(tree: Any, cells: Sequence[np.ndarray | None]) -> Boxes:
    """Turns the leaves of a scikit-learn tree over the unit cube into boxes.

    Args:
        tree: `tree_` of a fitted regressor.
        cells: as in `grow`.
    """
    feature, thresholds = tree.feature, tree.threshold.copy()
    for factor, ends in enumerate(cells):
        if ends is not None:
            splits = feature == factor
            middles = (ends[:-1] + ends[1:]) / 2
            thresholds[splits] = ends[np.searchsorted(middles, thresholds[splits])]
    left, right = tree.children_left, tree.children_right
    lower = np.zeros((tree.node_count, len(cells)))
    upper = np.ones_like(lower)
    # Level by level, since a child's box needs its parent's.
    level = np.flatnonzero([left[0] >= 0])
    while level.size:
        lower[left[level]] = lower[right[level]] = lower[level]
        upper[left[level]] = upper[right[level]] = upper[level]
        upper[left[level], feature[level]] = thresholds[level]
        lower[right[level], feature[level]] = thresholds[level]
        children = np.concatenate([left[level], right[level]])
        level = children[left[children] >= 0]
    leaves = left < 0
    return Boxes(lower[leaves], upper[leaves], tree.value[leaves, 0, 0])
