"""Scores of cells, and the operators that are dropped."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from tuner.supernet import scores
from tuner.supernet.shrinking import shrink
from tuner.supernet.space import CellSpace

EDGES = {"a": ("p", "q", "r"), "b": ("p", "q"), "c": ("p", "q")}
WORTH = {"a": {"p": 1.0, "q": 5.0, "r": 9.0}, "b": {"p": 3.0, "q": 4.0}, "c": {"p": 8.0, "q": -1.0}}


class Planted:
    """A supernet whose cells are worth the sum of their operators."""

    def __init__(self) -> None:
        self.trained: list[tuple[int, int]] = []

    def train(self, space: CellSpace, epochs: int) -> None:
        self.trained.append((len(space.children()), epochs))

    def measure(self, child: tuple[str, ...]) -> float:
        raise AssertionError

    def vectors(self, child: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        raise AssertionError


def worth(edges: dict) -> object:
    return lambda supernet, children: np.array([
        sum(WORTH[edge][one] for edge, one in zip(edges, child, strict=True))
        for child in children
    ])  # fmt: skip


def test_angles() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=(2, 1000))
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert scores.angle(a, b) == pytest.approx(math.acos(cosine), abs=1e-12)
    turned = np.array([math.cos(1.0), math.sin(1.0)])
    assert scores.angle(np.array([1.0, 0.0]), turned) == pytest.approx(1, abs=1e-12)
    # The arc cosine of a rounded cosine would be 0, or not a number.
    assert scores.angle(np.array([1.0, 0.0]), np.array([1.0, 1e-9])) == 1e-9
    for single in generator.normal(size=(50, 300)).astype(np.float32):
        assert scores.angle(single, single) == 0
    assert scores.angle(7 * a, 1e-3 * b) == pytest.approx(scores.angle(a, b), rel=1e-12)
    assert scores.angle(a, -a) == pytest.approx(math.pi)


def test_scores_of_cells() -> None:
    class Known(Planted):
        def measure(self, child):
            return {"p": 3.0, "q": 1.0, "r": math.nan}[child[0]]

        def vectors(self, child):
            first = np.array([2.0, 0.0])
            return first, {"p": [3.0, 0.0], "q": [0.0, 1.0], "r": [2.0, 2.0]}[child[0]] + 0 * first

    found = {
        name: score(Known(), [("p",), ("q",), ("r",)]) for name, score in scores.SCORES.items()
    }
    np.testing.assert_allclose(found["angle"], [0, math.pi / 2, math.pi / 4])
    np.testing.assert_allclose(found["inherited"], [-3, -1, -np.inf])
    np.testing.assert_allclose(found["angle and inherited"], [1 + 2, 3 + 3, 2 + 1])
    np.testing.assert_allclose(found["change"], [0.5, math.sqrt(5) / 2, 1])
    np.testing.assert_allclose(found["norm"], [1.5, 0.5, math.sqrt(2)])
    np.testing.assert_allclose(found["parameters"], 2)


def test_planted_scores_drop_in_the_known_order() -> None:
    net = Planted()
    rounds = shrink(
        CellSpace(EDGES, lambda child: True), net, worth(EDGES), stop=1, first_epochs=7, epochs=2
    )
    # By hand: the edges' means are 5, 3.5 and 3.5, so that c.q scores 7.5 and a.p 8.
    assert [one.dropped for one in rounds] == [("c", "q"), ("a", "p"), ("a", "q"), ("b", "p")]
    assert rounds[0].score == pytest.approx(5 + 3.5 - 1)
    assert rounds[-1].space.children() == [("r", "q", "p")]
    assert net.trained == [(12, 7), (6, 2), (4, 2), (2, 2)]


def test_the_order_of_edges_and_operators_changes_nothing() -> None:
    chance = random.Random(1)
    expected = None
    for _ in range(10):
        names = chance.sample(list(EDGES), 3)
        edges = {name: tuple(chance.sample(EDGES[name], len(EDGES[name]))) for name in names}
        rounds = shrink(CellSpace(edges, lambda child: True), Planted(), worth(edges), stop=1)
        dropped = [one.dropped for one in rounds]
        expected = expected or dropped
        assert dropped == expected


def test_edges_are_never_emptied_and_legal_cells_stay() -> None:
    # What the best operators have in common is that they do not go together.
    legal = {("p", "p", "p"), ("q", "p", "q"), ("r", "q", "q")}
    space = CellSpace(EDGES, legal.__contains__)
    for drops, keep in itertools.product((1, 3), (1, 2)):
        rounds = shrink(
            space, Planted(), worth(EDGES), stop=0, drop_per_round=drops, keep_per_edge=keep
        )
        left = rounds[-1].space
        assert all(len(operators) >= min(keep, len(EDGES[name]))
                   for name, operators in left.edges.items())  # fmt: skip
        assert left.children() and set(left.children()) <= legal
    assert shrink(space, Planted(), worth(EDGES), stop=3) == []
