"""Random numbers of a study, the same for every engine, on every device, after every interruption.

They are drawn on the host. Every stream is a NumPy generator seeded by what it is for; two streams
never share a state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np


def _generator(purpose: str, *keys: int | str) -> np.random.Generator:
    """Makes the generator of one purpose; texts count through 64 bits of their SHA-256."""
    entropy = [
        int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
        if isinstance(key, str)
        else key
        for key in (purpose, *keys)
    ]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def design(seed: int, task: str, variant: str) -> np.random.Generator:
    """Returns the generator of a study's design, independent between tasks and variants."""
    return _generator("design", seed, task, variant)


def initial_weights(
    seed: int, shapes: Sequence[tuple[int, ...]], std: float
) -> tuple[np.ndarray, ...]:
    """Draws a network's initial weights, N(0, std²) for every weight and bias.

    Args:
        seed: the trial's seed.
        shapes: shapes of the weights in the order of `keras.Model.get_weights()`.
        std: standard deviation.

    Returns:
        One float32 array a shape.
    """
    generator = _generator("weights", seed)
    scale = np.float32(std)
    return tuple(scale * generator.standard_normal(shape, dtype=np.float32) for shape in shapes)


def order(order_seed: int, epoch: int, count: int) -> np.ndarray:
    """Draws the order in which an epoch visits `count` sequences, int64 [count]."""
    return _generator("order", order_seed, epoch).permutation(count)


def noise(
    seed: int, epoch: int, shapes: Sequence[tuple[int, ...]], start: int
) -> Iterator[np.ndarray]:
    """Draws the standard normal input noise of an epoch, sequence after sequence as visited.

    Args:
        seed: the trial's seed.
        epoch: which epoch, from 1.
        shapes: shape of every sequence in the order of the visits.
        start: first visit whose noise is wanted; earlier draws are made and dropped.

    Yields:
        One float32 array for each of `shapes[start:]`.
    """
    generator = _generator("noise", seed, epoch)
    for visit, shape in enumerate(shapes):
        drawn = generator.standard_normal(shape, dtype=np.float32)
        if visit >= start:
            yield drawn
