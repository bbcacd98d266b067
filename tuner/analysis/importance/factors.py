"""The factors that a study varied, on the scales that they were sampled on.

A share of variance is relative to some distribution of the inputs, and the study's own is uniform
on the sampling scale: half of its learning rates are below 1e-4. Importance is therefore computed
in the unit cube, in which every factor of the design is uniform. On raw values, the same forest
would describe a study that draws 99 of 100 learning rates above 1e-4, and another factor might come
out on top (https://github.com/automl/fanova/issues/49).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.errors import InputError
from tuner.search.space import Hyperparameter
from tuner.training.protocol import TrialRecord

VARIANT = "variant"
"""Name of the factor that identifies the variant in a pooled analysis."""

_ROUNDING = 1e-9
"""How far outside its range a value may lie, in widths of the range: 1 - (1 - x) is not quite x."""


def variants(codes: Sequence[str]) -> Hyperparameter:
    """Returns the variant as a factor, with its codes in their order on the axis."""
    return Hyperparameter(
        VARIANT, 0, len(codes) - 1, "categories",
        rank=10, label=VARIANT, noun="the variant", plural="variants", categories=tuple(codes),
    )  # fmt: skip


def values(entries: Sequence[TrialRecord], factors: Sequence[Hyperparameter]) -> np.ndarray:
    """Collects the values that were tried.

    Args:
        entries: finished trials.
        factors: the factors that were varied.

    Returns:
        The values (for categories, their indices): float64 `[trials, factors]`.

    Raises:
        InputError: if a value is outside its range: trials and space are not of the same study.
    """
    table = np.array([[_value(entry, factor) for factor in factors] for entry in entries], float)
    for factor, column in zip(factors, table.T, strict=True):
        slack = _ROUNDING * (factor.high - factor.low)
        outside = (column < factor.low - slack) | (column > factor.high + slack)
        if outside.any():
            first = int(outside.argmax())
            trial = entries[first].trial
            raise InputError(
                f"trial {trial.index} of {trial.variant}: expected {factor.name} in "
                f"[{factor.low:g}, {factor.high:g}], the range of the study. "
                f"Received: {column[first]:g}"
            )
    return table


def to_unit_cube(table: np.ndarray, factors: Sequence[Hyperparameter]) -> np.ndarray:
    """Maps trials to the unit cube.

    Args:
        table: the table returned by `values`.
        factors: the factors that were varied.

    Returns:
        float64 `[trials, factors]`.
    """
    columns = zip(factors, table.T, strict=True)
    return np.stack([factor.to_unit(column) for factor, column in columns], axis=1)


def _value(entry: TrialRecord, factor: Hyperparameter) -> float:
    if factor.name == VARIANT:
        return factor.categories.index(entry.trial.variant)
    return entry.trial.values[factor.name]
