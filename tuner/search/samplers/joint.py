"""The adapter of a search to a study: it proposes trials of all variants; the variant is a gene."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from common.errors import InputError
from tuner.search.samplers import SearchProblem, place_of, with_place
from tuner.search.samplers.domain import VARIANT, Domain, Point, Score, Search, numbers, of_space
from tuner.search.samplers.random import RandomSampler
from tuner.training import random_streams
from tuner.training.protocol import Failure, Trial, TrialRecord


class SearchSampler:
    """Proposes the points of a search as trials, one after another; a `JointSampler`.

    A search's random design consists of the points of the random study with the same seed, with the
    variants taking turns. A trial's seed encodes its place among all trials, so that the order of
    the proposals can be read from designs, ledgers and tables.

    Args:
        name: name of the sampler.
        problem: the problem to search.
        search: creates the search of a domain.
    """

    def __init__(
        self, name: str, problem: SearchProblem, search: Callable[[Domain], Search]
    ) -> None:
        self.lag = problem.lag
        self._name = name
        self._problem = problem
        self._random = RandomSampler(problem)
        self._points: list[Point] = []
        self._seeds: list[int] = []
        genes = of_space(problem.space, problem.variants)
        self._names = {gene.name for gene in genes}
        self._search = search(Domain(genes, self._generator, self._random_point, self.lag))

    def _generator(self, place: int) -> np.random.Generator:
        return random_streams.proposal(
            self._problem.seed, self._problem.task, self._name, place
        )

    def _random_point(self, place: int) -> Point:
        variants = self._problem.variants
        while len(self._points) <= place:
            index, which = divmod(len(self._points), len(variants))
            values = self._random.propose(variants[which], index, ()).values
            self._points.append(self._point(variants[which], values))
        return self._points[place]

    def _point(self, variant: str, values: Point) -> Point:
        return {VARIANT: variant, **values} if VARIANT in self._names else values

    def _seed(self, place: int) -> int:
        while len(self._seeds) <= place:
            purpose, own = f"seed of {self._name}", len(self._seeds)
            generator = random_streams.proposal(
                self._problem.seed, self._problem.task, purpose, own
            )
            self._seeds.append(with_place(int(generator.integers(2**43)), own))
        return self._seeds[place]

    def in_order(self, trials: Sequence[Trial]) -> list[Trial]:
        """Sorts trials; see `tuner.search.samplers.JointSampler.in_order`."""
        ordered = sorted(trials, key=lambda trial: place_of(trial.seed))
        for place, trial in enumerate(ordered):
            if trial.seed != self._seed(place):
                raise InputError(
                    f"designs/{trial.variant}.csv: expected all trials that {self._name} proposed "
                    f"with seed {self._problem.seed}. Received: trial {trial.index}, which is not "
                    f"the one after {place} others"
                )
        return ordered

    def propose_next(
        self, proposed: Sequence[Trial], ended: Sequence[TrialRecord | Failure]
    ) -> Trial:
        """Proposes a trial; see `tuner.search.samplers.JointSampler.propose_next`."""
        points = [self._point(trial.variant, trial.values) for trial in proposed]
        chosen = self._search.propose(points, [score_of(record) for record in ended])
        variant = str(chosen.get(VARIANT, self._problem.variants[0]))
        index = sum(trial.variant == variant for trial in proposed)
        found = numbers(chosen)
        values = {name: found[name] for name in self._problem.space.names}
        return Trial(index, variant, values, self._seed(len(proposed)))


def score_of(record: TrialRecord | Failure) -> Score:
    """Returns a trial's objective value: its validation score, None if it failed or diverged."""
    if isinstance(record, Failure) or record.result.diverged:
        return None
    return record.result.validation.mean
