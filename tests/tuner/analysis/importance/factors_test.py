"""Factors: where KerasTuner's values lie in the unit cube, and trials read as such."""

from __future__ import annotations

import dataclasses

import keras_tuner
import numpy as np
import pytest

from common.errors import InputError
from tests.tuner.analysis.functions import additive, entries
from tuner.analysis.importance import factors
from tuner.search.space import PAPER

SPACE = PAPER.with_ranges(
    {
        "units": (20, 27),
        "learning_rate": (1e-5, 1e-2),
        "momentum": (0.1, 0.98),
        "noise_std": (0.1, 0.7),
        "forget_bias": (0, 2),
    }
)


def test_values_lie_where_keras_tuner_draws_them() -> None:
    container = keras_tuner.HyperParameters()
    SPACE.declare(container)
    probabilities = (0.01, 0.3, 0.62, 0.999)
    for factor, declared in zip(SPACE, container.space, strict=True):
        drawn = np.array([factor.sampled(declared.prob_to_value(p)) for p in probabilities])
        if factor.integer:
            ends = np.array([factor.bin_edges[:-1], factor.bin_edges[1:]]).T
            for value, probability in zip(drawn, probabilities, strict=True):
                low, high = ends[int(value - factor.low)]
                assert low <= probability < high
                assert low < factor.to_unit(np.array([value]))[0] < high
        else:
            np.testing.assert_allclose(factor.to_unit(drawn), probabilities)


def test_both_ends_of_the_units_are_values() -> None:
    units = SPACE["units"]
    assert len(units.bin_edges) == 9
    assert units.bin_edges[0] == 0.0 and units.bin_edges[-1] == pytest.approx(1.0)
    assert units.bin_edges[1] == pytest.approx(np.log(21 / 20) / np.log(28 / 20))
    assert list(units.grid(64)) == list(range(20, 28))


def test_grids_are_even_on_the_sampling_scale_and_reach_both_ends() -> None:
    for factor in PAPER:
        grid = factor.grid(9)
        assert {grid[0], grid[-1]} == {factor.low, factor.high}
        # Whole numbers are even up to their rounding.
        slack = 0.02 if factor.integer else 1e-12
        np.testing.assert_allclose(factor.to_unit(grid), np.linspace(0, 1, 9), atol=slack)


def test_variants_are_equally_likely_whatever_their_number() -> None:
    variants = factors.variants(("NP", "V", "NFG"))
    np.testing.assert_allclose(variants.to_unit(variants.grid(64)), [1 / 6, 1 / 2, 5 / 6])
    np.testing.assert_allclose(variants.bin_edges, [0, 1 / 3, 2 / 3, 1])
    trials = [*entries(additive, 2, "NFG"), *entries(additive, 1, "NP")]
    assert factors.values(trials, [variants]).tolist() == [[2], [2], [0]]


def test_trials_are_read_by_name_and_placed_in_the_cube() -> None:
    trials = entries(lambda points: points[:, 0], 50, space=SPACE)
    table = factors.values(trials, SPACE)
    assert table[7].tolist() == [trials[7].trial.values[name] for name in SPACE.names]
    points = factors.to_unit_cube(table, SPACE)
    drawn = np.random.default_rng(1).random((50, 5))
    np.testing.assert_allclose(points[:, 1:], drawn[:, 1:], atol=1e-9)
    # Of the units only the interval is known.
    assert np.abs(points[:, 0] - drawn[:, 0]).max() <= np.diff(np.log([20, 21])) / np.log(28 / 20)


def test_the_ends_of_a_range_are_inside_despite_rounding() -> None:
    (trial,) = entries(additive, 1)
    momentum = PAPER.with_ranges({"momentum": (0.7, 0.92)})["momentum"]
    for end, place in ((1 - 0.08, 0.0), (1 - (1 - 0.7), 1.0)):
        values = {**trial.trial.values, "momentum": end}
        at_end = dataclasses.replace(trial, trial=dataclasses.replace(trial.trial, values=values))
        table = factors.values([at_end], [momentum])
        assert factors.to_unit_cube(table, [momentum]) == pytest.approx(place, abs=1e-14)
        assert 0 <= factors.to_unit_cube(table, [momentum])[0, 0] <= 1


def test_a_trial_outside_the_space_is_one_line() -> None:
    trials = entries(additive, 30)
    narrow = PAPER.with_ranges({"learning_rate": (1e-6, 1e-3)})
    with pytest.raises(InputError, match=r"trial \d+ of V: expected learning_rate in \[1e-06, 0"):
        factors.values(trials, narrow)
    values = {**trials[0].trial.values, "units": 201}
    one_more = dataclasses.replace(
        trials[0], trial=dataclasses.replace(trials[0].trial, values=values)
    )
    with pytest.raises(InputError, match=r"units in \[20, 200\].*Received: 201"):
        factors.values([one_more], PAPER)
