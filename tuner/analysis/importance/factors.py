"""What a study varied, on the scale that it was sampled on.

A variance share is a share of the variance over some distribution of the inputs, and the study's
own is uniform on the sampling scale: half of its learning rates are below 1e-4. Importance is
therefore computed in the unit cube, in which every factor of the design is uniform. On raw values
the same forest answers for a study that would draw 99 of 100 learning rates above 1e-4, and another
factor may come out on top (https://github.com/automl/fanova/issues/49).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from common.errors import InputError
from tuner.training.protocol import TrialRecord

if TYPE_CHECKING:
    from tuner.search.design import Space

VARIANT = "variant"
"""Name of the factor that tells pooled variants apart."""

_LABELS = {
    "units": "units",
    "learning_rate": "learning rate",
    "one_minus_momentum": "momentum",
    "noise_std": "input noise",
}
_ROUNDING = 1e-9
"""How far beyond its range a value may lie, in widths of the range: 1 - (1 - x) is not quite x."""


@dataclasses.dataclass(frozen=True)
class Factor:
    """One dimension of the design, on the scale that it was sampled on.

    Momentum is varied as 1 - momentum on a log scale, hence `one_minus_momentum`.

    Attributes:
        name: as in `tuner.search.design.Space`, or `variant`.
        label: for axes and tables.
        low: smallest value, in the factor's own units; of categories 0.
        high: largest value; of categories their number minus 1.
        scale: "log", "linear" or "categories".
        categories: their names, in the order in which they lie on the axis.
        integer: whether only whole numbers were drawn, by KerasTuner's rounding: both ends are
            included, and a whole number n has the probability of the interval [n, n + 1).
    """

    name: str
    label: str
    low: float
    high: float
    scale: str
    categories: tuple[str, ...] = ()
    integer: bool = False

    @functools.cached_property
    def cells(self) -> np.ndarray | None:
        """Ends of the intervals that the values of a discrete factor stand for, in the unit cube.

        KerasTuner draws a whole number n for probabilities between those of n and n + 1; categories
        are equally likely.

        Returns:
            float64 `[values + 1]`, from 0 to 1; None for a continuous factor.
        """
        if self.scale == "categories":
            return np.linspace(0.0, 1.0, len(self.categories) + 1)
        if self.integer:
            return self._fraction(np.arange(self.low, self.high + 2.0))
        return None

    def unit(self, values: np.ndarray) -> np.ndarray:
        """Maps values to the unit interval, discrete ones to the middle of their interval.

        Args:
            values: in the factor's own units; of categories their places.

        Example:
            >>> rate = Factor("learning_rate", "learning rate", 1e-6, 1e-2, "log")
            >>> rate.unit(np.array([1e-6, 1e-4, 1e-2]))
            array([0. , 0.5, 1. ])
        """
        if self.cells is not None:
            middles: np.ndarray = (self.cells[:-1] + self.cells[1:]) / 2
            return middles[np.asarray(values - self.low, dtype=np.intp)]
        return self._fraction(values)

    def grid(self, count: int) -> np.ndarray:
        """Values for a curve: even on the sampling scale, of a discrete factor those that exist.

        Args:
            count: how many, where there are as many.

        Example:
            >>> Factor("units", "units", 20, 200, "log", integer=True).grid(4)
            array([ 20.,  43.,  93., 200.])
        """
        if self.scale == "categories":
            return np.arange(float(len(self.categories)))
        if self.integer:
            return np.unique(np.geomspace(self.low, self.high, count).round())
        if self.scale == "log":
            return np.geomspace(self.low, self.high, count)
        return np.linspace(self.low, self.high, count)

    def _fraction(self, values: np.ndarray) -> np.ndarray:
        # Both ends of a range of whole numbers are included, hence its end is that of its last one.
        end = self.high + 1 if self.integer else self.high
        if self.scale == "log":
            return np.divide(np.log(values / self.low), np.log(end / self.low))
        return np.divide(values - self.low, end - self.low)


def hyperparameters(space: Space) -> tuple[Factor, ...]:
    """The factors of a search space, without those that a user fixed.

    Args:
        space: ranges.
    """
    logarithmic = ("units", "learning_rate", "one_minus_momentum")
    return tuple(
        Factor(
            name=name,
            label=label,
            low=float(getattr(space, name)[0]),
            high=float(getattr(space, name)[1]),
            scale="log" if name in logarithmic else "linear",
            integer=name == "units",
        )
        for name, label in _LABELS.items()
        if getattr(space, name)[0] < getattr(space, name)[1]
    )


def variants(codes: Sequence[str]) -> Factor:
    """The variant as a factor.

    Args:
        codes: in the order in which they lie on the axis.
    """
    return Factor(
        VARIANT, VARIANT, 0.0, len(codes) - 1.0, "categories", categories=tuple(codes)
    )


def values(entries: Sequence[TrialRecord], factors: Sequence[Factor]) -> np.ndarray:
    """Reads what was tried.

    Args:
        entries: finished trials.
        factors: what was varied.

    Returns:
        The values in the factors' own units, of categories their places: float64
        `[trials, factors]`.

    Raises:
        InputError: if a value is not in its range: trials and space are not of the same study.
    """
    columns = []
    for factor in factors:
        column = np.array([_value(entry, factor) for entry in entries])
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
        columns.append(column.clip(factor.low, factor.high))
    return np.stack(columns, axis=1)


def cube(table: np.ndarray, factors: Sequence[Factor]) -> np.ndarray:
    """Places trials in the unit cube.

    Args:
        table: as `values` returns it.
        factors: what was varied.

    Returns:
        float64 `[trials, factors]`.
    """
    return np.stack(
        [factor.unit(column) for factor, column in zip(factors, table.T, strict=True)], axis=1
    )


def _value(entry: TrialRecord, factor: Factor) -> float:
    trial = entry.trial
    if factor.name == VARIANT:
        return float(factor.categories.index(trial.variant))
    if factor.name == "one_minus_momentum":
        return 1.0 - trial.momentum
    return float(getattr(trial, factor.name))
