"""The grid: its points, their order, its repetitions."""

from __future__ import annotations

import numpy as np
import pytest

from tuner.search import samplers
from tuner.search.samplers import SearchProblem
from tuner.search.space import PAPER

SPACE = PAPER.with_ranges(
    {"units": (20, 21), "learning_rate": (1e-4, 1e-2), "momentum": (0.9, 0.9), "noise_std": (0, 1)}
)


def proposed(trials: int, variant: str = "V", seed: int = 3) -> list:
    sampler = samplers.make("grid", SearchProblem(SPACE, seed, "music", ("V", "NP"), trials))
    return [sampler.propose(variant, index, ()) for index in range(trials)]


def test_every_combination_in_order_and_again_with_other_seeds() -> None:
    trials = proposed(40)
    values = [tuple(trial.values[name] for name in SPACE.names) for trial in trials]
    # Two sizes, as there are no more, three rates, a momentum, three noises.
    expected = [
        (units, rate, 0.9, noise)
        for units in (20, 21)
        for rate in (1e-4, 1e-3, 1e-2)
        for noise in (0.0, 0.5, 1.0)
    ]
    assert len(expected) == 18 and all(isinstance(units, int) for units, *_ in values)
    np.testing.assert_allclose(values[:18], expected, rtol=1e-12)
    assert values[18:36] == values[:18] and values[36:] == values[:4]
    assert [trial.index for trial in trials] == list(range(40))
    assert len({trial.seed for trial in trials}) == 40


def test_what_it_depends_on() -> None:
    assert proposed(5) == proposed(20)[:5]
    for other in (proposed(5, variant="NP"), proposed(5, seed=4)):
        assert [one.values for one in other] == [one.values for one in proposed(5)]
        assert not {one.seed for one in other} & {one.seed for one in proposed(5)}


@pytest.mark.parametrize("name", SPACE.names)
def test_its_ends_are_those_of_the_range(name: str) -> None:
    found = [trial.values[name] for trial in proposed(18)]
    assert (min(found), max(found)) == (SPACE[name].low, SPACE[name].high)


def test_a_fixed_value_is_one_and_whole_numbers_are_even() -> None:
    for value in np.random.default_rng(1).uniform(1e-5, 0.9, 50).tolist():
        for name in ("learning_rate", "momentum", "noise_std", "forget_bias"):
            row = PAPER.with_ranges({name: (value, value)})[name]
            assert row.grid(3).tolist() == [value]
    depths = PAPER.with_ranges({"max_depth": (1, 9)})["max_depth"]
    assert depths.grid(3).tolist() == [1, 5, 9]
