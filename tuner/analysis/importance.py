"""Which hyperparameter matters: functional ANOVA of a study's trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tuner.analysis.evidence import NotEnough
from tuner.analysis.factors import Factor as Factor
from tuner.design import Space
from tuner.ledger import Entry


@dataclasses.dataclass(frozen=True)
class Effect:
    """What one factor, or several together, explain of the variance.

    Attributes:
        names: of the factors; none for what all combinations of three and more explain.
        share: of the variance of the forest's prediction over the design; mean over the trees.
        spread: standard deviation over the trees.
    """

    names: tuple[str, ...]
    share: float
    spread: float


@dataclasses.dataclass(frozen=True)
class Marginal:
    """The target by one factor, averaged over all others.

    Attributes:
        name: of the factor.
        values: in the factor's own units, on a grid even on the sampling scale; of categories
            their places.
        mean: the target there, mean over the trees.
        spread: standard deviation over the trees.
    """

    name: str
    values: np.ndarray
    mean: np.ndarray
    spread: np.ndarray


@dataclasses.dataclass(frozen=True)
class Surface:
    """The target by two factors, averaged over all others.

    Attributes:
        names: of the factors.
        values: of each factor, as in `Marginal`.
        mean: the target there, mean over the trees: `[len(values[0]), len(values[1])]`.
    """

    names: tuple[str, str]
    values: tuple[np.ndarray, np.ndarray]
    mean: np.ndarray


@dataclasses.dataclass(frozen=True)
class Importance:
    """Functional ANOVA of the trials of one variant, or of all.

    Attributes:
        variant: code; None for all variants pooled, with "variant" as a factor of its own.
        target: "test" (score) or "seconds" (training time).
        trials: how many there were.
        backend: "forest" or "fanova".
        factors: what was varied, without those that a user fixed.
        mains: of each factor alone, in the order of `factors`.
        pairs: of each pair of factors, beyond what its two factors explain alone.
        higher_order: of all combinations of three and more; all shares add up to 1.
        marginals: in the order of `factors`.
        surfaces: in the order of `pairs`.
        explained: R² of the forest's predictions of trials that a tree has not seen: how far to
            trust the rest.
        ped_anova: Optuna's PED-ANOVA by factor, a third opinion: what matters for getting into the
            best tenth.
    """

    variant: str | None
    target: str
    trials: int
    backend: str
    factors: tuple[Factor, ...]
    mains: tuple[Effect, ...]
    pairs: tuple[Effect, ...]
    higher_order: Effect
    marginals: tuple[Marginal, ...]
    surfaces: tuple[Surface, ...]
    explained: float
    ped_anova: Mapping[str, float]


def analyse(
    entries: Sequence[Entry],
    space: Space,
    *,
    variant: str | None,
    target: str,
    backend: str = "forest",
    seed: int = 1,
) -> Importance | NotEnough:
    """Explains the variance of a target by the hyperparameters.

    Args:
        entries: finished trials; those of other variants than `variant` are left out.
        space: what the study drew them from.
        variant: code; None for all variants pooled.
        target: "test" or "seconds".
        backend: "forest" or "fanova".
        seed: of the forest.
    """
    return NotEnough("the importance analysis is not there yet")
