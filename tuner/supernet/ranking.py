"""How well scores in a supernet rank cells, and the regret of shrinking by them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from tuner.supernet.scores import SCORES, Supernet
from tuner.supernet.space import CellSpace, Child

_BOOTSTRAPS = 2_000
_SEED = 1


def tau(scores: np.ndarray, worth: np.ndarray) -> float:
    """Computes Kendall's τ-b of scores (larger is better) and cells' worth (smaller is better).

        τ_b = (C - D) / √((C + D + T_x) (C + D + T_y))

    for C concordant and D discordant pairs, and T_x and T_y pairs tied in only one of the two.

    Example:
        >>> tau(np.array([3.0, 2.0, 1.0]), np.array([8.1, 8.2, 8.3]))
        1.0
    """
    return float(stats.kendalltau(scores, -worth).statistic)


def interval(scores: np.ndarray, worth: np.ndarray) -> tuple[float, float]:
    """Computes the 95% interval of `tau` by bootstrap over the cells (percentiles).

    A cell that is drawn twice is tied with itself.
    """
    # Ranks, because a score may be infinite.
    ranks = map(stats.rankdata, (scores, -worth))
    by_score, by_worth = (np.sign(np.subtract.outer(one, one)) for one in ranks)
    generator, cells = np.random.default_rng(_SEED), len(worth)
    drawn = generator.multinomial(cells, np.full(cells, 1 / cells), size=_BOOTSTRAPS).astype(float)

    def pairs(matrix: np.ndarray) -> np.ndarray:
        """Returns the sum of a matrix over all pairs of cells in each draw."""
        total: np.ndarray = ((drawn @ matrix) * drawn).sum(axis=1)
        return total

    untied = np.sqrt(pairs(by_score**2) * pairs(by_worth**2))
    found = np.divide(pairs(by_score * by_worth), untied, where=untied > 0, out=0 * untied)
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def ceiling(by_seed: Sequence[Sequence[float]]) -> float:
    """Computes the noise ceiling: the mean τ-b between the cells' worth by two different seeds.

    Args:
        by_seed: the worth of each cell by each seed.
    """
    columns = np.array(by_seed).T
    return float(
        np.mean([tau(-one, other) for one, other in itertools.combinations(columns, 2)])
    )


@dataclasses.dataclass(frozen=True)
class RankRow:
    """How well one score ranks cells.

    Attributes:
        epochs: number of epochs that the supernet has been trained.
        score: a key of `tuner.supernet.scores.SCORES`.
        tau: Kendall's τ-b with the truth.
        low: lower end of its 95% interval over cells.
        high: upper end of that interval.
        top: number of the five best cells that are among the five with the highest scores.
    """

    epochs: int
    score: str
    tau: float
    low: float
    high: float
    top: int


def rank(supernet: Supernet, worth: Mapping[Child, float], epochs: int) -> list[RankRow]:
    """Compares all scores with the truth.

    Args:
        supernet: the supernet in its current state.
        worth: worth of the cells; smaller is better.
        epochs: number of epochs that it has been trained.
    """
    children, truth = list(worth), np.array(list(worth.values()))
    best = set(np.argsort(truth, kind="stable")[:5])
    rows = []
    for name, score in SCORES.items():
        found = score(supernet, children)
        chosen = set(np.argsort(-found, kind="stable")[:5])
        rows.append(
            RankRow(epochs, name, tau(found, truth), *interval(found, truth), len(best & chosen))
        )
    return rows


def regret(space: CellSpace, worth: Mapping[Child, float]) -> float:
    """Returns how much worse the best cell left in a space is than the best of all."""
    return min(worth[child] for child in space.children()) - min(worth.values())


def random_regrets(
    space: CellSpace, worth: Mapping[Child, float], stop: int, count: int = 10_000
) -> np.ndarray:
    """Computes the regrets of spaces whose operators are dropped at random.

    Args:
        space: the space to shrink.
        worth: worth of its cells.
        stop: number of cells at which to stop.
        count: number of spaces to shrink.

    Returns:
        float64 `[count]`.
    """
    generator = np.random.default_rng(_SEED)
    children, truth = list(worth), np.array(list(worth.values()))
    columns = [
        (place, np.array([child[place] == operator for child in children]))
        for place, operators in enumerate(space.edges.values())
        for operator in operators
    ]
    found = np.zeros(count)
    for number in range(count):
        alive, left = np.ones(len(children), bool), list(range(len(columns)))
        kept = [len(operators) for operators in space.edges.values()]
        while alive.sum() > stop and left:
            place, has = columns[one := left[generator.integers(len(left))]]
            left.remove(one)
            if kept[place] > 1 and (alive & ~has).any():
                alive &= ~has
                kept[place] -= 1
        found[number] = truth[alive].min() - truth.min()
    return found
