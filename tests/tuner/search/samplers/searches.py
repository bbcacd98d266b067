"""Searches of a small domain, and a function that they minimize."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

from tuner.search.samplers.domain import Domain, Gene, Point, Score, Search
from tuner.training import random_streams

COLORS = ("red", "green", "blue")

GENES = (
    Gene("color", lambda part: COLORS[int(3 * part)], COLORS),
    Gene("rate", lambda part: 10.0 ** (4 * part - 4), low=1e-4, high=1.0, log=True),
    Gene("size", lambda part: 1 + int(9 * part), low=1, high=9, integer=True, quantity=int,
         value=int),
    # As momentum: 1 - (1 - x) is not always x.
    Gene("keep", lambda part: 1 - 10.0 ** (-3 * part), low=1e-3, high=1.0, log=True,
         quantity=lambda value: 1.0 - value, value=lambda one: 1.0 - one),
    Gene("step", lambda part: (0.5, 1.0, 2.0)[int(3 * part)], (0.5, 1.0, 2.0), ordered=True),
    Gene("depth", lambda part: 2, (2,)),
)  # fmt: skip


def domain(lag: int = 1, genes: tuple[Gene, ...] = GENES, seed: int = 1) -> Domain:
    """A domain with random numbers of its own."""
    streams = functools.partial(random_streams.proposal, seed, "tiny")

    def draw(index: int) -> Point:
        parts = streams("random", index).random(len(genes))
        return {gene.name: gene.draw(float(part)) for gene, part in zip(genes, parts, strict=True)}

    return Domain(genes, functools.partial(streams, "search"), draw, lag)


def loss(point: Point) -> Score:
    """What is minimized; None where a trial fails."""
    if point["size"] == 8:
        return None
    assert isinstance(point["rate"], float) and isinstance(point["size"], int)
    return (
        (math.log10(point["rate"]) + 2) ** 2
        + abs(point["size"] - 6) / 4
        + COLORS.index(str(point["color"]))
    )


def run(
    make: Callable[[Domain], Search],
    count: int,
    lag: int = 1,
    of: Callable[[Point], Score] = loss,
    **options: object,
) -> tuple[list[Point], list[Score]]:
    """Searches, and returns the points with what came of them."""
    search = make(domain(lag, **options))
    points: list[Point] = []
    scores: list[Score] = []
    for index in range(count):
        points.append(search.propose(points, scores[: max(index - lag + 1, 0)]))
        scores.append(of(points[-1]))
    return points, scores


def best(scores: Sequence[Score]) -> float:
    """The least score."""
    return min(score for score in scores if score is not None)
