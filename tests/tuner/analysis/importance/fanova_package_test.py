"""The back end `forest` against the package `fanova`: its recorded numbers, and it itself."""

from __future__ import annotations

import json
import logging
import sys
import types
from collections.abc import Iterator

import numpy as np
import pytest

from common.errors import InputError
from tests.tuner.analysis.functions import SHARES, additive, entries
from tests.tuner.analysis.importance import record_fanova
from tuner.analysis.importance import fanova_package, forest, importance
from tuner.analysis.importance.importance import Importance
from tuner.analysis.importance.trees import Decomposition, decompose
from tuner.search.space import PAPER


def recorded() -> dict[str, dict[str, dict[str, float]]]:
    record: dict[str, dict[str, dict[str, float]]] = json.loads(record_fanova.RECORD.read_text())
    return record


def by_forest() -> Decomposition:
    """What our forest says of the recorded trials, the category by the order of its means."""
    points, targets = record_fanova.trials()
    places = points[:, 3].astype(int)
    rank = np.argsort(np.argsort([targets[places == place].mean() for place in range(4)]))
    points[:, 3] = (rank[places] + 0.5) / 4
    grown, _ = forest.grow(points, targets, [None, None, None, np.linspace(0, 1, 5)])
    grid = [*GRID[:3], (rank + 0.5) / 4]
    return decompose(grown, grid, grid)


GRID = [np.array(record_fanova.PLACES)] * 3 + [np.arange(4.0)]


def test_the_forest_agrees_with_the_recorded_package() -> None:
    record = recorded()
    result = by_forest()
    ours = np.concatenate([result.mains, result.pairs], axis=1)
    shares = [each["share"] for each in record["shares"].values()]
    spreads = [each["spread"] for each in record["shares"].values()]
    # In the order of the effects: a factor taken for another would be far off.
    assert max(shares) > 0.4 and sum(share > 0.03 for share in shares) >= 4
    np.testing.assert_allclose(ours.mean(axis=0), shares, atol=0.04)
    assert (np.abs(ours.mean(axis=0) - shares) <= np.add(spreads, ours.std(axis=0))).all()
    for curve, expected in zip(result.curves, record["marginals"].values(), strict=True):
        mean, variance = np.array(expected).T
        # Splits halfway between two trials, or at a random point between them.
        np.testing.assert_allclose(curve.mean(axis=0), mean, atol=0.15)
        assert (np.abs(curve.mean(axis=0) - mean) <= np.sqrt(variance) + curve.std(axis=0)).all()
        np.testing.assert_allclose(curve.std(axis=0), np.sqrt(variance), rtol=0.5, atol=0.05)


def test_without_the_package_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fanova", None)
    with pytest.raises(InputError, match=r"uv pip install -e '\.\[fanova\]'") as caught:
        importance.analyze(
            entries(additive, 30), PAPER, variant="V", target="test", backend="fanova"
        )
    assert "\n" not in str(caught.value)


def test_a_pyrfr_built_with_a_new_swig_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def quantify(self: object, effect: object) -> None:
        raise AttributeError("'SwigPyObject' object has no attribute 'mean'")

    stand_in = types.ModuleType("fanova.fanova")
    analysis = type("fANOVA", (), {"__init__": lambda self, *_, **__: None})
    analysis.trees_total_variance = [1.0]
    analysis.quantify_importance = quantify
    stand_in.fANOVA, stand_in.np = analysis, types.ModuleType("numpy")
    package = types.ModuleType("fanova")
    package.fanova = stand_in
    space = types.ModuleType("ConfigSpace")
    space.ConfigurationSpace = lambda: types.SimpleNamespace(add=lambda each: None)
    space.UniformFloatHyperparameter = lambda *_: None
    for name, module in {"fanova": package, "ConfigSpace": space}.items():
        monkeypatch.setitem(sys.modules, name, module)
    points = np.random.default_rng(1).random((30, 1))
    with pytest.raises(InputError, match="SWIG 4.2"):
        fanova_package.decompose(points, points[:, 0], [0], [points[0]], [points[0]])
    assert stand_in.np.float is float and not hasattr(np, "float")


@pytest.fixture(autouse=True)
def _loaded_anew() -> Iterator[None]:
    fanova_package._load.cache_clear()
    yield
    fanova_package._load.cache_clear()


@pytest.fixture
def _package() -> None:
    pytest.importorskip("fanova", reason="the extra [fanova] is not installed: make fanova-test")


@pytest.mark.usefixtures("_package")
def test_the_package_says_what_was_recorded() -> None:
    points, targets = record_fanova.trials()
    result, _ = fanova_package.decompose(
        points, targets, record_fanova.CATEGORIES, GRID, [point[:1] for point in GRID], trees=64
    )
    record = recorded()
    shares = np.concatenate([result.mains, result.pairs], axis=1)
    expected = [list(each.values()) for each in record["shares"].values()]
    # The trees depend on the C++ library's random numbers, not on the adapter.
    numbers = np.stack([shares.mean(axis=0), shares.std(axis=0)], axis=1)
    np.testing.assert_allclose(numbers, expected, atol=1e-4)
    for curve, expected in zip(result.curves, record["marginals"].values(), strict=True):
        mean, variance = np.array(expected).T
        np.testing.assert_allclose(curve.mean(axis=0), mean, atol=1e-4)
        np.testing.assert_allclose(curve.var(axis=0, ddof=1), variance, atol=1e-3)


@pytest.mark.usefixtures("_package")
def test_both_back_ends_agree_within_their_spread(capfd: pytest.CaptureFixture[str]) -> None:
    import fanova

    handlers = list(logging.getLogger().handlers)
    level = logging.getLogger().level
    trials = entries(lambda points: additive(points) + 2 * points[:, 0] * points[:, 1], 100)
    results = {}
    for backend in importance.BACKENDS:
        result = importance.analyze(
            trials, PAPER, variant="V", target="test", backend=backend, seed=2
        )
        assert isinstance(result, Importance)
        assert result.backend == backend
        results[backend] = result
    # Nothing of the package's ways is left behind.
    assert not hasattr(np, "float") and fanova.fanova.np is not np
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)
    assert capfd.readouterr() == ("", f"note: {fanova_package.LICENSE}\n")
    mine, theirs = results["forest"], results["fanova"]
    assert mine.explained == pytest.approx(theirs.explained, abs=0.1)
    assert [each.names for each in theirs.mains] == [(name,) for name in SHARES]
    for ours, other in zip((*mine.mains, *mine.pairs), (*theirs.mains, *theirs.pairs), strict=True):
        assert ours.names == other.names
        assert abs(ours.share - other.share) <= ours.std + other.std + 0.01
    for ours, other in zip(mine.marginals, theirs.marginals, strict=True):
        np.testing.assert_array_equal(ours.values, other.values)
        assert (np.abs(ours.mean - other.mean) <= ours.std + other.std + 0.1).all()
    for ours, other in zip(mine.surfaces, theirs.surfaces, strict=True):
        assert ours.names == other.names
        assert np.abs(ours.mean - other.mean).mean() < 0.3
        assert np.corrcoef(ours.mean.ravel(), other.mean.ravel())[0, 1] > 0.8
    effects = [*theirs.mains, *theirs.pairs, theirs.higher_order]
    assert sum(effect.share for effect in effects) == pytest.approx(1.0)


@pytest.mark.usefixtures("_package")
def test_the_package_takes_one_factor_and_the_ends_of_ranges() -> None:
    points = np.linspace(0, 1, 40)[:, np.newaxis]
    result, explained = fanova_package.decompose(
        points, points[:, 0], [0], [points[:, 0]], [points[:, 0]]
    )
    assert result.mains.mean() == pytest.approx(1.0) and result.pairs.shape == (16, 0)
    np.testing.assert_allclose(result.curves[0].mean(axis=0), points[:, 0], atol=0.05)
    assert explained > 0.95
