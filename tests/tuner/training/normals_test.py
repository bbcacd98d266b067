"""The generator of the noise against known answers and against the normal distribution."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from tuner.training import normals, random_streams
from tuner.training.native import noise
from tuner.training.native.compiling import compiled


@compiled
def compiled_normals(low, high, visit, count, out):
    noise.standard_normal(low, high, visit, count, out)


# From the authors' Random123, kat_vectors: key and counter all zero.
def test_threefry_gives_its_authors_known_answer() -> None:
    words = [int(word[0]) for word in normals.threefry((0, 0), 1, 0)]
    assert words == [0x9C6CA96A, 0xE17EAE66, 0xFC10ECD4, 0x5256A7D8]


@pytest.mark.parametrize("count", [1, 4, 7, 35, 5368])
def test_compiled_normals_are_the_same_bits(count: int) -> None:
    key = (0xDEADBEEF, 0x12345678)
    expected = normals.standard_normal(key, 77, count)
    out = np.full(count + 4, np.nan, np.float32)
    compiled_normals(np.uint32(key[0]), np.uint32(key[1]), 77, count, out)
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
    one, other = normals.box_muller(first, second)
    np.testing.assert_allclose(one, radius * np.cos(angle), atol=3e-6)
    np.testing.assert_allclose(other, radius * np.sin(angle), atol=3e-6)


def test_the_noise_of_an_epoch_is_standard_normal() -> None:
    shapes = [(61, 88)] * 200
    drawn = np.concatenate([part.ravel() for part in random_streams.noise(3, 1, shapes, 0)]
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


def test_noise_may_begin_with_any_visit_and_differs_between_streams() -> None:
    shapes = [(4, 5), (7, 5), (3, 5), (6, 5)]
    whole = list(random_streams.noise(3, 2, shapes, 0))
    for one, other in zip(whole[2:], random_streams.noise(3, 2, shapes, 2), strict=True):
        np.testing.assert_array_equal(one, other)
    others = [next(random_streams.noise(*stream, shapes, 0)) for stream in ((3, 1), (4, 2))]
    for other in (*others, whole[1][:4]):
        assert not np.any(other == whole[0])
