"""The rule of the lag: a proposal is a function of seed, index and the trials that may be seen."""

from __future__ import annotations

import functools

import pytest

from common import import_path
from tests.tuner.search.samplers.searches import domain, loss, run
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
    lag, count = 3, 30
    points, scores = run(functools.partial(make, name), count, lag)
    for cut in (1, 9, 28):
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
    _, scores = run(functools.partial(make, name), 60)
    random = [loss(domain().random(index)) for index in range(60)]
    last, drawn = (
        sorted(9.0 if score is None else score for score in some) for some in (scores[-30:], random)
    )
    # The median of the last thirty is in the best quarter of random ones. Failed trials count.
    assert last[15] < drawn[15]
    assert None in scores


def test_seeds_differ() -> None:
    first, second = (
        run(functools.partial(make, "evolution"), 20, seed=seed)[0] for seed in (1, 2)
    )
    assert not any(point in second for point in first)
