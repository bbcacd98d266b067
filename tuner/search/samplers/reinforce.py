"""REINFORCE: a policy that chooses a level of each gene and learns from the scores.

Williams 1992, *Simple statistical gradient-following algorithms for connectionist reinforcement
learning*; for architecture search Zoph & Le 2017, for graph networks GraphNAS (Gao et al. 2019,
https://arxiv.org/abs/1904.09981). GraphNAS' code divides advantages by the largest of the last ten,
which rewards bad trials if all ten are negative; here they are divided by a standard deviation, and
the baseline is the one before the trial.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tuner.search.samplers import policies
from tuner.search.samplers.domain import Domain, Point, Score

POLICIES = {"factored": policies.Factored, "lstm": policies.Controller}
"""The policies by name."""

WARM_UP = 20
"""Number of trials that the initial policy proposes; their scores set the scale of the rewards."""

_LARGEST = 2.0
"""Rewards are clipped at ± this value, since a loss has no upper bound."""


class Rewards:
    """Converts scores to advantages.

    With the median and the interquartile range of the first `WARM_UP` scores,

        r = -(score - median) / IQR, clipped at ± 2;   A = (r - b) / s;   then b ← β b + (1 - β) r

    s is the standard deviation of all rewards so far. A trial that failed or diverged gets -2.

    Args:
        first: the first scores.
        decay: β of the baseline b, which starts at 0, the reward of the median.
    """

    def __init__(self, first: Sequence[Score], decay: float) -> None:
        finite = [score for score in first if score is not None]
        self._median, self._range = 0.0, 1.0
        if finite:
            low, self._median, high = map(float, np.quantile(finite, [0.25, 0.5, 0.75]))
            self._range = high - low or 1.0
        self._decay = decay
        self._baseline = 0.0
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def reward(self, score: Score) -> float:
        """Returns the reward for a score."""
        if score is None:
            return -_LARGEST
        return min(max((self._median - score) / self._range, -_LARGEST), _LARGEST)

    def advantage(self, score: Score) -> float:
        """Returns the advantage of the next trial and updates the baseline."""
        reward = self.reward(score)
        self._count += 1
        before = reward - self._mean
        self._mean += before / self._count
        self._squares += before * (reward - self._mean)
        advantage = (reward - self._baseline) / (math.sqrt(self._squares / self._count) or 1.0)
        self._baseline = self._decay * self._baseline + (1 - self._decay) * reward
        return advantage


class Reinforce:
    """Proposes points drawn by its policy, which takes one step per trial in order of the index.

    The state is a function of the scores: a resumed study replays the steps.

    Args:
        domain: the domain to search; ranges are searched on their levels.
        policy: "factored", an independent choice for each gene, or "lstm", GraphNAS' controller.
        learning_rate: learning rate of Adam.
        entropy: weight of the policy's entropy.
        baseline_decay: decay of the moving average of the rewards.
        temperature: divides the argument of the tanh in the logits.
        tanh_c: the largest logit.
    """

    def __init__(
        self,
        domain: Domain,
        policy: str = "factored",
        learning_rate: float = 5e-3,
        entropy: float = 1e-2,
        baseline_decay: float = 0.95,
        temperature: float = 1.0,
        tanh_c: float = 5.0,
    ) -> None:
        if policy not in POLICIES:
            raise ValueError(
                f"Expected `policy` to be one of {', '.join(POLICIES)}. Received: {policy}"
            )
        self._domain = domain
        self._make = POLICIES[policy]
        self._logits = temperature, tanh_c
        self._rate, self._entropy, self._decay = learning_rate, entropy, baseline_decay
        self._begin()

    def _begin(self) -> None:
        sizes = [len(gene.levels) for gene in self._domain.free]
        # No proposal has this index.
        generator = self._domain.generator(2**32)
        self._policy: policies.Policy = self._make(sizes, generator, *self._logits)
        self._adam = policies.Adam(self._policy.parameters, self._rate)
        self._rewards: Rewards | None = None
        self._learned: list[Score] = []

    def propose(self, points: Sequence[Point], scores: Sequence[Score]) -> Point:
        """Draws from the policy; see `tuner.search.samplers.domain.Search`."""
        self._learn(points, scores)
        generator = self._domain.generator(len(points))
        actions = self._policy.sample(generator.random(len(self._domain.free)).tolist())
        chosen = {
            gene.name: gene.levels[action]
            for gene, action in zip(self._domain.free, actions, strict=True)
        }
        return {**self._domain.fixed, **chosen}

    def _learn(self, points: Sequence[Point], scores: Sequence[Score]) -> None:
        if self._learned != list(scores[: len(self._learned)]):
            # A failed trial has been retried.
            self._begin()
        if len(scores) < WARM_UP:
            return
        self._rewards = self._rewards or Rewards(scores[:WARM_UP], self._decay)
        for place in range(len(self._learned), len(scores)):
            advantage = self._rewards.advantage(scores[place])
            actions = [
                gene.levels.index(value) if (value := points[place][gene.name]) in gene.levels
                else None
                for gene in self._domain.free
            ]
            self._adam.step(self._policy.gradients(actions, advantage, self._entropy))
            self._learned.append(scores[place])
