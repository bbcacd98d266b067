"""Functions of the unit cube whose variance shares are known, and trials that follow them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from SALib.test_functions import Ishigami, Sobol_G

from tuner.search.space import PAPER, Space
from tuner.training.protocol import Metrics, Score, Trial, TrialRecord

Function = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Case:
    """A function of points `[trials, factors]` with its Sobol' indices.

    Attributes:
        function: the function.
        mains: first-order indices.
        pairs: second-order indices in the order of `itertools.combinations`.
    """

    function: Function
    mains: list[float]
    pairs: list[float]


def _ishigami() -> Case:
    """sin x + 7 sin² y + 0.1 z⁴ sin x on [-π, π]³: Sobol' and Levitan, 1999."""
    first = (1 + 0.1 * np.pi**4 / 5) ** 2 / 2
    second = 7**2 / 8
    together = 0.1**2 * np.pi**8 * (1 / 18 - 1 / 50)
    total = first + second + together
    return Case(
        lambda points: Ishigami.evaluate(np.pi * (2 * points - 1)),
        mains=[first / total, second / total, 0.0],
        pairs=[0.0, together / total, 0.0],
    )


def _product() -> Case:
    """Sobol's g function, the product of (|4x - 2| + a) / (1 + a)."""
    weights = np.array([0.0, 1.0, 4.5, 9.0])
    mains = Sobol_G.sensitivity_index(weights)
    # The variances of the factors, of which every product is one of the function's terms.
    single = 1 / (3 * (1 + weights) ** 2)
    total = np.prod(1 + single) - 1
    pairs = [single[j] * single[k] / total for j in range(4) for k in range(j + 1, 4)]
    return Case(
        lambda points: Sobol_G.evaluate(points, weights), list(mains), pairs
    )


SHARES = {"units": 0.074, "learning_rate": 0.826, "momentum": 0.0, "noise_std": 0.1}
"""What the factors of the additive function explain, in the order of the design."""


def additive(points: np.ndarray) -> np.ndarray:
    """A sum of linear functions of the four factors, mean 0 and variance 1."""
    return np.sqrt(12) * (points - 0.5) @ np.sqrt(list(SHARES.values()))


ISHIGAMI = _ishigami()
PRODUCT = _product()
ADDITIVE = Case(additive, list(SHARES.values()), [0.0] * 6)


def entries(
    function: Function,
    count: int = 200,
    variant: str = "V",
    space: Space = PAPER,
    seed: int = 1,
) -> list[TrialRecord]:
    """Draws trials by the study's formulas; score and time both follow a function of the cube.

    Args:
        function: of points `[trials, hyperparameters]`.
        count: number of trials.
        variant: code.
        space: ranges.
        seed: of the draws.
    """
    points = np.random.default_rng(seed).random((count, len(space)))
    return [
        TrialRecord(
            Trial(
                index,
                variant,
                {row.name: row.from_unit(p) for row, p in zip(space, point, strict=True)},
                seed=1,
            ),
            Metrics(
                best_epoch=1,
                # The analysis is of the test score.
                validation=Score(-1.0, -1.0),
                test=Score(value, -2.0),
                curve=(),
                diverged=False,
                seconds=100 - 7 * value,
                parameters=1,
                engine="native",
            ),
        )
        for index, (point, value) in enumerate(
            zip(points.tolist(), function(points).tolist(), strict=True)
        )
    ]
