"""Which hyperparameter matters: functional ANOVA of a study's trials.

A random forest is fitted to the trials, and the variance of its prediction over the search space is
divided among the hyperparameters, their pairs and the rest (Hutter, Hoos and Leyton-Brown, "An
Efficient Approach for Assessing Hyperparameter Importance", ICML 2014), as in the LSTM paper. Two
back ends do this by the same definitions: `forest`, and the authors' own package in
`fanova_package`.

As in the paper, the target is the test score itself, except that outliers are clipped.
`explained` tells how far the result can be trusted; where it is near 0, the result is
`InsufficientData`.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from tuner.analysis.importance import factors as designs
from tuner.analysis.importance import fanova_package, forest, ped_anova
from tuner.analysis.importance.trees import Decomposition, decompose
from tuner.analysis.statistics.summaries import Distribution, InsufficientData
from tuner.search.space import Hyperparameter, Space
from tuner.training.protocol import TrialRecord

BACKENDS = ("forest", "fanova")
"""The back ends, which fit a forest and decompose it."""

TARGETS = {"test": "test score", "seconds": "training time"}
"""The targets that can be explained, with their names in words."""

FEWEST_TRIALS = 20
"""Minimum number of trials: enough to find a dominant factor, not to measure its share.

The largest error of a main effect of an additive function (0.83, 0.10, 0.07, 0) had a median of
0.11 with 20 trials, 0.08 with 30, 0.06 with 50 and 0.04 with 200.
"""

LEAST_EXPLAINED = 0.1
"""Minimum out-of-bag R² of a forest that is worth decomposing.

Pure noise reached it in 13 of 200 studies of 20 trials, 3 of 30 and 5 of 50, and in none of 50
studies of 200.
"""

FEWEST_OF_A_VARIANT = 5
"""Number of trials that a variant needs to be pooled with others."""

_CURVE_POINTS = 64
_SURFACE_POINTS = 24


@dataclasses.dataclass(frozen=True)
class Effect:
    """The share of the variance that one factor, or several together, explain.

    Attributes:
        names: names of the factors; empty for all third- and higher-order interactions.
        share: share of the variance of the forest's prediction over the design, mean over trees.
        std: standard deviation over the trees.
    """

    names: tuple[str, ...]
    share: float
    std: float


@dataclasses.dataclass(frozen=True)
class Marginal:
    """The target as a function of one factor, averaged over all others.

    Attributes:
        name: name of the factor.
        values: a grid that is even on the sampling scale; for categories, their indices.
        mean: the target there, mean over the trees.
        std: standard deviation over the trees.
    """

    name: str
    values: np.ndarray
    mean: np.ndarray
    std: np.ndarray


@dataclasses.dataclass(frozen=True)
class Surface:
    """The target as a function of two factors, averaged over all others.

    Attributes:
        names: names of the factors.
        values: the grid of each factor, as in `Marginal`.
        mean: the target there, mean over the trees: `[len(values[0]), len(values[1])]`.
    """

    names: tuple[str, str]
    values: tuple[np.ndarray, np.ndarray]
    mean: np.ndarray

    def turned(self) -> Self:
        """Returns the surface with its factors swapped."""
        return dataclasses.replace(
            self, names=self.names[::-1], values=self.values[::-1], mean=self.mean.T
        )


@dataclasses.dataclass(frozen=True)
class Importance:
    """Functional ANOVA of the trials of one variant, or of all.

    Attributes:
        variant: code; None for all variants pooled, with "variant" as an additional factor.
        target: "test" (score) or "seconds" (training time).
        trials: number of trials.
        backend: "forest" or "fanova".
        factors: the factors that were varied, without those that the user fixed.
        mains: effect of each factor alone, in the order of `factors`.
        pairs: effect of each pair of factors, beyond what its two factors explain alone.
        higher_order: effect of all combinations of three or more; all shares add up to 1.
        marginals: marginals of the factors, in the order of `factors`.
        surfaces: marginals of the pairs, in the order of `pairs`.
        explained: R² of the forest's predictions for trials that a tree has not seen: how far to
            trust the rest.
        limit: value at which test scores were clipped; infinite for training times.
        clipped: number of trials whose score was clipped.
        ped_anova: Optuna's PED-ANOVA by factor, a third opinion: what matters for getting into the
            best tenth; empty for training times.
    """

    variant: str | None
    target: str
    trials: int
    backend: str
    factors: tuple[Hyperparameter, ...]
    mains: tuple[Effect, ...]
    pairs: tuple[Effect, ...]
    higher_order: Effect
    marginals: tuple[Marginal, ...]
    surfaces: tuple[Surface, ...]
    explained: float
    limit: float
    clipped: int
    ped_anova: Mapping[str, float]

    def factor(self, name: str) -> Hyperparameter:
        """Finds a factor that was varied."""
        return next(factor for factor in self.factors if factor.name == name)

    def main(self, name: str) -> Effect | None:
        """Finds a factor's main effect; None if the factor was not varied."""
        return next((effect for effect in self.mains if effect.names == (name,)), None)

    def pair(self, first: str, second: str) -> Effect | None:
        """Finds the interaction of two factors; None if one was not varied."""
        names = {first, second}
        return next((effect for effect in self.pairs if set(effect.names) == names), None)

    def marginal(self, name: str) -> Marginal | None:
        """Finds a factor's marginal curve; None if the factor was not varied."""
        return next((curve for curve in self.marginals if curve.name == name), None)

    def surface(self, first: str, second: str) -> Surface | None:
        """Finds the marginal of two factors, `first` along the rows; None if one was not varied."""
        for found in self.surfaces:
            if set(found.names) == {first, second}:
                return found if found.names[0] == first else found.turned()
        return None


def analyze(
    entries: Sequence[TrialRecord],
    space: Space,
    *,
    variant: str | None,
    target: str,
    backend: str = "forest",
    seed: int = 1,
) -> Importance | InsufficientData:
    """Explains the variance of a target by the hyperparameters.

    Test scores are clipped at `Distribution.tukey_fence`. The variance is a mean of squares: a few
    trials that diverged before their first epoch, with several times the score of the worst other
    ones, would otherwise make up nearly all of it and hide what matters for the rest.

    Args:
        entries: finished trials; those of variants other than `variant` are ignored.
        space: the space that the study drew them from; ranges of zero width are ignored.
        variant: code; None for all variants pooled, which adds the factor "variant": every variant
            has the same weight, however many trials it has.
        target: "test" or "seconds".
        backend: "forest" or "fanova".
        seed: seed of the forest.

    Returns:
        The analysis, or why there is none: too few trials, nothing that varies, or a forest that
        hardly predicts trials that its trees have not seen.

    Raises:
        InputError: if a trial lies outside the space, or the package `fanova` is chosen but not
            installed.
    """
    pool = _pool(entries, variant, target)
    if isinstance(pool, InsufficientData):
        return pool
    chosen, codes = pool
    factors = space.varied + ((designs.variants(codes),) if codes else ())
    name = "the pooled variants" if variant is None else variant
    if not factors:
        return InsufficientData("every hyperparameter was fixed")
    targets = np.array([_target(entry, target) for entry in chosen])
    limit = Distribution.of(targets.tolist()).tukey_fence if target == "test" else math.inf
    clipped = int((targets > limit).sum())
    targets = np.minimum(targets, limit)
    if np.ptp(targets) == 0:
        return InsufficientData(
            f"all {len(chosen)} trials of {name} have the same {TARGETS[target]}"
        )
    table = designs.values(chosen, factors)
    curves = [factor.grid(_CURVE_POINTS) for factor in factors]
    surfaces = [factor.grid(_SURFACE_POINTS) for factor in factors]
    # Unit variance, so that no threshold of a forest depends on the target's unit.
    scale = float(targets.std())
    run = {"forest": _run_forest, "fanova": _run_fanova}[backend]
    decomposition, explained = run(
        designs.to_unit_cube(table, factors),
        (targets - targets.mean()) / scale,
        factors,
        [factor.to_unit(grid) for factor, grid in zip(factors, curves, strict=True)],
        [factor.to_unit(grid) for factor, grid in zip(factors, surfaces, strict=True)],
        seed,
    )
    if not explained > LEAST_EXPLAINED:
        return InsufficientData(_unpredictable(targets, name, target, explained))
    return Importance(
        variant=variant,
        target=target,
        trials=len(chosen),
        backend=backend,
        factors=factors,
        **_effects(decomposition, factors),
        marginals=tuple(
            Marginal(
                factor.name,
                points,
                mean=targets.mean() + scale * curve.mean(axis=0),
                std=scale * curve.std(axis=0),
            )
            for factor, points, curve in zip(factors, curves, decomposition.curves, strict=True)
        ),
        surfaces=tuple(
            Surface(
                (factors[j].name, factors[k].name),
                (surfaces[j], surfaces[k]),
                targets.mean() + scale * surface,
            )
            for (j, k), surface in zip(
                itertools.combinations(range(len(factors)), 2), decomposition.surfaces, strict=True
            )
        ),
        explained=explained,
        limit=limit,
        clipped=clipped,
        # What makes a trial one of the fastest tenth is of no interest.
        ped_anova=ped_anova.importance(table, targets, factors) if target == "test" else {},
    )


def _target(entry: TrialRecord, target: str) -> float:
    result = entry.result
    return {"test": result.test.mean, "seconds": result.seconds}[target]


def _pool(
    entries: Sequence[TrialRecord], variant: str | None, target: str
) -> tuple[list[TrialRecord], tuple[str, ...]] | InsufficientData:
    """Chooses the trials, and the order of the variants on their axis if they are pooled."""
    codes: tuple[str, ...] = ()
    if variant is None:
        by_variant = collections.defaultdict(list)
        for entry in entries:
            by_variant[entry.trial.variant].append(_target(entry, target))
        means = {
            code: float(np.mean(values))
            for code, values in by_variant.items()
            if len(values) >= FEWEST_OF_A_VARIANT
        }
        if len(means) < 2:
            return InsufficientData(
                f"pooling needs two variants with {FEWEST_OF_A_VARIANT} finished trials; "
                f"there {'is' if len(means) == 1 else 'are'} {len(means)}"
            )
        # The best split of categories into any two sets is among those that cut them in the order
        # of their mean target (Fisher 1958), so that splitting on the rank in this order loses
        # nothing at the root, and little below it.
        codes = tuple(sorted(means, key=lambda code: (means[code], code)))
    chosen = [entry for entry in entries if entry.trial.variant in (codes or (variant,))]
    if len(chosen) < FEWEST_TRIALS:
        name = "the pooled variants have" if variant is None else f"{variant} has"
        return InsufficientData(
            f"{name} {len(chosen)} finished trials; the analysis needs {FEWEST_TRIALS}"
        )
    return chosen, codes


def _run_forest(
    points: np.ndarray,
    targets: np.ndarray,
    factors: Sequence[Hyperparameter],
    curves: list[np.ndarray],
    surfaces: list[np.ndarray],
    seed: int,
) -> tuple[Decomposition, float]:
    edges = [factor.bin_edges for factor in factors]
    leaves, explained = forest.grow(points, targets, edges, seed=seed)
    return decompose(leaves, curves, surfaces), explained


def _run_fanova(
    points: np.ndarray,
    targets: np.ndarray,
    factors: Sequence[Hyperparameter],
    curves: list[np.ndarray],
    surfaces: list[np.ndarray],
    seed: int,
) -> tuple[Decomposition, float]:
    categories = [len(factor.categories) for factor in factors]
    # The package supports categories, given as indices.
    for column, count in enumerate(categories):
        if count:
            points[:, column] = np.floor(count * points[:, column])
            curves[column] = surfaces[column] = np.arange(float(count))
    return fanova_package.decompose(points, targets, categories, curves, surfaces, seed=seed)


def _effects(decomposition: Decomposition, factors: Sequence[Hyperparameter]) -> dict[str, Any]:
    """Names the shares, and assigns the remainder to all higher orders together."""
    names = [factor.name for factor in factors]
    rest = 1.0 - decomposition.mains.sum(axis=1) - decomposition.pairs.sum(axis=1)
    return {
        "mains": tuple(
            _effect((name,), shares)
            for name, shares in zip(names, decomposition.mains.T, strict=True)
        ),
        "pairs": tuple(
            _effect(pair, shares)
            for pair, shares in zip(
                itertools.combinations(names, 2), decomposition.pairs.T, strict=True
            )
        ),
        "higher_order": _effect((), rest),
    }


def _effect(names: tuple[str, ...], shares: np.ndarray) -> Effect:
    return Effect(names, float(shares.mean()), float(shares.std()))


def _unpredictable(targets: np.ndarray, name: str, target: str, explained: float) -> str:
    """Explains that a forest predicts nothing, and whether a single trial is the reason."""
    squares = (targets - targets.mean()) ** 2
    share = float(squares.max() / squares.sum())
    reason = (
        f"the {TARGETS[target]} of {name} can hardly be predicted from the hyperparameters "
        f"(out-of-bag R² {explained:.2f})"
    )
    if share > 0.5:
        reason += f"; one trial alone makes {100 * share:.0f} % of the variance"
    return reason
