"""Optuna's samplers behind one adapter: TPE, Gaussian processes, CMA-ES, NSGA-II, Sobol' points.

Each proposal has its own sampler object, seeded by the proposal's index, and Optuna's study is told
results in order of the index: a trial's result once the lag permits; until then the trial counts as
running. When a study is resumed, the results are told again from the ledger.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from tuner.search.samplers import SearchProblem
from tuner.search.samplers.domain import Domain, Gene, Point, Score, Value, numbers, of_space
from tuner.search.samplers.random import RandomSampler
from tuner.training import random_streams
from tuner.training.protocol import Failure, Trial, TrialRecord

_SOBOL = "QMCSampler"


class OptunaSearch:
    """Proposes the points that an Optuna sampler chooses.

    Optuna sees ranges on the scales on which KerasTuner draws: 1 - momentum on a log scale, say.

    Args:
        domain: the domain to search.
        sampler: name of a class in `optuna.samplers`.
        initial: number of points of the random design that come first.
        stateful: whether the sampler stores state with the trials that it has proposed.
        **options: arguments of the class.
    """

    def __init__(
        self,
        domain: Domain,
        sampler: str,
        initial: int = 0,
        stateful: bool = False,
        **options: Any,
    ) -> None:
        self._domain = domain
        self._sampler = sampler
        self._initial = initial
        self._stateful = stateful
        self._options = options
        self._distributions = {gene.name: _distribution(gene) for gene in domain.free}
        self._begin()

    def _begin(self) -> None:
        with _quietly():
            self._study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        self._points: list[Point] = []
        self._told: list[Score] = []

    def propose(self, points: Sequence[Point], scores: Sequence[Score]) -> Point:
        """Asks Optuna; see `tuner.search.samplers.domain.Search`."""
        with _quietly():
            if (
                self._points[: len(points)] != list(points[: len(self._points)])
                or self._told != list(scores[: len(self._told)])
            ):
                # The proposals are from another sampler, or a failed trial was retried.
                self._begin()
            for index in range(len(self._points), len(points)):
                self._tell(scores[: max(index - self._domain.lag + 1, 0)])
                self._add(index, points[index])
            self._tell(scores)
            index = len(points)
            if index < self._initial:
                point = self._domain.random(index)
                self._add(index, point)
            else:
                point = self._ask(index)
        return point

    def _ask(self, index: int, given: Point | None = None) -> Point:
        """Makes the sampler choose a point; `given` is what it chose before, if known."""
        # All points of a Sobol' sequence share one seed.
        generator = self._domain.generator(0 if self._sampler == _SOBOL else index)
        made = getattr(optuna.samplers, self._sampler)(
            seed=int(generator.integers(2**31)), **self._options
        )
        self._study.sampler = noting = _Noting(made, self._domain.free, given)
        self._study.ask(self._distributions)
        point = {**self._domain.fixed, **noting.values}
        self._points.append(point)
        return point

    def _add(self, index: int, point: Point) -> None:
        """Adds a running trial with given values."""
        if self._stateful:
            self._ask(index, point)
            return
        params = {gene.name: _encode(gene, point[gene.name]) for gene in self._domain.free}
        self._study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING, params=params, distributions=self._distributions
            )
        )
        self._points.append(point)

    def _tell(self, scores: Sequence[Score]) -> None:
        for number in range(len(self._told), len(scores)):
            self._told.append(scores[number])
            finite = [score for score in self._told if score is not None]
            if not finite and self._sampler != _SOBOL:
                self._study.tell(number, state=TrialState.FAIL)
                continue
            # Optuna would forget a failed trial and propose it again, so it counts as the worst.
            # (Sobol' points wait for a trial that did not fail, and do not depend on scores.)
            score = self._told[number]
            self._study.tell(number, max(finite, default=0.0) if score is None else score)


class SobolSearch(OptunaSearch):
    """Proposes scrambled Sobol' points.

    Args:
        domain: the domain to search.
    """

    def __init__(self, domain: Domain) -> None:
        super().__init__(domain, _SOBOL, stateful=True, scramble=True)


class SobolSampler:
    """Draws a design of scrambled Sobol' points for each variant.

    A `tuner.search.samplers.Sampler`.
    Trials have the seeds of the random design, hence the same initial weights and noise.

    Args:
        problem: the problem to search.
    """

    lag = None

    def __init__(self, problem: SearchProblem) -> None:
        self._random = RandomSampler(problem)
        self._points: dict[str, list[Point]] = {variant: [] for variant in problem.variants}
        self._searches = {
            variant: SobolSearch(
                Domain(
                    of_space(problem.space, (variant,)),
                    functools.partial(
                        random_streams.proposal, problem.seed, problem.task, f"qmc {variant}"
                    ),
                    # The search does not begin with random points.
                    lambda index: {},
                )
            )
            for variant in problem.variants
        }

    def propose(
        self, variant: str, index: int, ended: Sequence[TrialRecord | Failure]
    ) -> Trial:
        """Draws the next trial of a variant; see `tuner.search.samplers.Sampler.propose`."""
        points = self._points[variant]
        points.append(self._searches[variant].propose(points, ()))
        seed = self._random.propose(variant, index, ()).seed
        return Trial(index, variant, numbers(points[-1]), seed)


class _Noting(BaseSampler):
    """Records the values that a sampler chooses, and passes Optuna what a ledger would return.

    1 - (1 - x) is not always x: without this, a resumed study could differ in the last bit.

    Args:
        sampler: the sampler that chooses.
        genes: the genes whose values are chosen.
        given: values that it chose before, which are used instead; None for a new choice.

    Attributes:
        values: the values chosen for the trial, by name.
    """

    def __init__(
        self, sampler: BaseSampler, genes: Sequence[Gene], given: Mapping[str, Value] | None
    ) -> None:
        self._inner = sampler
        self._genes = {gene.name: gene for gene in genes}
        self._given = given
        self.values: dict[str, Value] = {}

    def _note(self, name: str, quantity: Any) -> Any:
        gene = self._genes[name]
        self.values[name] = self._given[name] if self._given else _decode(gene, quantity)
        return _encode(gene, self.values[name])

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        chosen = self._inner.sample_relative(study, trial, search_space)
        return {name: self._note(name, quantity) for name, quantity in chosen.items()}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        quantity = self._inner.sample_independent(study, trial, param_name, param_distribution)
        return self._note(param_name, quantity)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._inner.before_trial(study, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        self._inner.after_trial(study, trial, state, values)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Silences Optuna's messages about fallbacks and experimental features."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _distribution(gene: Gene) -> BaseDistribution:
    if gene.options:
        places = len(gene.options)
        if gene.ordered:
            return IntDistribution(0, places - 1)
        return CategoricalDistribution(range(places))
    if gene.integer:
        return IntDistribution(int(gene.low), int(gene.high), log=gene.log)
    return FloatDistribution(gene.low, gene.high, log=gene.log)


def _encode(gene: Gene, value: Value) -> int | float:
    """Returns the number that represents a value in Optuna."""
    if gene.options:
        return gene.options.index(value)
    quantity = min(max(gene.quantity(value), gene.low), gene.high)
    return int(quantity) if gene.integer else quantity


def _decode(gene: Gene, quantity: Any) -> Value:
    if gene.options:
        return gene.options[int(quantity)]
    return gene.value(int(quantity) if gene.integer else float(quantity))
