"""A third opinion on which hyperparameter matters: Optuna's PED-ANOVA (MIT license).

PED-ANOVA (Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter
Importance in Arbitrary Subspaces", IJCAI 2023) asks a different question from functional ANOVA: not
what explains the variance of the score over the whole space, most of which may lie between bad and
worse, but what *getting into the best tenth* depends on. It compares, factor by factor, the density
of the best tenth of the trials with that of all trials (Pearson divergence of two Parzen
estimators), and fits no forest. It does not see interactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tuner.search.space import Hyperparameter

if TYPE_CHECKING:
    import optuna

BEST = 0.1
"""Share of the trials that count as the best."""


def importance(
    table: np.ndarray, targets: np.ndarray, factors: Sequence[Hyperparameter]
) -> dict[str, float]:
    """Computes PED-ANOVA by factor.

    A density fitted to fewer than five trials (the best tenth of fewer than 50) means little.

    Args:
        table: the trials' values (for categories, their indices): `[trials, factors]`.
        targets: the target to minimize, `[trials]`.
        factors: the factors that were varied.

    Returns:
        Shares that add up to 1, by name, in the order of `factors`.
    """
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    distributions = {factor.sampled_name: _distribution(factor) for factor in factors}
    columns = zip(factors, table.T, strict=True)
    sampled = [factor.sampled(column).clip(*factor.sampled_range) for factor, column in columns]
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
        study.add_trials(
            optuna.create_trial(
                params={
                    name: distribution.to_external_repr(value)
                    for (name, distribution), value in zip(distributions.items(), row, strict=True)
                },
                distributions=distributions,
                value=target,
            )
            for row, target in zip(np.transpose(sampled).tolist(), targets.tolist(), strict=True)
        )
        shares = get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(target_quantile=BEST)
        )
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {factor.name: float(shares[factor.sampled_name]) for factor in factors}


def _distribution(factor: Hyperparameter) -> optuna.distributions.BaseDistribution:
    from optuna import distributions

    if factor.scale == "categories":
        return distributions.CategoricalDistribution(factor.categories)
    low, high = factor.sampled_range
    logarithmic = factor.scale != "linear"
    if factor.integer:
        return distributions.IntDistribution(int(low), int(high), log=logarithmic)
    return distributions.FloatDistribution(low, high, log=logarithmic)
