"""Shrinks a space by dropping the operators whose cells score lowest, round after round."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from tuner.supernet.scores import Supernet
from tuner.supernet.space import CellSpace, Child


@dataclasses.dataclass(frozen=True)
class Round:
    """One round of shrinking.

    Attributes:
        dropped: edge and operator that were dropped.
        score: score of the operator: the mean over the cells that have it.
        space: the space that is left.
    """

    dropped: tuple[str, str]
    score: float
    space: CellSpace


def operator_scores(
    space: CellSpace, children: Sequence[Child], scores: np.ndarray
) -> dict[tuple[str, str], float]:
    """Computes, for each operator of each edge, the mean score of the cells that have it.

    Args:
        space: edges and operators.
        children: all legal cells of the space.
        scores: scores of the cells, float64 `[cells]`.

    Returns:
        The scores by edge and operator; minus infinity for an operator that no legal cell has.
    """
    found = {}
    for place, (edge, operators) in enumerate(space.edges.items()):
        for operator in operators:
            own = [
                score
                for child, score in zip(children, scores, strict=True)
                if child[place] == operator
            ]
            found[edge, operator] = float(np.mean(own)) if own else -np.inf
    return found


def lowest(
    space: CellSpace, scores: dict[tuple[str, str], float], keep_per_edge: int
) -> tuple[str, str] | None:
    """Returns the operator to drop next, from edges that keep enough; None if there is none."""
    droppable = [
        one for one in scores if len(space.edges[one[0]]) > keep_per_edge and _survives(space, one)
    ]
    return min(droppable, key=lambda one: (scores[one], one), default=None)


def _survives(space: CellSpace, one: tuple[str, str]) -> bool:
    return bool(space.without(*one).children())


def shrink(
    space: CellSpace,
    supernet: Supernet,
    score: Callable[[Supernet, Sequence[Child]], np.ndarray],
    *,
    drop_per_round: int = 1,
    keep_per_edge: int = 1,
    stop: int = 16,
    first_epochs: int = 60,
    epochs: int = 10,
) -> list[Round]:
    """Shrinks a space until few enough cells are left.

    Trains the supernet, drops the operators with the lowest mean score over all legal cells that
    have them, and continues with the rest. The order of edges and operators does not matter: ties
    are broken by name.

    Args:
        space: the space to shrink, with any edges and operators.
        supernet: the weights of all its cells.
        score: the score, larger is better; see `tuner.supernet.scores`.
        drop_per_round: number of operators dropped between two trainings.
        keep_per_edge: minimum number of operators that an edge keeps.
        stop: number of cells at which to stop.
        first_epochs: epochs of training before the first round.
        epochs: epochs of training before every other round.

    Returns:
        The rounds, until `stop` is reached or nothing is left to drop.

    Example:
        >>> class Fixed:
        ...     def train(self, space, epochs): ...
        ...     def measure(self, child): return 0.0
        ...     def vectors(self, child): return np.ones(1), np.ones(1)
        >>> space = CellSpace({"a": ("x", "y"), "b": ("x", "y")}, lambda child: True)
        >>> rounds = shrink(space, Fixed(), lambda _, children: np.array(
        ...     [(child == ("x", "y")) - 1.0 for child in children]), stop=1)
        >>> [one.dropped for one in rounds], rounds[-1].space.children()
        ([('a', 'y'), ('b', 'x')], [('x', 'y')])
    """
    rounds: list[Round] = []
    coming = first_epochs
    while len(children := space.children()) > stop:
        supernet.train(space, coming)
        coming = epochs
        for _ in range(drop_per_round):
            scores = operator_scores(space, children, score(supernet, children))
            dropped = lowest(space, scores, keep_per_edge)
            if dropped is None:
                return rounds
            space = space.without(*dropped)
            children = space.children()
            rounds.append(Round(dropped, scores[dropped], space))
            if len(children) <= stop:
                break
    return rounds
