"""The paper's random search: every trial is drawn independently, before the first one begins.

KerasTuner's own random search seeds its draws one by one (`seed`, `seed + 1`, …), so that studies
with nearby seeds share most of their trials (with four hyperparameters, seeds 1 and 5 share 59 of
60). Here, each variant of a study draws from its own stream, by KerasTuner's formulas.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner.search.samplers import SearchProblem
from tuner.training import random_streams
from tuner.training.protocol import Failure, Trial, TrialRecord


class RandomSampler:
    """Draws each hyperparameter on its scale; a longer study begins with the same trials.

    Args:
        problem: the problem to search.

    Example:
        >>> from tuner.search.space import PAPER
        >>> sampler = RandomSampler(SearchProblem(PAPER, 1, "music", ("V", "NFG"), 200))
        >>> sampler.propose("NFG", 0, []).index
        0
        >>> sampler.propose("NFG", 1, []).units
        113
    """

    lag = None

    def __init__(self, problem: SearchProblem) -> None:
        self._space = problem.space
        self._streams: dict[str, np.random.Generator] = {
            variant: random_streams.design(problem.seed, problem.task, variant)
            for variant in problem.variants
        }

    def propose(
        self, variant: str, index: int, ended: Sequence[TrialRecord | Failure]
    ) -> Trial:
        """Draws the next trial of a variant; see `tuner.search.samplers.Sampler.propose`."""
        stream = self._streams[variant]
        probabilities = stream.random(len(self._space))
        values = {
            row.name: row.from_unit(float(probability))
            for row, probability in zip(self._space, probabilities, strict=True)
        }
        return Trial(index, variant, values, seed=int(stream.integers(2**63)))
