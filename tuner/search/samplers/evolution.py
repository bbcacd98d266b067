"""Aging evolution: the youngest trials compete to be parents; each child differs in one gene.

Real et al. 2019, *Regularized Evolution for Image Classifier Architecture Search*. Unlike in
existing implementations, each proposal has its own random numbers, the parent is the best of the
sample even where trials have failed, and every trial counts, from the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner.search.samplers.domain import Domain, Gene, Point, Score, Value

_REDRAWS = 20
"""Number of draws after which a child is accepted even if it is not a new point."""


def tournament(
    scores: Sequence[Score], size: int, generator: np.random.Generator
) -> int | None:
    """Chooses a parent: the best of `size` trials drawn without replacement.

    The m-th best of N is chosen with probability C(N - m, size - 1) / C(N, size).

    Args:
        scores: scores of the population, oldest first.
        size: number of trials that compete; all of them if there are fewer.
        generator: draws the competitors.

    Returns:
        The parent's place, the older among equals; None if all competitors failed or diverged.

    Example:
        >>> tournament([3.0, None, 1.0, 1.0], 4, np.random.default_rng(0))
        2
    """
    drawn = generator.choice(len(scores), min(size, len(scores)), replace=False)
    ranked = [(score, place) for place in map(int, drawn) if (score := scores[place]) is not None]
    return min(ranked)[1] if ranked else None


class AgingEvolution:
    """Proposes a mutated copy of a good recent trial.

    The first `population_size` points are those of the random design. Later ones have a parent: the
    best of `tournament_size` out of the last `population_size` visible trials. Failed and diverged
    trials age like others but never win. One gene is redrawn uniformly over its range, or replaced
    by a different option. A child that was tried before is redrawn, up to 20 draws in all.

    Args:
        domain: the domain to search.
        population_size: number of trials that can be parents.
        tournament_size: number of trials that compete to be the parent: with 1, the search is a
            random walk; with `population_size`, it climbs from the best.
    """

    def __init__(
        self, domain: Domain, population_size: int = 20, tournament_size: int = 5
    ) -> None:
        if not 1 <= tournament_size <= population_size:
            raise ValueError(
                "Expected 1 <= `tournament_size` <= `population_size`. Received: "
                f"tournament_size={tournament_size}, population_size={population_size}"
            )
        self._domain = domain
        self._population_size = population_size
        self._tournament_size = tournament_size

    def propose(self, points: Sequence[Point], scores: Sequence[Score]) -> Point:
        """Proposes a child; see `tuner.search.samplers.domain.Search`."""
        index = len(points)
        if index < self._population_size or not scores or not self._domain.free:
            return self._domain.random(index)
        generator = self._domain.generator(index)
        oldest = max(len(scores) - self._population_size, 0)
        parent = tournament(scores[oldest:], self._tournament_size, generator)
        if parent is None:
            return self._domain.random(index)
        for _ in range(_REDRAWS):
            child = self._mutate(points[oldest + parent], generator)
            if child not in points:
                break
        return child

    def _mutate(self, parent: Point, generator: np.random.Generator) -> Point:
        gene = self._domain.free[generator.integers(len(self._domain.free))]
        return {**parent, gene.name: _other(gene, parent[gene.name], generator)}


def _other(gene: Gene, old: Value, generator: np.random.Generator) -> Value:
    """Draws a value of a gene; if it has options, one other than the old value."""
    others = [option for option in gene.options if option != old]
    if others:
        return others[generator.integers(len(others))]
    return gene.draw(float(generator.random()))
