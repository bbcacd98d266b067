"""The forest against scikit-learn's predictions and against functions with known shares."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from tests.tuner.analysis.functions import ADDITIVE, ISHIGAMI, PRODUCT, Case
from tuner.analysis.importance import forest
from tuner.analysis.importance.trees import TreeLeaves, decompose


def predict(grown: TreeLeaves, points: np.ndarray) -> np.ndarray:
    """The mean over the trees of the leaf that each point falls into."""
    inside = (grown.lower < points[:, np.newaxis]) & (points[:, np.newaxis] <= grown.upper)
    return inside.all(axis=2) @ grown.values / grown.count


def test_boxes_predict_what_scikit_learn_predicts() -> None:
    generator = np.random.default_rng(1)
    points = generator.random((60, 3))
    fitted = RandomForestRegressor(5, random_state=1).fit(points, points @ [1.0, -2.0, 4.0])
    grown = forest.leaves([each.tree_ for each in fitted.estimators_], [None] * 3)
    others = generator.random((50, 3)).astype(np.float32).astype(float)
    np.testing.assert_allclose(predict(grown, others), fitted.predict(others))
    volumes = np.bincount(grown.trees, (grown.upper - grown.lower).prod(axis=1))
    np.testing.assert_allclose(volumes, np.ones(5))


def test_splits_of_a_discrete_factor_lie_between_its_values() -> None:
    cells = np.array([0.0, 0.4, 0.6, 0.9, 1.0])
    middles = (cells[:-1] + cells[1:]) / 2
    generator = np.random.default_rng(2)
    # The second value does not occur: scikit-learn splits somewhere in its interval.
    values = generator.choice([0, 2, 3], 50)
    points = np.stack([generator.random(50), middles[values]], axis=1)
    fitted = RandomForestRegressor(8, random_state=1).fit(points, points[:, 0] + 2.0 * values)
    trees = [each.tree_ for each in fitted.estimators_]
    assert not np.isin(forest.leaves(trees, [None, None]).lower[:, 1], cells).all()
    grown = forest.leaves(trees, [None, cells])
    assert np.isin(grown.lower[:, 1], cells).all()
    assert set(grown.lower[:, 1]) == {0.0, 0.4, 0.9}
    everywhere = np.array([[x, middle] for x in (0.2, 0.7) for middle in middles])
    np.testing.assert_allclose(predict(grown, everywhere), fitted.predict(everywhere))


def shares(case: Case, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    factors = len(case.mains)
    points = np.random.default_rng(seed).random((count, factors))
    grown, explained = forest.grow(points, case.function(points), [None] * factors, seed=seed)
    nowhere = [np.array([0.5])] * factors
    result = decompose(grown, nowhere, nowhere)
    return result.mains.mean(axis=0), result.pairs.mean(axis=0), explained


@pytest.mark.parametrize(
    ("case", "count", "tolerance"),
    # Twice the largest error seen over six seeds; a forest of finite size smooths what it fits.
    [(ISHIGAMI, 2000, 0.12), (PRODUCT, 1000, 0.09), (ADDITIVE, 200, 0.09), (ADDITIVE, 1000, 0.04)],
    ids=["Ishigami", "product", "additive, 200", "additive, 1000"],
)
def test_sobol_indices_are_found(case: Case, count: int, tolerance: float) -> None:
    mains, pairs, explained = shares(case, count, seed=1)
    assert explained > 0.85
    np.testing.assert_allclose(mains, case.mains, atol=tolerance)
    np.testing.assert_allclose(pairs, case.pairs, atol=tolerance)
    if case is ISHIGAMI:
        assert pairs.argmax() == 1 and pairs[1] > 0.15
    assert list(mains.argsort()) == list(np.argsort(case.mains, kind="stable"))


def test_the_number_of_processors_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(3).random((100, 4))
    results = []
    for bound in (1, 10_000):
        monkeypatch.setattr(forest, "_TWO_PROCESSORS", bound)
        results.append(forest.grow(points, points.sum(axis=1), [None] * 4))
    (one, explained), (two, again) = results
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.lower, two.lower)
    assert explained == again


def test_what_is_explained_is_out_of_bag() -> None:
    generator = np.random.default_rng(4)
    points, noise = generator.random((200, 4)), generator.normal(size=200)
    grown, explained = forest.grow(points, noise, [None] * 4)
    fit = 1 - ((predict(grown, points) - noise) ** 2).sum() / ((noise - noise.mean()) ** 2).sum()
    assert fit > 0.7 and explained < 0.05
