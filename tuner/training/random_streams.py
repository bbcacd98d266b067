"""Random numbers of a study, the same for every engine and device, and after every interruption.

Every stream is a generator seeded by its purpose, and no two streams share a state. Designs,
weights and orders come from NumPy's generators. The noise, which every engine needs fast and from
any sequence of an epoch on, comes from a counter-based generator (Threefry 4x32, twenty rounds:
Salmon et al. 2011, *Parallel random numbers: as easy as 1, 2, 3*): drawing it for the thousandth
sequence costs no more than for the first. The Box-Muller transform makes it normal, with arithmetic
that IEEE 754 rounds in only one way. NumPy runs both on arrays; the engines `native` and `jax`
compile the same functions (in `jax`, the compiler may change the rounding).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np


def _seeds(purpose: str, *keys: int | str) -> np.random.SeedSequence:
    """Makes the seed sequence of one purpose; strings enter as 64 bits of their SHA-256."""
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
    """Returns the generator of a study's design, independent across tasks and variants."""
    return _generator("design", seed, task, variant)


def proposal(seed: int, task: str, sampler: str, index: int) -> np.random.Generator:
    """Returns the generator of one proposal of a sampler.

    Args:
        seed: seed of the search.
        task: name of the task.
        sampler: name of the sampler, and of the purpose within it.
        index: number of earlier proposals.
    """
    return _generator("proposal", seed, task, sampler, index)


def trial_seed(seed: int, values: str, execution: int) -> int:
    """Draws the seed of a trial proposed by an external search.

    Args:
        seed: seed of the search.
        values: the hyperparameters as text.
        execution: number of times that they have been tried before.
    """
    return int(_seeds("trial", seed, values, execution).generate_state(1, np.uint64)[0])


def initial_weights(
    seed: int, shapes: Sequence[tuple[int, ...]], std: float
) -> tuple[np.ndarray, ...]:
    """Draws a network's initial weights, N(0, std²) for every weight and bias.

    Args:
        seed: the trial's seed.
        shapes: shapes of the weights in the order of `keras.Model.get_weights()`.
        std: standard deviation.

    Returns:
        One float32 array per shape.
    """
    generator = _generator("weights", seed)
    scale = np.float32(std)
    return tuple(scale * generator.standard_normal(shape, dtype=np.float32) for shape in shapes)


def order(order_seed: int, epoch: int, count: int) -> np.ndarray:
    """Draws the order in which an epoch visits `count` sequences, int64 [count]."""
    return _generator("order", order_seed, epoch).permutation(count)


def noise_key(seed: int, epoch: int) -> tuple[int, int]:
    """Returns the key of a trial's noise in an epoch (from 1): two 32-bit words."""
    low, high = _seeds("noise", seed, epoch).generate_state(2, np.uint32)
    return int(low), int(high)


def noise(
    seed: int, epoch: int, shapes: Sequence[tuple[int, ...]], start: int
) -> Iterator[np.ndarray]:
    """Draws the standard normal input noise of an epoch, sequence by sequence in visiting order.

    Args:
        seed: the trial's seed.
        epoch: number of the epoch, from 1.
        shapes: shapes of the sequences in visiting order.
        start: first visit to draw noise for.

    Yields:
        One float32 array for each of `shapes[start:]`.
    """
    key = noise_key(seed, epoch)
    for visit, shape in enumerate(shapes[start:], start):
        yield standard_normal(key, visit, math.prod(shape)).reshape(shape)


def standard_normal(key: tuple[int, int], visit: int, count: int) -> np.ndarray:
    """Draws the normals of one visit, float32 [count].

    Word w of block b becomes the normal at index w ⌈count / 4⌉ + b.

    Args:
        key: key of the stream, two 32-bit words.
        visit: number of the visit, from 0.
        count: number of normals.

    Example:
        >>> [round(float(x), 4) for x in standard_normal((1, 2), visit=0, count=3)]
        [1.3576, 0.2635, -0.7411]
    """
    low, high = map(np.uint32, key)
    blocks = np.arange(-(-count // 4), dtype=np.uint32)
    words = threefry(low, high, blocks, np.full_like(blocks, visit))
    return np.concatenate([*box_muller(*words[:2]), *box_muller(*words[2:])])[:count]


_ROTATIONS = ((10, 26), (11, 21), (13, 27), (23, 5)), ((6, 20), (17, 11), (25, 10), (18, 20))
_PARITY = np.uint32(0x1BD11BDA)


def make_threefry(decorate: Callable[[Any], Any], word: Any = np.uint32) -> Any:
    """Makes `threefry`.

    Args:
        decorate: a decorator for each of its functions.
        word: converts a number or array to 32 bits. (In compiled code, 32-bit arithmetic has
            64-bit results, which it truncates.)
    """

    @decorate
    def rotate(bits: Any, left: Any) -> Any:
        return word((bits << word(left)) | (bits >> word(32 - left)))

    @decorate
    def mix(a: Any, b: Any, c: Any, d: Any, rotations: Any) -> Any:
        a = word(a + b)
        c = word(c + d)
        return a, rotate(b, rotations[0]) ^ a, c, rotate(d, rotations[1]) ^ c

    @decorate
    def four_rounds(words: Any, rotations: Any) -> Any:
        """Mixes words with their right neighbors in one round and their left ones in the next."""
        a, b, c, d = words
        a, b, c, d = mix(a, b, c, d, rotations[0])
        a, d, c, b = mix(a, d, c, b, rotations[1])
        a, b, c, d = mix(a, b, c, d, rotations[2])
        a, d, c, b = mix(a, d, c, b, rotations[3])
        return a, b, c, d

    @decorate
    def inject(words: Any, keys: Any, number: Any) -> Any:
        """Adds four words of the key, and the injection's number to the last word."""
        return (
            word(words[0] + keys[0]),
            word(words[1] + keys[1]),
            word(words[2] + keys[2]),
            word(words[3] + keys[3] + word(number)),
        )

    @decorate
    def threefry(low: Any, high: Any, block: Any, visit: Any) -> Any:
        """Returns the four random words of the counter (block, visit, 0, 0).

        The key is (low, high, 0, 0). Injection s adds the words s, s + 1, s + 2, s + 3 of the five
        (low, high, 0, 0, parity). Arguments and results are uint32, numbers or arrays.
        """
        even, odd = _ROTATIONS
        zero = word(0)
        nothing = block ^ block
        parity = low ^ high ^ _PARITY
        words = inject((block, visit, nothing, nothing), (low, high, zero, zero), 0)
        words = inject(four_rounds(words, even), (high, zero, zero, parity), 1)
        words = inject(four_rounds(words, odd), (zero, zero, parity, low), 2)
        words = inject(four_rounds(words, even), (zero, parity, low, high), 3)
        words = inject(four_rounds(words, odd), (parity, low, high, zero), 4)
        return inject(four_rounds(words, even), (low, high, zero, zero), 5)

    return threefry


threefry = make_threefry(lambda function: function)
"""Computes four random words for each counter in an array."""

_float = np.float32
_SQRT_HALF_BITS = np.int32(np.float32(math.sqrt(0.5)).view(np.int32))
_LN2 = _float(math.log(2))
_LOG = tuple(_float(2 / k) for k in (9, 7, 5, 3, 1))
_SIN = tuple(_float((-1) ** (k // 2) / math.factorial(k)) for k in (11, 9, 7, 5, 3, 1))
_COS = tuple(_float((-1) ** (k // 2) / math.factorial(k)) for k in (12, 10, 8, 6, 4, 2, 0))
_HALF_TURN = _float(math.pi / 2**31)
_ONE = _float(1)


def make_box_muller(numbers: Any = np) -> Any:
    """Makes `box_muller`.

    Args:
        numbers: a module with NumPy's dtypes and functions.
    """
    float32, int32, uint32, sqrt = numbers.float32, numbers.int32, numbers.uint32, numbers.sqrt

    def box_muller(first: Any, second: Any) -> tuple[Any, Any]:
        """Makes two independent standard normals from two random words.

            √(-2 ln u) (cos φ, sin φ),   u = (⌊first / 2⁸⌋ + ½) / 2²⁴,   φ = 2 π second / 2³² - π

        None is larger than 5.9, the most that 24 bits of u allow.

        Args:
            first: uint32, a number or an array.
            second: uint32 of the same shape.

        Returns:
            Two float32 numbers or arrays of that shape.
        """
        u = (float32(int32(first >> uint32(8))) + _float(0.5)) * _float(2.0**-24)
        # ln u = n ln 2 + ln m with m in [√½, √2);
        # ln m = 2 (s + s³/3 + …) with s = (m - 1) / (m + 1).
        bits = float32(u).view(np.int32)
        exponent = int32((bits - _SQRT_HALF_BITS) >> np.int32(23))
        m = int32(bits - (exponent << np.int32(23))).view(np.float32)
        s = (m - _ONE) / (m + _ONE)
        square = s * s
        series = _LOG[0]
        for k in range(1, 5):
            series = series * square + _LOG[k]
        radius = sqrt(_float(-2) * (float32(exponent) * _LN2 + series * s))

        # Half the angle is in [-π/2, π/2), where short series are enough.
        signed = uint32(second ^ uint32(2**31)).view(np.int32)
        angle = float32(signed) * _HALF_TURN * _float(0.5)
        square = angle * angle
        sine = _SIN[0]
        for k in range(1, 6):
            sine = sine * square + _SIN[k]
        sine = sine * angle
        cosine = _COS[0]
        for k in range(1, 7):
            cosine = cosine * square + _COS[k]
        return radius * (cosine * cosine - sine * sine), radius * (_float(2) * sine * cosine)

    return box_muller


box_muller = make_box_muller()
"""Computes two normals for each pair of words from two arrays."""
