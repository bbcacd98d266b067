"""The back end `forest`: scikit-learn's random forest (BSD license), its trees decomposed exactly.

The settings are those of the `fanova` package: trees grown until their leaves are pure, on
bootstrap samples as large as the study, with some of the factors tried at each split. There are
three differences: scikit-learn splits halfway between two neighboring trials, the package at a
random point between them; scikit-learn lacks categories (`tuner.analysis.importance.importance`
says what replaces them); and `features_tried`, which the back end `fanova` uses as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tuner.analysis.importance.trees import TreeLeaves

TREES = 64
"""Number of trees in a forest."""
_LEAF_SHARE = 600
_TWO_PROCESSORS = 1000


def smallest_leaf(trials: int) -> int:
    """Returns the minimum size of a leaf: 1 trial in a study of 200, 3 in nine of them pooled.

    Leaves of one trial in a tree of 1,800 would describe the noise of single trials at five times
    the cost.

    Example:
        >>> [smallest_leaf(trials) for trials in (20, 200, 1800)]
        [1, 1, 3]
    """
    return max(1, trials // _LEAF_SHARE)


def features_tried(factors: int) -> int:
    """Returns how many factors are tried at each split: 7/10 of them, rounded up.

    The package rounds down, to 2 of 4. If one factor dominates, half of the splits must then do
    without it, and its share is underestimated: on 200 trials of an additive function whose first
    factor explains 0.83, by 0.09 instead of 0.04.

    Example:
        >>> [features_tried(factors) for factors in (1, 4, 5)]
        [1, 3, 4]
    """
    return -(-7 * factors // 10)


def grow(
    points: np.ndarray,
    targets: np.ndarray,
    bin_edges: Sequence[np.ndarray | None],
    *,
    trees: int = TREES,
    seed: int = 1,
) -> tuple[TreeLeaves, float]:
    """Fits a forest; the result does not depend on the number of processors.

    Args:
        points: trials in the unit cube, float64 `[trials, factors]`.
        targets: float64 `[trials]`, not all equal.
        bin_edges: `Hyperparameter.bin_edges` of each factor; a split of a discrete one is moved
            to the end of the interval that it cuts, since no value lies in between.
        trees: number of trees.
        seed: seed of the bootstrap samples and of the factors tried.

    Returns:
        The trees, and R² of the mean prediction of the trees that have not seen a trial
        (out-of-bag).
    """
    import sklearn
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        n_estimators=trees,
        max_features=features_tried(points.shape[1]),
        min_samples_leaf=smallest_leaf(len(points)),
        oob_score=True,
        random_state=seed,
        n_jobs=2 if len(points) >= _TWO_PROCESSORS else 1,
    )
    # For trees as small as these, checking the arguments of each takes longer than growing it.
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        forest.fit(points.astype(np.float32), targets)
    fitted = [estimator.tree_ for estimator in forest.estimators_]
    return leaves(fitted, bin_edges), forest.oob_score_


def leaves(trees: Sequence[Any], bin_edges: Sequence[np.ndarray | None]) -> TreeLeaves:
    """Converts the leaves of scikit-learn's trees over the unit cube to boxes.

    Args:
        trees: `tree_` of each fitted regressor.
        bin_edges: as in `grow`.
    """
    counts = [tree.node_count for tree in trees]
    first = np.cumsum([0, *counts[:-1]])
    owners = np.repeat(np.arange(len(trees)), counts)
    left = np.concatenate([tree.children_left for tree in trees]) + first[owners]
    right = np.concatenate([tree.children_right for tree in trees]) + first[owners]
    feature = np.concatenate([tree.feature for tree in trees])
    threshold = np.concatenate([tree.threshold for tree in trees])
    values = np.concatenate([tree.value[:, 0, 0] for tree in trees])
    for factor, ends in enumerate(bin_edges):
        if ends is not None:
            splits = feature == factor
            # The trees compare values in single precision, as they were given.
            middles = ((ends[:-1] + ends[1:]) / 2).astype(np.float32)
            threshold[splits] = ends[np.searchsorted(middles, threshold[splits], side="right")]
    lower = np.zeros((len(feature), len(bin_edges)))
    upper = np.ones_like(lower)
    inner = feature >= 0
    # Level by level, since a child's box needs its parent's.
    level = first[inner[first]]
    while level.size:
        for children, corner in ((left[level], upper), (right[level], lower)):
            lower[children], upper[children] = lower[level], upper[level]
            corner[children, feature[level]] = threshold[level]
        children = np.concatenate([left[level], right[level]])
        level = children[inner[children]]
    outer = ~inner
    return TreeLeaves(lower[outer], upper[outer], values[outer], owners[outer])
