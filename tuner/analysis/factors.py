"""What a study varied, on the scale that it was sampled on.

A variance share is the share of the variance over a *distribution* of the inputs, and the study's
is uniform on the sampling scale: half of the learning rates are below 1e-4. Importance is therefore
computed in the unit cube, in which every factor of a design is uniform. On raw values, a forest
answers for a study that drew 99 % of its learning rates above 1e-4
(https://github.com/automl/fanova/issues/49).
"""

from __future__ import annotations

import dataclasses

VARIANT = "variant"
"""Name of the factor that tells pooled variants apart."""


@dataclasses.dataclass(frozen=True)
class Factor:
    """One dimension of the design, on the scale that it was sampled on.

    Momentum is varied as 1 - momentum on a log scale, hence `one_minus_momentum`.

    Attributes:
        name: as in `tuner.design.Space`, or `variant`.
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
