"""Random numbers of a study, the same for every engine, on every device, after every interruption.

They are drawn on the host. Every stream is a generator seeded by what it is for - NumPy's, and for
the noise, which every engine needs fast and from any sequence of an epoch on, that of
`tuner.training.normals`; two streams never share a state.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence

import numpy as np

from tuner.training import normals


def _seeds(purpose: str, *keys: int | str) -> np.random.SeedSequence:
    """Makes the seeds of one purpose; texts count through 64 bits of their SHA-256."""
    return np.random.SeedSequence(
        [
            int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
            if isinstance(key, str)
            else key
            for key in (purpose, *keys)
        ]
    )


def _generator(purpose: str, *keys: int | str) -> np.random.Generator:
    """Makes the generator of one purpose."""
    return np.random.Generator(np.random.PCG64(_seeds(purpose, *keys)))


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


def noise_key(seed: int, epoch: int) -> tuple[int, int]:
    """Returns the two 32-bit words that name the noise of an epoch; see `tuner.training.normals`.

    Args:
        seed: the trial's seed.
        epoch: which epoch, from 1.
    """
    low, high = _seeds("noise", seed, epoch).generate_state(2, np.uint32)
    return int(low), int(high)


def noise(
    seed: int, epoch: int, shapes: Sequence[tuple[int, ...]], start: int
) -> Iterator[np.ndarray]:
    """Draws the standard normal input noise of an epoch, sequence after sequence as visited.

    Args:
        seed: the trial's seed.
        epoch: which epoch, from 1.
        shapes: shape of every sequence in the order of the visits.
        start: first visit whose noise is wanted.

    Yields:
        One float32 array for each of `shapes[start:]`.
    """
    key = noise_key(seed, epoch)
    for visit, shape in enumerate(shapes[start:], start):
        yield normals.standard_normal(key, visit, math.prod(shape)).reshape(shape)
