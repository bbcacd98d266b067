"""The importance analysis of trials that follow a known function."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from tests.tuner.analysis.functions import SHARES, additive, entries
from tuner.analysis.importance import importance
from tuner.analysis.importance.importance import Importance
from tuner.analysis.statistics.summaries import InsufficientData
from tuner.search.space import PAPER, Space
from tuner.training.protocol import TrialRecord


def analyzed(
    trials: list[TrialRecord], space: Space | None = None, variant: str | None = "V", **options: str
) -> Importance:
    options.setdefault("target", "test")
    result = importance.analyze(trials, space or PAPER, variant=variant, **options)
    assert isinstance(result, Importance), result
    return result


def shares(result: Importance) -> dict[str, float]:
    return {effect.names[0]: effect.share for effect in result.mains}


@pytest.fixture(scope="module")
def known() -> Importance:
    """200 trials of the additive function."""
    return analyzed(entries(additive))


def test_the_shares_of_an_additive_function(known: Importance) -> None:
    # 0.83 learning rate, 0.07 units, 0.10 noise.
    assert shares(known) == pytest.approx(SHARES, abs=0.05)
    assert sorted(SHARES, key=shares(known).__getitem__) == sorted(SHARES, key=SHARES.__getitem__)
    assert known.explained > 0.9
    assert [effect.names for effect in known.pairs] == list(itertools.combinations(SHARES, 2))
    assert max(effect.share for effect in known.pairs) < 0.05
    assert (known.variant, known.target, known.trials) == ("V", "test", 200)
    assert known.backend == "forest"


def test_raw_values_would_say_something_else() -> None:
    trials = entries(additive)
    raw = Space(dataclasses.replace(factor, scale="linear") for factor in PAPER)
    assert shares(analyzed(trials, raw))["learning_rate"] < 0.5


def test_shares_add_up_to_one(known: Importance) -> None:
    effects = [*known.mains, *known.pairs, known.higher_order]
    assert sum(effect.share for effect in effects) == pytest.approx(1.0)
    assert all(effect.share >= 0 and effect.std >= 0 for effect in effects)
    assert known.higher_order.names == ()


def test_another_unit_of_a_hyperparameter_changes_nothing(known: Importance) -> None:
    # Learning rates 1,000 times as large, and noise of another range: the same design.
    space = PAPER.with_ranges({"learning_rate": (1e-3, 10.0), "noise_std": (1.0, 3.0)})
    result = analyzed(entries(additive, space=space), space)
    # Rounding decides between splits that are equally good.
    assert shares(result) == pytest.approx(shares(known), abs=0.005)
    for mine, other in zip(result.marginals, known.marginals, strict=True):
        np.testing.assert_allclose(mine.mean, other.mean, atol=0.02)
    np.testing.assert_allclose(
        result.marginals[1].values, 1e3 * known.marginals[1].values, rtol=1e-9
    )


def test_another_unit_of_the_score_changes_nothing_but_the_unit(known: Importance) -> None:
    result = analyzed(entries(lambda points: 1000 + 50 * additive(points)))
    assert shares(result) == pytest.approx(shares(known), abs=0.005)
    for mine, other in zip(result.marginals, known.marginals, strict=True):
        np.testing.assert_allclose(mine.mean, 1000 + 50 * other.mean, atol=50 * 0.02)
        np.testing.assert_allclose(mine.std, 50 * other.std, atol=50 * 0.02)
    mine, other = result.surfaces[3], known.surfaces[3]
    np.testing.assert_allclose(mine.mean, 1000 + 50 * other.mean, atol=50 * 0.05)


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (3, 2, 1, 0)])
def test_exchanged_roles_exchange_the_results(order: tuple[int, ...], known: Importance) -> None:
    names = list(SHARES)
    result = analyzed(entries(lambda points: additive(points[:, order])))
    expected = {names[place]: shares(known)[name] for place, name in zip(order, names, strict=True)}
    assert shares(result) == pytest.approx(expected, abs=0.06)


def test_marginals_of_an_additive_function_are_the_function(known: Importance) -> None:
    for marginal, factor, share in zip(
        known.marginals, known.factors, SHARES.values(), strict=True
    ):
        assert marginal.name == factor.name
        inside = (marginal.values > factor.low) & (marginal.values < factor.high)
        line = np.sqrt(12 * share) * (factor.to_unit(marginal.values) - 0.5)
        # A forest is flat at the ends, and a share of 0.01 leaks from each factor to the next.
        np.testing.assert_allclose(marginal.mean[inside], line[inside], atol=0.25)
        assert (marginal.std >= 0).all()
    rate = known.marginals[1]
    assert (rate.values[0], rate.values[-1]) == (1e-6, 1e-2)
    np.testing.assert_allclose(np.diff(np.log(rate.values)), np.log(1e4) / 63)


def test_surfaces_show_what_pairs_do_together() -> None:
    # Units matter at a high learning rate only.
    result = analyzed(entries(lambda points: points[:, 0] * (points[:, 1] > 0.5), 300))
    strongest = max(result.pairs, key=lambda effect: effect.share)
    assert strongest.names == ("units", "learning_rate") and strongest.share > 0.1
    assert shares(result)["noise_std"] < 0.05
    surface = result.surfaces[0]
    assert surface.names == ("units", "learning_rate")
    units, rates = surface.values
    assert surface.mean.shape == (len(units), len(rates))
    low, high = rates < 5e-5, rates > 2e-4
    assert np.ptp(surface.mean[:, low], axis=0).max() < 0.25
    assert np.ptp(surface.mean[:, high], axis=0).min() > 0.6
    assert surface.mean[-1, -1] > 0.75 > 0.25 > surface.mean[0, -1]


def test_training_time_is_a_target(known: Importance) -> None:
    result = analyzed(entries(additive), target="seconds")
    assert result.target == "seconds"
    assert shares(result) == pytest.approx(shares(known), abs=0.03)
    # It is 100 - 7 times the score.
    np.testing.assert_allclose(
        result.marginals[1].mean, 100 - 7 * known.marginals[1].mean, atol=1.0
    )


def test_a_fifth_hyperparameter_is_a_factor() -> None:
    space = PAPER.with_ranges({"forget_bias": (0, 2)})
    result = analyzed(entries(lambda points: points[:, 4] + points[:, 1] / 2, space=space), space)
    assert [factor.name for factor in result.factors] == [*SHARES, "forget_bias"]
    assert shares(result)["forget_bias"] == pytest.approx(0.8, abs=0.06)
    assert len(result.pairs) == len(result.surfaces) == 10
    assert max(result.ped_anova, key=result.ped_anova.__getitem__) == "forget_bias"
    curve = result.marginals[-1]
    assert (curve.name, curve.values[0], curve.values[-1]) == ("forget_bias", 0, 2)


@pytest.fixture(scope="module")
def pooled() -> list[TrialRecord]:
    """Three variants of different size that differ by a constant."""
    return [
        entry
        for seed, (variant, offset, count) in enumerate(
            [("NP", 1.0, 150), ("V", 0.0, 60), ("NFG", 3.0, 90), ("FGR", 50.0, 4)]
        )
        for entry in entries(
            lambda points, offset=offset: additive(points) + offset, count, variant, seed=seed
        )
    ]


def test_pooled_variants_are_a_factor(pooled: list[TrialRecord]) -> None:
    result = analyzed(pooled, variant=None)
    assert result.variant is None and result.trials == 300
    variant = result.factors[-1]
    # In the order of their mean; the four trials of FGR are too few.
    assert (variant.name, variant.categories) == ("variant", ("V", "NP", "NFG"))
    # Each variant counts a third, so that their variance is that of 0, 1 and 3.
    total = 1 + np.var([0.0, 1.0, 3.0])
    assert shares(result)["variant"] == pytest.approx(np.var([0.0, 1.0, 3.0]) / total, abs=0.07)
    assert shares(result)["learning_rate"] == pytest.approx(0.826 / total, abs=0.07)
    marginal = result.marginals[-1]
    assert list(marginal.values) == [0, 1, 2]
    np.testing.assert_allclose(marginal.mean, [0.0, 1.0, 3.0], atol=0.25)
    surfaces = [surface for surface in result.surfaces if "variant" in surface.names]
    assert [len(surface.values[1]) for surface in surfaces] == [3] * 4
    assert set(result.ped_anova) == {*SHARES, "variant"}


def test_one_variant_of_many_is_analyzed_alone(pooled: list[TrialRecord]) -> None:
    assert analyzed(pooled, variant="NFG").trials == 90


def test_what_a_user_fixed_is_left_out() -> None:
    space = PAPER.with_ranges(
        {"learning_rate": (1e-3, 1e-3), "noise_std": (0.0, 0.0), "momentum": (0.9, 0.9)}
    )
    result = analyzed(entries(lambda points: points[:, 0], space=space), space)
    assert [effect.names for effect in result.mains] == [("units",)]
    assert result.mains[0].share == pytest.approx(1.0)
    assert result.pairs == result.surfaces == ()
    assert result.higher_order.share == pytest.approx(0.0)
    everything = space.with_ranges({"units": (50, 50)})
    trials = entries(lambda points: points[:, 0], space=everything)
    nothing = importance.analyze(trials, everything, variant="V", target="test")
    assert nothing == InsufficientData("every hyperparameter was fixed")


def test_ped_anova_stands_beside(known: Importance) -> None:
    assert list(known.ped_anova) == list(SHARES)
    assert max(known.ped_anova, key=known.ped_anova.__getitem__) == "learning_rate"


def noise(points: np.ndarray) -> np.ndarray:
    return np.random.default_rng(9).normal(size=len(points))


def one_explodes(points: np.ndarray) -> np.ndarray:
    values = additive(points)
    values[3] = 400.0
    return values


@pytest.mark.parametrize(
    ("trials", "variant", "reason"),
    [
        (entries(additive, 5), "V", "V has 5 finished trials; the analysis needs 20"),
        (entries(additive), "NP", "NP has 0 finished trials; the analysis needs 20"),
        (
            [*entries(additive, 7), *entries(additive, 8, "NP")],
            None,
            "the pooled variants have 15 finished trials; the analysis needs 20",
        ),
        (
            entries(additive),
            None,
            "pooling needs two variants with 5 finished trials; there is 1",
        ),
        ([], None, "pooling needs two variants with 5 finished trials; there are 0"),
        (
            entries(lambda points: np.full(len(points), 8.5)),
            "V",
            "all 200 trials of V have the same test score",
        ),
        (entries(noise), "V", "the test score of V can hardly be predicted"),
    ],
)
def test_too_little_is_said_to_be_too_little(
    trials: list[TrialRecord], variant: str | None, reason: str
) -> None:
    result = importance.analyze(trials, PAPER, variant=variant, target="test")
    assert isinstance(result, InsufficientData)
    assert reason in result.reason


def test_a_trial_far_out_counts_as_the_limit(known: Importance) -> None:
    result = analyzed(entries(one_explodes))
    quartiles = np.quantile(
        [entry.result.test.mean for entry in entries(one_explodes)], [0.25, 0.75]
    )
    assert result.limit == pytest.approx(quartiles[1] + 3 * (quartiles[1] - quartiles[0]))
    assert (result.clipped, known.clipped) == (1, 0)
    assert shares(result) == pytest.approx(shares(known), abs=0.1)


def test_a_single_training_time_is_named_as_the_reason() -> None:
    # Such as that of a computer that slept; times have no limit, since they are skewed anyway.
    trials = entries(additive)
    slept = dataclasses.replace(trials[3].result, seconds=1e6)
    trials[3] = dataclasses.replace(trials[3], result=slept)
    result = importance.analyze(trials, PAPER, variant="V", target="seconds")
    assert isinstance(result, InsufficientData)
    assert "one trial alone makes" in result.reason
