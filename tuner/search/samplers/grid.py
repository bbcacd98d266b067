"""Grid search: every combination of a few evenly spaced values, repeated with other seeds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from tuner.search.samplers import SearchProblem
from tuner.search.space import Hyperparameter, Number
from tuner.training import random_streams
from tuner.training.protocol import Failure, Trial, TrialRecord


class GridSampler:
    """Visits a grid that is even on each hyperparameter's scale; all variants get the same points.

    The first hyperparameter of the space changes slowest. Once all points have been visited,
    further trials visit them again with other seeds: with 9 trials in a space in which only the
    learning rate varies, three rates are tried three times each. A longer study begins with the
    trials of a shorter one.

    Args:
        problem: the problem to search.
        levels: number of values of each hyperparameter that is not fixed; integers may have fewer,
            and categories are all visited.

    Example:
        >>> from tuner.search.space import PAPER
        >>> fixed = {"units": (64, 64), "momentum": (0.9, 0.9), "noise_std": (0.1, 0.1)}
        >>> space = PAPER.with_ranges({**fixed, "learning_rate": (1e-3, 1e-1)})
        >>> sampler = GridSampler(SearchProblem(space, 1, "music", ("V",), 9))
        >>> [round(sampler.propose("V", index, ()).learning_rate, 4) for index in range(4)]
        [0.001, 0.01, 0.1, 0.001]
    """

    lag = None

    def __init__(self, problem: SearchProblem, levels: int = 3) -> None:
        self._names = problem.space.names
        rows = [_values(row, levels) for row in problem.space]
        self._points = list(itertools.product(*rows))
        self._seeds = {
            variant: random_streams.design(problem.seed, problem.task, variant)
            for variant in problem.variants
        }

    def propose(
        self, variant: str, index: int, ended: Sequence[TrialRecord | Failure]
    ) -> Trial:
        """Proposes the next point; see `tuner.search.samplers.Sampler.propose`."""
        values = dict(zip(self._names, self._points[index % len(self._points)], strict=True))
        return Trial(index, variant, values, seed=int(self._seeds[variant].integers(2**63)))


def _values(row: Hyperparameter, levels: int) -> list[Number]:
    found = np.unique(row.grid(levels))
    return [int(value) if row.integer else float(value) for value in found]
