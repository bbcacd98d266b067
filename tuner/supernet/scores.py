"""Scores of cells in a supernet; larger is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol as Interface

import numpy as np
from scipy import stats

from tuner.supernet.space import CellSpace, Child


class Supernet(Interface):
    """The weights of all cells of a space."""

    def train(self, space: CellSpace, epochs: int) -> None:
        """Trains the weights on cells of the space."""

    def measure(self, child: Child) -> float:
        """Returns the validation score of a cell with the current weights; smaller is better."""

    def vectors(self, child: Child) -> tuple[np.ndarray, np.ndarray]:
        """Returns the initial and the current weights of a cell, float64 `[weights]`."""


def angle(first: np.ndarray, second: np.ndarray) -> float:
    """Computes the angle between two vectors.

        2 atan2(‖a/‖a‖ - b/‖b‖‖, ‖a/‖a‖ + b/‖b‖‖)

    accurate even where the cosine rounds to 1 (W. Kahan, *How futile are mindless assessments of
    roundoff*, section 12).

    Returns:
        The angle in radians, from 0 to π.

    Example:
        >>> angle(np.array([1.0, 0.0]), np.array([1.0, 1e-9]))
        1e-09
    """
    a, b = (vector / np.linalg.norm(vector) for vector in map(np.float64, (first, second)))
    return 2 * math.atan2(np.linalg.norm(a - b), np.linalg.norm(a + b))


def by_angle(supernet: Supernet, children: Sequence[Child]) -> np.ndarray:
    """Returns the angle through which each cell's weights have turned."""
    return np.array([angle(*supernet.vectors(child)) for child in children])


def by_nll(supernet: Supernet, children: Sequence[Child]) -> np.ndarray:
    """Returns how well each cell performs with the weights that it inherits."""
    found = np.array([supernet.measure(child) for child in children])
    return -np.where(np.isfinite(found), found, np.inf)


def by_both(supernet: Supernet, children: Sequence[Child]) -> np.ndarray:
    """Returns the sum of the ranks by angle and by inherited score."""
    ranks = [stats.rankdata(score(supernet, children)) for score in (by_angle, by_nll)]
    total: np.ndarray = np.sum(ranks, axis=0)
    return total


def by_change(supernet: Supernet, children: Sequence[Child]) -> np.ndarray:
    """Returns the relative change of the weights, ‖W_t - W_0‖ / ‖W_0‖."""
    pairs = [supernet.vectors(child) for child in children]
    return np.array(
        [np.linalg.norm(now - first) / np.linalg.norm(first) for first, now in pairs]
    )


def by_norm(supernet: Supernet, children: Sequence[Child]) -> np.ndarray:
    """Returns how much the weights have grown, ‖W_t‖ / ‖W_0‖."""
    pairs = [supernet.vectors(child) for child in children]
    return np.array([np.linalg.norm(now) / np.linalg.norm(first) for first, now in pairs])


def by_parameters(supernet: Supernet, children: Sequence[Child]) -> np.ndarray:
    """Returns the number of weights."""
    return np.array([float(len(supernet.vectors(child)[0])) for child in children])


def at_random(supernet: Supernet, children: Sequence[Child]) -> np.ndarray:
    """Returns random numbers, always the same for a given number of cells."""
    return np.random.default_rng(len(children)).random(len(children))


SCORES: Mapping[str, Callable[[Supernet, Sequence[Child]], np.ndarray]] = MappingProxyType(
    {
        "angle": by_angle,
        "inherited": by_nll,
        "angle and inherited": by_both,
        "change": by_change,
        "norm": by_norm,
        "parameters": by_parameters,
        "random": at_random,
    }
)
"""The scores of `python -m tuner.shrink --score`, by name."""
