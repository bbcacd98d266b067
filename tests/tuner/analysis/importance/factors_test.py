"""Factors against KerasTuner's own mapping of values to probabilities."""

from __future__ import annotations

import dataclasses

import keras_tuner
import numpy as np
import pytest

from common.errors import InputError
from tests.tuner.analysis.functions import additive, entries
from tuner.analysis.importance import factors
from tuner.search.design import Space

SPACE = Space(
    units=(20, 27),
    learning_rate=(1e-5, 1e-2),
    one_minus_momentum=(0.02, 0.9),
    noise_std=(0.1, 0.7),
)


def declared(space: Space) -> dict[str, keras_tuner.engine.hyperparameters.HyperParameter]:
    container = keras_tuner.HyperParameters()
    space.declare(container)
    return {each.name: each for each in container.space}


def test_values_lie_where_keras_tuner_draws_them() -> None:
    tuners = declared(SPACE)
    for factor in factors.hyperparameters(SPACE):
        drawn = np.array([tuners[factor.name].prob_to_value(p) for p in (0.01, 0.3, 0.62, 0.999)])
        if factor.integer:
            ends = np.array([factor.cells[:-1], factor.cells[1:]]).T
            for value, probability in zip(drawn, (0.01, 0.3, 0.62, 0.999), strict=True):
                low, high = ends[int(value - factor.low)]
                assert low <= probability < high
                assert low < factor.unit(np.array([value]))[0] < high
        else:
            np.testing.assert_allclose(factor.unit(drawn), [0.01, 0.3, 0.62, 0.999])


def test_both_ends_of_the_units_are_values() -> None:
    units = factors.hyperparameters(SPACE)[0]
    assert len(units.cells) == 9
    assert units.cells[0] == 0.0 and units.cells[-1] == pytest.approx(1.0)
    assert units.cells[1] == pytest.approx(np.log(21 / 20) / np.log(28 / 20))
    assert list(units.grid(64)) == list(range(20, 28))


def test_grids_are_even_on_the_sampling_scale_and_reach_both_ends() -> None:
    for factor in factors.hyperparameters(Space()):
        grid = factor.grid(9)
        assert (grid[0], grid[-1]) == (factor.low, factor.high)
        # Whole numbers are even up to their rounding.
        slack = 0.02 if factor.integer else 1e-12
        np.testing.assert_allclose(factor.unit(grid), np.linspace(0, 1, 9), atol=slack)


def test_what_a_user_fixed_is_no_factor() -> None:
    fixed = dataclasses.replace(SPACE, learning_rate=(1e-3, 1e-3), noise_std=(0.0, 0.0))
    assert [each.name for each in factors.hyperparameters(fixed)] == ["units", "one_minus_momentum"]


def test_variants_are_equally_likely_whatever_their_number() -> None:
    variants = factors.variants(("NP", "V", "NFG"))
    np.testing.assert_allclose(variants.unit(variants.grid(64)), [1 / 6, 1 / 2, 5 / 6])
    np.testing.assert_allclose(variants.cells, [0, 1 / 3, 2 / 3, 1])
    trials = [*entries(additive, 2, "NFG"), *entries(additive, 1, "NP")]
    assert factors.values(trials, [variants]).tolist() == [[2], [2], [0]]


def test_trials_are_read_in_the_factors_own_units() -> None:
    trials = entries(additive, 50, space=SPACE)
    table = factors.values(trials, factors.hyperparameters(SPACE))
    trial = trials[7].trial
    expected = [trial.units, trial.learning_rate, 1 - trial.momentum, trial.noise_std]
    np.testing.assert_allclose(table[7], expected)
    points = factors.cube(table, factors.hyperparameters(SPACE))
    drawn = np.random.default_rng(1).random((50, 4))
    np.testing.assert_allclose(points[:, 1:], drawn[:, 1:], atol=1e-9)
    # Of the units only the interval is known.
    assert np.abs(points[:, 0] - drawn[:, 0]).max() <= np.diff(np.log([20, 21])) / np.log(28 / 20)


def test_the_ends_of_a_range_are_inside_despite_rounding() -> None:
    (trial,) = entries(additive, 1)
    space = Space(one_minus_momentum=(0.08, 0.3))
    for rest in space.one_minus_momentum:
        at_end = dataclasses.replace(
            trial, trial=dataclasses.replace(trial.trial, momentum=1.0 - rest)
        )
        assert not 0.08 <= 1.0 - (1.0 - rest) <= 0.3
        assert factors.values([at_end], factors.hyperparameters(space))[0, 2] == rest


def test_a_trial_outside_the_space_is_one_line() -> None:
    trials = entries(additive, 30)
    narrow = factors.hyperparameters(Space(learning_rate=(1e-6, 1e-3)))
    with pytest.raises(InputError, match=r"trial \d+ of V: expected learning_rate in \[1e-06, 0"):
        factors.values(trials, narrow)
    one_more = dataclasses.replace(
        trials[0], trial=dataclasses.replace(trials[0].trial, units=201)
    )
    with pytest.raises(InputError, match=r"units in \[20, 200\].*Received: 201"):
        factors.values([one_more], factors.hyperparameters(Space()))
