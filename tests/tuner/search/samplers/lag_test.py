"""The rule of the lag: a proposal is a function of seed, index and the trials that may be seen."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from common import import_path
from tests.tuner.search.samplers.searches import domain, loss, run
from tuner.search import samplers
from tuner.search.samplers import SAMPLERS
from tuner.search.samplers.domain import Domain, Search

CASES = {
    "evolution": {"population_size": 6, "tournament_size": 3},
    "reinforce": {},
    "graphnas": {},
    "tpe": {"initial": 4, "n_startup_trials": 4},
    "cmaes": {},
    "nsga2": {"initial": 4, "population_size": 4},
}


def make(name: str, of: Domain) -> Search:
    row = SAMPLERS[name]
    return import_path.find(row.path)(of, **{**row.options, **CASES[name]})


@pytest.mark.parametrize("name", CASES)
def test_whoever_goes_on_proposes_the_same(name: str) -> None:
    """In a new process too; also from trials that only a file remembers."""
    lag, count = 3, 26
    points, scores = run(functools.partial(make, name), count, lag)
    for cut in (1, 22):
        search = make(name, domain(lag))
        for index in (cut, cut + 1):
            known = points[:index], scores[: max(index - lag + 1, 0)]
            # A mapping of a file has its keys in another order.
            shuffled = [dict(reversed(point.items())) for point in known[0]]
            assert search.propose(shuffled, known[1]) == points[index]
    # It adapts: other scores, other proposals.
    others = [None if score is None else -score for score in scores]
    search = make(name, domain(lag))
    # GraphNAS' controller hardly moves in some hundreds of trials.
    follows = search.propose(points[:-1], others[: count - lag]) != points[-1]
    assert follows or name == "graphnas"
    # And to a failed trial that has been tried again.
    again = [9.0 if score is None else score for score in scores]
    search.propose(points[:-1], scores[: count - lag])
    fresh = make(name, domain(lag)).propose(points[:-1], again[: count - lag])
    assert search.propose(points[:-1], again[: count - lag]) == fresh


@pytest.mark.parametrize("name", ["evolution", "tpe"])
def test_it_comes_to_better_points_than_random_ones(name: str) -> None:
    _, scores = run(functools.partial(make, name), 50)
    random = [loss(domain().random(index)) for index in range(50)]
    last, drawn = (
        sorted(9.0 if score is None else score for score in some) for some in (scores[-24:], random)
    )
    # The median of the last ones is in the best quarter of random ones. Failed trials count.
    assert last[12] < drawn[12]
    assert None in scores


@pytest.mark.parametrize("name", ["evolution", "reinforce", "tpe"])
def test_each_proposal_has_random_numbers_of_its_own(name: str) -> None:
    """nas_gnn seeds its generator again every 100 proposals, and repeats its mutations."""
    asked: list[int] = []
    own = domain(2)

    def generator(index: int) -> np.random.Generator:
        asked.append(index)
        return own.generator(index)

    search = make(name, dataclasses.replace(own, generator=generator))
    points, scores = [], []
    for index in range(16):
        before = len(asked)
        points.append(search.propose(points, scores[: max(index - 1, 0)]))
        scores.append(loss(points[-1]))
        # None where the point is that of the random design; the policy's first state has its own.
        assert set(asked[before:]) <= {index, 2**32}
    assert {14, 15} <= set(asked)


def test_seeds_differ() -> None:
    first, second = (
        run(functools.partial(make, "evolution"), 20, seed=seed)[0] for seed in (1, 2)
    )
    assert not any(point in second for point in first)


def test_sobol_points_go_on_where_the_first_trials_fail() -> None:
    """Optuna makes no sequence of them before a trial has ended well."""
    sobol = functools.partial(samplers.make_search, "qmc")
    expected, _ = run(sobol, 6)
    points, scores = run(sobol, 6, of=lambda point: None)
    assert points == expected and scores == [None] * 6
    assert len({repr(point) for point in points}) == 6
