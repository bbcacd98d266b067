"""Chords against every chord there is: exact distributions of a few notes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from serving.composer import chords

PROBABILITY = np.array([0.15, 0.8, 0.35, 0.6, 0.05])


def exact(probability: np.ndarray, most: int) -> dict[tuple[int, ...], float]:
    """Probability of each chord with at most so many notes, by listing them all."""
    every = {
        chord: float(np.prod(np.where(chord, probability, 1 - probability)))
        for chord in itertools.product((0, 1), repeat=len(probability))
        if sum(chord) <= most
    }
    return {chord: weight / sum(every.values()) for chord, weight in every.items()}


@pytest.mark.parametrize("most", [1, 2, 4, 5])
def test_chords_come_as_often_as_they_are_probable(most: int) -> None:
    generator = np.random.default_rng(most)
    draws = 20_000
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(draws):
        chord = tuple(chords.draw(PROBABILITY, most, generator).tolist())
        counts[chord] = counts.get(chord, 0) + 1
    expected = exact(PROBABILITY, most)
    assert set(counts) <= set(expected)
    # A sum of squares of about normal deviations, one a chord: chi-squared, far out on its tail.
    deviations = [
        (counts.get(chord, 0) - draws * p) ** 2 / (draws * p) for chord, p in expected.items()
    ]
    freedom = len(expected) - 1
    assert sum(deviations) < freedom + 5 * np.sqrt(2 * freedom)


def test_certain_notes_fill_the_chord_and_impossible_ones_never_come() -> None:
    generator = np.random.default_rng(3)
    probability = np.array([1.0, 0.0, 1.0, 0.5])
    drawn = np.stack([chords.draw(probability, 2, generator) for _ in range(50)])
    np.testing.assert_array_equal(drawn, np.tile([1, 0, 1, 0], (50, 1)))


def test_a_frame_takes_one_random_number_a_note() -> None:
    """So that a limit on the voices does not shift the numbers of later frames."""
    first, second = np.random.default_rng(8), np.random.default_rng(8)
    chords.draw(PROBABILITY, 1, first)
    chords.draw(PROBABILITY, 5, second)
    assert first.random() == second.random()


def test_temperature_divides_logits() -> None:
    logits = np.array([-1_000.0, -2.0, 0.0, 3.0, 1_000.0], np.float32)
    with np.errstate(over="raise"):
        found = chords.probabilities(logits, 0.5)
    np.testing.assert_allclose(found[1:4], 1 / (1 + np.exp(-logits[1:4].astype(float) / 0.5)))
    np.testing.assert_array_equal(found[[0, 4]], [0, 1])


def test_nll_is_that_of_the_probabilities() -> None:
    generator = np.random.default_rng(5)
    logits = generator.normal(scale=3, size=88)
    chord = generator.integers(0, 2, 88)
    probability = 1 / (1 + np.exp(-logits))
    expected = -np.log(np.where(chord, probability, 1 - probability)).sum()
    assert chords.nll(logits, chord) == pytest.approx(expected, rel=1e-12)
    assert chords.nll(np.array([800.0]), np.array([0])) == pytest.approx(800)
