"""Samplers, which choose the values that a study tries; one file and one row each."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, runtime_checkable
from typing import Protocol as Interface

from common import import_path
from common.errors import InputError

if TYPE_CHECKING:
    from tuner.search.samplers.domain import Domain, Search
    from tuner.search.space import Space
    from tuner.training.protocol import Failure, Trial, TrialRecord


@dataclasses.dataclass(frozen=True)
class SearchProblem:
    """The problem that a sampler searches.

    Attributes:
        space: ranges of the hyperparameters.
        seed: the user's seed.
        task: name of the task.
        variants: codes of the variants, in order.
        trials: number of trials of each variant.
        lag: see `JointSampler`.
    """

    space: Space
    seed: int
    task: str
    variants: tuple[str, ...]
    trials: int
    lag: int = 1


@runtime_checkable
class Sampler(Interface):
    """Proposes the trials of each variant of a study.

    A proposal is a function of the search problem, of variant and index, and of the trials that it
    is shown, never of the number of workers or the order in which trials end.

    Attributes:
        lag: a proposal is shown the ended trials of all variants whose index is at most its own
            minus `lag`, and waits until all of them have ended; None for a sampler that ignores
            results, whose proposals are all made before the first trial begins.
    """

    lag: int | None

    def __init__(self, problem: SearchProblem) -> None:
        """Prepares the search."""

    def propose(
        self, variant: str, index: int, ended: Sequence[TrialRecord | Failure]
    ) -> Trial:
        """Proposes a trial.

        Args:
            variant: code of the variant.
            index: position in the variant's design, from 0; each is requested once, in order.
            ended: the ended trials that `lag` lets it see, by index; those of equal index in the
                order of the variants.
        """


class JointSampler(Interface):
    """Proposes the trials of a study one after another, and also chooses their variants.

    Attributes:
        lag: a proposal is shown the trials proposed at least `lag` places before it, and waits
            until all of them have ended.
    """

    lag: int

    def in_order(self, trials: Sequence[Trial]) -> list[Trial]:
        """Sorts the trials of all variants in the order in which they were proposed.

        Raises:
            InputError: if they are not the first proposals of this search.
        """

    def propose_next(
        self, proposed: Sequence[Trial], ended: Sequence[TrialRecord | Failure]
    ) -> Trial:
        """Proposes a trial.

        Args:
            proposed: all trials before it, in order.
            ended: records of those that `lag` lets it see, in the same order.
        """


@dataclasses.dataclass(frozen=True)
class SamplerRow:
    """A row of `SAMPLERS`: one way to choose trials.

    Attributes:
        path: import path of a `Sampler`; or, if `joint`, of a
            `tuner.search.samplers.domain.Search`, from which a `JointSampler` is made.
        meaning: description for `--help`.
        options: keyword arguments of the class.
        joint: whether it also chooses the variant of each trial.
        packages: distributions whose versions affect the proposals, in addition to the study's.
        needs: a package that the sampler needs and the project does not install, if any.
        drawn: how the trials of a variant lie in the space: each drawn independently "at random",
            "evenly", or where earlier results were good, "by results".
        search: import path of a `Search` of the same kind, if `path` names a `Sampler`.
    """

    path: str
    meaning: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    joint: bool = False
    packages: tuple[str, ...] = ()
    needs: str = ""
    drawn: Literal["at random", "evenly", "by results"] = "by results"
    search: str = ""


def _optuna(
    meaning: str, sampler: str, *packages: str, needs: str = "", **options: Any
) -> SamplerRow:
    path = "tuner.search.samplers.optuna:OptunaSearch"
    options = {"sampler": sampler, **options}
    return SamplerRow(path, meaning, options, True, ("optuna", *packages), needs)


SAMPLERS = {
    "random": SamplerRow(
        "tuner.search.samplers.random:RandomSampler",
        "every trial by itself, as in the paper",
        drawn="at random",
        search="tuner.search.samplers.domain:RandomSearch",
    ),
    "qmc": SamplerRow(
        "tuner.search.samplers.optuna:SobolSampler",
        "Sobol' points, which cover the space more evenly",
        packages=("optuna", "scipy"),
        drawn="evenly",
        search="tuner.search.samplers.optuna:SobolSearch",
    ),
    "grid": SamplerRow(
        "tuner.search.samplers.grid:GridSampler",
        "three even values of each hyperparameter, repeated with other seeds",
        drawn="evenly",
    ),
    "evolution": SamplerRow(
        "tuner.search.samplers.evolution:AgingEvolution", "aging evolution", joint=True
    ),
    "reinforce": SamplerRow(
        "tuner.search.samplers.reinforce:Reinforce",
        "REINFORCE with a policy for each hyperparameter",
        joint=True,
    ),
    "graphnas": SamplerRow(
        "tuner.search.samplers.reinforce:Reinforce",
        "REINFORCE with GraphNAS' LSTM and settings",
        {
            "policy": "lstm",
            "learning_rate": 3.5e-4,
            "entropy": 1e-4,
            "temperature": 5.0,
            "tanh_c": 2.5,
        },
        joint=True,
    ),
    "tpe": _optuna("tree-structured Parzen estimators", "TPESampler", initial=10),
    "gp": _optuna(
        "a Gaussian process (needs PyTorch)", "GPSampler", "torch", needs="torch", initial=10
    ),
    "cmaes": _optuna(
        "CMA-ES, the variant at random",
        "CmaEsSampler",
        "cmaes",
        stateful=True,
        warn_independent_sampling=False,
    ),
    "nsga2": _optuna(
        "NSGA-II, a genetic algorithm",
        "NSGAIISampler",
        initial=20,
        stateful=True,
        population_size=20,
    ),
}
"""The samplers of `python -m tuner.run --sampler`."""


_PLACES = 20
"""Number of bits of a trial's seed that encode how many trials were proposed before it."""


def with_place(seed: int, place: int) -> int:
    """Makes the seed of a `JointSampler`'s trial from 43 random bits and the trial's place."""
    return (seed << _PLACES) + place


def place_of(seed: int) -> int:
    """Returns how many trials of a study were proposed before the one with a seed.

    Example:
        >>> place_of(with_place(12345, 7))
        7
    """
    return seed & ((1 << _PLACES) - 1)


def require(name: str) -> SamplerRow:
    """Returns a sampler's row.

    Args:
        name: a key of `SAMPLERS`.

    Raises:
        InputError: if the sampler needs a package that is not installed.
    """
    row = SAMPLERS[name]
    if row.needs and importlib.util.find_spec(row.needs) is None:
        raise InputError(
            f"sampler {name}: expected the package {row.needs} to be installed, which is no part "
            f"of this project: pip install {row.needs}"
        )
    return row


def make(name: str, problem: SearchProblem) -> Sampler | JointSampler:
    """Makes a sampler.

    Args:
        name: a key of `SAMPLERS`.
        problem: the problem that it searches.

    Raises:
        InputError: if the sampler needs a package that is not installed.
    """
    row = require(name)
    if row.joint:
        from tuner.search.samplers.joint import SearchSampler

        return SearchSampler(name, problem, lambda domain: make_search(name, domain))
    sampler: Sampler = import_path.find(row.path)(problem, **row.options)
    return sampler


def make_search(name: str, domain: Domain, **options: Any) -> Search:
    """Makes a sampler's search of any domain, for a KerasTuner tuner or a comparison.

    Args:
        name: a key of `SAMPLERS`.
        domain: the domain to search.
        **options: options that override the row's.

    Raises:
        InputError: if the sampler needs a package that is not installed, or has no search.
    """
    row = require(name)
    path, given = (row.path, row.options) if row.joint else (row.search, {})
    if not path:
        raise InputError(f"sampler {name}: expected one of a search. Received: {row.path}")
    search: Search = import_path.find(path)(domain, **{**given, **options})
    return search
