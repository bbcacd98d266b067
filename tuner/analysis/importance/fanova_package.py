"""The back end `fanova`: the package by the method's authors, with their random forest `pyrfr`.

It computes the same as the back end `forest`, by the same definitions ("individual" importance,
mean and standard deviation over the trees), with the authors' own code for forest and marginals. It
is an extra because its license allows only academic and non-commercial use, and because its last
release (2.0.19, from 2020) needs care:

* It uses `np.float`, which NumPy no longer has (https://github.com/automl/fanova/issues/108); its
  module gets its own copy of NumPy that does; the real one is not changed.
* It calls `logging.basicConfig`, which would take over this program's log.
* Without a configuration space, it rejects trials at the ends of ranges that it rounds itself. It
  is therefore given the unit cube.
* pyrfr must be built with SWIG before 4.2 (https://github.com/automl/fanova/issues/113).
* It visits each cell of each tree's grid from Python, thousands of times slower than
  `tuner.analysis.importance.trees`; hence its own default of 16 trees.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import InputError, install
from tuner.analysis.importance.forest import features_tried, smallest_leaf
from tuner.analysis.importance.trees import Decomposition

TREES = 16
"""Number of trees in a forest, the package's default."""

LICENSE = "the package fanova is free for academic and non-commercial use only"
"""Stated on stderr when the back end is first used."""


def decompose(
    points: np.ndarray,
    targets: np.ndarray,
    categories: Sequence[int],
    curves: Sequence[np.ndarray],
    surfaces: Sequence[np.ndarray],
    *,
    trees: int = TREES,
    seed: int = 1,
) -> tuple[Decomposition, float]:
    """Fits the package's forest and lets the package decompose it.

    Args:
        points: trials in the unit cube (for categories, indices): float64 `[trials, factors]`.
        targets: float64 `[trials]`, not all equal.
        categories: for each factor, its number of categories; 0 if it is not categorical.
        curves: for each factor, the points at which to evaluate its marginal.
        surfaces: the same for the marginals of pairs.
        trees: number of trees.
        seed: seed of the forest.

    Returns:
        The decomposition, and R² of the mean prediction of the trees that have not seen a trial
        (out-of-bag).

    Raises:
        InputError: if the package is not installed, or pyrfr was built with too new a SWIG.
    """
    fanova = _load()
    options = {
        "max_features": features_tried(points.shape[1]),
        "min_samples_leaf": smallest_leaf(len(points)),
    }
    with _own_log():
        analysis = fanova.fANOVA(
            points,
            targets,
            config_space=_unit_cube(categories),
            n_trees=trees,
            seed=seed,
            **options,
        )
        try:
            shares = _shares(analysis, len(categories))
        except AttributeError as error:
            if "SwigPyObject" not in str(error):
                raise
            raise InputError(
                "the package pyrfr was built with SWIG 4.2 or later, which fanova cannot use: "
                f"uv {install('fanova')} --reinstall-package pyrfr"
            ) from error
    forest = analysis.the_forest
    decomposition = Decomposition(
        mains=shares[:, : len(categories)],
        pairs=shares[:, len(categories) :],
        curves=tuple(
            np.array([_tree_means(forest, trees, _at(curves, {j: point})) for point in points_j]).T
            for j, points_j in enumerate(curves)
        ),
        surfaces=tuple(
            np.array(
                [
                    [
                        forest.marginal_mean_prediction(_at(curves, {j: row, k: column}))
                        for column in surfaces[k]
                    ]
                    for row in surfaces[j]
                ]
            )
            for j, k in itertools.combinations(range(len(surfaces)), 2)
        ),
    )
    return decomposition, _explained(fanova, analysis, points, targets, categories, seed)


@functools.cache
def _load() -> Any:
    """Imports the package's module, states its license, and gives it a NumPy with `np.float`."""
    try:
        from fanova import fanova
    except ImportError as error:
        raise InputError(
            f"expected the extra [fanova] for the back end fanova: uv {install('fanova')} (uv "
            f"builds pyrfr from source, about two minutes). Received: {error}"
        ) from error
    print(f"note: {LICENSE}", file=sys.stderr, flush=True)
    patched = types.ModuleType("numpy")
    patched.__dict__.update(vars(np), float=float)
    fanova.np = patched
    return fanova


@contextlib.contextmanager
def _own_log() -> Iterator[None]:
    """Keeps the package from writing to the program's log and from configuring it."""
    logger = logging.getLogger("fanova")
    level = logger.level
    logger.setLevel(logging.ERROR)
    root = logging.getLogger()
    # With a handler there, `basicConfig` does nothing.
    handler = logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        logger.setLevel(level)


def _unit_cube(categories: Sequence[int]) -> Any:
    import ConfigSpace

    space = ConfigSpace.ConfigurationSpace()
    # The space sorts its dimensions by name.
    for factor, count in enumerate(categories):
        name = f"{factor:03d}"
        space.add(
            ConfigSpace.CategoricalHyperparameter(name, list(range(count)))
            if count
            else ConfigSpace.UniformFloatHyperparameter(name, 0.0, 1.0)
        )
    return space


def _shares(analysis: Any, factors: int) -> np.ndarray:
    """Returns all effects as shares of each tree's variance, `[trees that vary, effects]`."""
    totals = np.array(analysis.trees_total_variance)
    effects = [
        effect for size in (1, 2) for effect in itertools.combinations(range(factors), size)
    ]
    for effect in effects:
        analysis.quantify_importance(effect)
    variances = np.array([analysis.V_U_individual[effect] for effect in effects]).T
    shares: np.ndarray = variances[totals > 0] / totals[totals > 0, np.newaxis]
    return shares


def _at(factors: Sequence[Any], held: Mapping[int, float]) -> list[float]:
    """Returns a point with some given coordinates; the others are averaged over."""
    return [float(held.get(factor, np.nan)) for factor in range(len(factors))]


def _tree_means(forest: Any, trees: int, point: list[float]) -> list[float]:
    return [
        forest.marginal_prediction_stat_of_tree(tree, point).mean() for tree in range(trees)
    ]


def _explained(
    fanova: Any,
    analysis: Any,
    points: np.ndarray,
    targets: np.ndarray,
    categories: Sequence[int],
    seed: int,
) -> float:
    """Computes the out-of-bag R² of a twin forest, as the package does not for its own."""
    twin = fanova.reg.fanova_forest()
    twin.options = analysis.the_forest.options
    twin.options.compute_oob_error = True
    data = fanova.reg.default_data_container(points.shape[1])
    for factor, count in enumerate(categories):
        if count:
            data.set_type_of_feature(factor, count)
        else:
            data.set_bounds_of_feature(factor, 0.0, 1.0)
    for point, target in zip(points.tolist(), targets.tolist(), strict=True):
        data.add_data_point(point, target)
    twin.fit(data, fanova.reg.default_random_engine(seed))
    return float(1.0 - twin.out_of_bag_error() ** 2 / targets.var())
