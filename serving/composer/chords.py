"""Chords sampled from a model's probabilities of single notes."""

from __future__ import annotations

import numpy as np


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Computes the probability of each note, σ(logit / temperature).

    Args:
        logits: logits of the notes, of any shape.
        temperature: above 0; 1 keeps the model's probabilities, less favors what is likely.

    Returns:
        Array of float64 with the shape of `logits`.

    Example:
        >>> probabilities(np.array([0.0, np.log(3.0)]), 1.0).round(2).tolist()
        [0.5, 0.75]
    """
    scaled = logits.astype(np.float64) / temperature
    # exp of a negative number only: no overflow on either side.
    small = np.exp(-np.abs(scaled))
    return np.where(scaled >= 0, 1.0, small) / (1.0 + small)


def draw(
    probability: np.ndarray, most: int, generator: np.random.Generator
) -> np.ndarray:
    """Samples a chord of independent notes, given that it has no more than `most`.

    With S(j, r) the probability that at most r of the notes j, j + 1, ... sound,

        S(j, r) = (1 - p_j) S(j + 1, r) + p_j S(j + 1, r - 1),   S(·, -1) = 0,

    and r more notes allowed, note j sounds with probability p_j S(j + 1, r - 1) / S(j, r). This is
    the exact conditional distribution, and no sample is rejected.

    Args:
        probability: probability of each note, `[notes]`.
        most: largest number of notes in the chord.
        generator: source of randomness; one number is drawn per note.

    Returns:
        Array of uint8, `[notes]`, of zeros and ones.

    Example:
        >>> draw(np.array([0.9, 1.0, 0.9]), 1, np.random.default_rng(1)).tolist()
        [0, 1, 0]
    """
    at_most = _at_most(probability, most)
    chord = np.zeros(len(probability), np.uint8)
    left = most
    for note, (p, number) in enumerate(
        zip(probability, generator.random(len(probability)), strict=True)
    ):
        if left > 0 and number * at_most[note, left] < p * at_most[note + 1, left - 1]:
            chord[note] = 1
            left -= 1
    return chord


def _at_most(probability: np.ndarray, most: int) -> np.ndarray:
    """Computes S, `[notes + 1, most + 1]`."""
    notes = len(probability)
    table = np.ones((notes + 1, most + 1))
    for note in reversed(range(notes)):
        p, after = probability[note], table[note + 1]
        table[note] = (1 - p) * after
        table[note, 1:] += p * after[:-1]
    return table


def nll(logits: np.ndarray, chord: np.ndarray) -> float:
    """Computes the negative log-likelihood of a chord under independent notes.

        -Σ_j log(σ(l_j) if note j sounds else 1 - σ(l_j))

    Args:
        logits: logits of the notes, `[notes]`.
        chord: `[notes]` of zeros and ones.

    Returns:
        The negative log-likelihood in nats.

    Example:
        >>> round(nll(np.zeros(88), np.zeros(88)), 3)  # 88 log 2
        60.997
    """
    signed = np.where(chord, -logits.astype(np.float64), logits)
    return float(np.logaddexp(0.0, signed).sum())
