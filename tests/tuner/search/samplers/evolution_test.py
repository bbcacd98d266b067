"""Aging evolution, against its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.tuner.search.samplers.searches import GENES, best, domain, loss, run
from tuner.search.samplers.domain import Point, Score
from tuner.search.samplers.evolution import AgingEvolution, tournament


def test_the_law_of_tournaments() -> None:
    """The m-th best of 100 wins with probability C(100 - m, 2) / C(100, 3): .0300, .0294, …"""
    scores = list(np.random.default_rng(3).permutation(100).astype(float))
    generator = np.random.default_rng(1)
    wins = np.zeros(100)
    draws = 8_000
    for _ in range(draws):
        wins[int(scores[tournament(scores, 3, generator)])] += 1
    law = np.array([math.comb(99 - place, 2) for place in range(100)]) / math.comb(100, 3)
    # With replacement the best would win in .029701.
    assert law[:2] == pytest.approx([0.030000, 0.029394], abs=5e-7)
    # The two last cannot win; χ² over the 80 best and all others, false alarms below 1e-4.
    assert not wins[98:].any()
    expected = draws * np.append(law[:80], law[80:].sum())
    counted = np.append(wins[:80], wins[80:].sum())
    assert ((counted - expected) ** 2 / expected).sum() < 133


def parents(points: list[Point], scores: list[Score], population: int) -> list[int]:
    """The places of the trials from which each child could come: one gene differs."""
    found = []
    for index in range(population, len(points)):
        close = [
            place
            for place in range(max(index - population, 0), index)
            if sum(points[index][key] != value for key, value in points[place].items()) == 1
        ]
        assert close, index
        found.append(close)
    return found


def test_children_differ_in_one_gene_from_one_of_the_youngest() -> None:
    points, scores = run(lambda domain: AgingEvolution(domain, 10, 4), 80)
    assert points[:10] == [domain().random(index) for index in range(10)]
    parents(points, scores, 10)
    assert all(point["depth"] == 2 for point in points)
    # All genes change sometimes, and values are those of the ranges.
    assert {len({point[gene.name] for point in points}) > 2 for gene in GENES[:5]} == {True}
    assert best(scores) < best(scores[:40]) or best(scores) < 0.1


def test_with_a_tournament_of_all_the_best_is_the_parent() -> None:
    """And with one of one anybody is."""
    for size, climbs in ((6, True), (1, False)):
        points, scores = run(lambda domain, size=size: AgingEvolution(domain, 6, size), 60)
        of_best = []
        for index, close in enumerate(parents(points, scores, 6), start=6):
            known = [s if s is not None else math.inf for s in scores[index - 6 : index]]
            of_best.append(index - 6 + int(np.argmin(known)) in close)
        assert all(of_best) == climbs


def test_failed_trials_age_and_never_win() -> None:
    points = [domain().random(index) for index in range(4)]
    assert tournament([None, 2.0, None, 1.0], 4, np.random.default_rng(0)) == 3
    assert tournament([None, None], 2, np.random.default_rng(0)) is None
    search = AgingEvolution(domain(), 4, 2)
    # All have failed: a new random point.
    assert search.propose(points, [None] * 4) == domain().random(4)
    # The oldest, which is best, is no more a parent.
    others = [domain().random(index) for index in range(10, 14)]
    child = search.propose([points[0], *others], [0.0, None, None, 5.0, None])
    assert child == domain().random(5) or sum(
        child[name] != value for name, value in others[2].items()
    ) == 1


def test_a_point_that_was_tried_is_not_proposed_again_at_once() -> None:
    genes = GENES[:1] + GENES[4:5]
    points, _ = run(
        lambda domain: AgingEvolution(domain, 2, 1), 9, of=lambda point: 1.0, genes=genes
    )
    distinct = {tuple(point.values()) for point in points}
    assert len(distinct) >= 7  # Of nine; one gene further there may be none.


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="tournament_size=9, population_size=5"):
        AgingEvolution(domain(), 5, 9)
    assert loss({"size": 8}) is None
