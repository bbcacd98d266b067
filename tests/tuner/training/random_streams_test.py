"""Streams against recorded numbers, known answers and the normal distribution."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from tests.tuner.native_code import alone
from tuner.training import random_streams
from tuner.training.native import noise


def test_streams_of_different_purposes_seeds_and_epochs_differ() -> None:
    drawn = [
        random_streams.initial_weights(1, [(4,)], 1.0)[0],
        random_streams.initial_weights(2, [(4,)], 1.0)[0],
        *random_streams.noise(1, 1, [(4,), (4,)], 0),
        next(random_streams.noise(1, 2, [(4,)], 0)),
        next(random_streams.noise(2, 1, [(4,)], 0)),
        random_streams.design(1, "music", "V").standard_normal(4),
        random_streams.design(1, "music", "NP").standard_normal(4),
        random_streams.design(1, "speech", "V").standard_normal(4),
    ]
    for first in range(len(drawn)):
        for second in range(first):
            assert not np.any(drawn[first] == drawn[second])


def test_streams_are_what_they_were() -> None:
    # Recorded: a study must be able to go on under the next release.
    assert random_streams.order(1, 1, 6).tolist() == [0, 3, 2, 4, 5, 1]
    weights = random_streams.initial_weights(7, [(2, 2), (3,)], 0.1)
    assert [part.dtype for part in weights] == [np.float32, np.float32]
    np.testing.assert_allclose(
        np.concatenate([part.ravel() for part in weights]),
        [
            -0.27165267,
            0.071778908,
            -0.10544572,
            0.081317917,
            -0.030882647,
            0.24801372,
            -0.022645572,
        ],
        rtol=1e-6,
    )
    noise = np.concatenate(list(random_streams.noise(7, 2, [(2,), (1,)], 0)))
    np.testing.assert_allclose(noise, [0.25111136, -0.12875400, 1.37082775], rtol=1e-6)


def test_initial_weights_have_the_wished_standard_deviation() -> None:
    (weights,) = random_streams.initial_weights(3, [(40_000,)], 0.1)
    # Five standard errors of mean and standard deviation: one false alarm in a million.
    assert abs(weights.mean()) < 5 * 0.1 / 200
    assert abs(weights.std() - 0.1) < 5 * 0.1 / 200 / np.sqrt(2)


def test_every_epoch_has_its_own_order_of_all_sequences() -> None:
    orders = [random_streams.order(1, epoch, 50) for epoch in (1, 2, 3)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(random_streams.order(2, 1, 50), orders[0])


def test_noise_from_the_middle_of_an_epoch_is_the_rest_of_the_whole() -> None:
    shapes = [(4, 5), (7, 5), (3, 5), (6, 5)]
    whole = list(random_streams.noise(1, 4, shapes, 0))
    rest = list(random_streams.noise(1, 4, shapes, 2))
    for expected, actual in zip(whole[2:], rest, strict=True):
        np.testing.assert_array_equal(actual, expected)


# From the authors' Random123, kat_vectors: key and counter all zero.
def test_threefry_gives_its_authors_known_answer() -> None:
    zero, counter = np.uint32(0), np.zeros(1, np.uint32)
    words = [int(word[0]) for word in random_streams.threefry(zero, zero, counter, counter)]
    assert words == [0x9C6CA96A, 0xE17EAE66, 0xFC10ECD4, 0x5256A7D8]


@pytest.mark.parametrize("count", [1, 4, 7, 35, 5368])
def test_compiled_normals_are_the_same_bits(count: int) -> None:
    key = (0xDEADBEEF, 0x12345678)
    expected = random_streams.standard_normal(key, 77, count)
    out = np.full(count + 4, np.nan, np.float32)
    alone(noise.standard_normal)(np.uint32(key[0]), np.uint32(key[1]), 77, count, out)
    np.testing.assert_array_equal(out[:count], expected)
    assert expected.dtype == np.float32 and expected.shape == (count,)


def test_box_muller_in_float64() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.integers(2**32, size=(2, 10_000), dtype=np.uint32)
    edges = np.array([0, 255, 256, 2**31, 2**32 - 1], np.uint32)
    first, second = (np.concatenate([part, edges]) for part in (first, second[::-1]))
    # Rounded to float32: the largest is 1.
    u = ((np.floor(first / 2**8) + 0.5) / 2**24).astype(np.float32).astype(float)
    angle = 2 * np.pi * second.astype(float) / 2**32 - np.pi
    radius = np.sqrt(-2 * np.log(u))
    one, other = random_streams.box_muller(first, second)
    np.testing.assert_allclose(one, radius * np.cos(angle), atol=3e-6)
    np.testing.assert_allclose(other, radius * np.sin(angle), atol=3e-6)


def test_the_noise_of_an_epoch_is_standard_normal() -> None:
    shapes = [(61, 88)] * 200
    drawn = np.concatenate(
        [part.ravel() for part in random_streams.noise(3, 1, shapes, 0)]
    ).astype(float)
    # Of a million numbers; each bound is about five standard errors.
    assert abs(drawn.mean()) < 5e-3
    assert abs(drawn.std() - 1) < 4e-3
    assert abs(scipy.stats.skew(drawn)) < 1.3e-2
    assert abs(scipy.stats.kurtosis(drawn)) < 2.5e-2
    # False alarms: one in a thousand seeds; this seed is fixed.
    assert scipy.stats.kstest(drawn, "norm").pvalue > 1e-3
    # Neighbors, quarters of a sequence (words of one block) and sequences are independent.
    quarter, length = 61 * 88 // 4, 61 * 88
    for shift in (1, quarter, 2 * quarter, length):
        correlation = np.corrcoef(drawn[:-shift], drawn[shift:])[0, 1]
        assert abs(correlation) < 5e-3, shift
