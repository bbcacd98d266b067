"""Normal random numbers that any machine computes alike, from any place of a stream on.

A counter-based generator (Threefry 4x32, twenty rounds: Salmon et al. 2011, *Parallel random
numbers: as easy as 1, 2, 3*) gives four words for a key and a counter, so that the noise of the
thousandth sequence costs no more than that of the first. The Box-Muller transform makes two normals
of two words, with arithmetic that IEEE 754 rounds in one way only. NumPy runs it on arrays; the
native engine compiles the same lines for its loops (`tuner.training.native.noise`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

ROTATIONS = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))
"""Bits by which the rounds of Threefry rotate, two words a round; after eight they start again."""

PARITY = 0x1BD11BDA
"""What the fifth word of the key is made odd with."""

_float = np.float32
_SQRT_HALF_BITS = np.int32(np.float32(math.sqrt(0.5)).view(np.int32))
_LN2 = _float(math.log(2))
_LOG = tuple(_float(2 / k) for k in (9, 7, 5, 3, 1))
_SIN = tuple(_float((-1) ** (k // 2) / math.factorial(k)) for k in (11, 9, 7, 5, 3, 1))
_COS = tuple(_float((-1) ** (k // 2) / math.factorial(k)) for k in (12, 10, 8, 6, 4, 2, 0))
_HALF_TURN = _float(math.pi / 2**31)
_ONE = _float(1)


def threefry(key: tuple[int, int], blocks: int, visit: int) -> tuple[np.ndarray, ...]:
    """Returns the four random words of each counter (block, visit, 0, 0).

    Args:
        key: two words; the other two of Threefry's key are 0.
        blocks: counters from block 0 on.
        visit: second word of the counters.

    Returns:
        Four arrays uint32 [blocks].
    """
    keys = [np.uint32(word) for word in (*key, 0, 0, key[0] ^ key[1] ^ PARITY)]
    words = [np.full(blocks, word, np.uint32) for word in keys[:4]]
    words[0] += np.arange(blocks, dtype=np.uint32)
    words[1] += np.uint32(visit)
    for number in range(20):
        rotations = ROTATIONS[number % 8]
        # Words are mixed with their right neighbor, and in the next round with their left one.
        pairs = ((0, 1), (2, 3)) if number % 2 == 0 else ((0, 3), (2, 1))
        for (one, other), rotation in zip(pairs, rotations, strict=True):
            words[one] += words[other]
            left, right = np.uint32(rotation), np.uint32(32 - rotation)
            words[other] = ((words[other] << left) | (words[other] >> right)) ^ words[one]
        if number % 4 == 3:
            injection = number // 4 + 1
            for place in range(4):
                words[place] += keys[(injection + place) % 5]
            words[3] += np.uint32(injection)
    return tuple(words)


def box_muller(first: Any, second: Any) -> tuple[Any, Any]:
    """Makes two independent standard normals of two random words.

        √(-2 ln u) (cos φ, sin φ),   u = (⌊first / 2⁸⌋ + ½) / 2²⁴,   φ = 2 π second / 2³² - π

    None is larger than 5.9, what 24 bits of u allow.

    Args:
        first: uint32, one or an array.
        second: likewise.

    Returns:
        Two float32 of the same shape.
    """
    u = (_float(np.int32(first >> np.uint32(8))) + _float(0.5)) * _float(2.0**-24)
    # ln u = n ln 2 + ln m with m in [√½, √2), and ln m = 2 (s + s³/3 + …), s = (m - 1) / (m + 1).
    bits = np.float32(u).view(np.int32)
    exponent = np.int32((bits - _SQRT_HALF_BITS) >> np.int32(23))
    m = np.int32(bits - (exponent << np.int32(23))).view(np.float32)
    s = (m - _ONE) / (m + _ONE)
    square = s * s
    series = _LOG[0]
    series = series * square + _LOG[1]
    series = series * square + _LOG[2]
    series = series * square + _LOG[3]
    series = series * square + _LOG[4]
    radius = np.sqrt(_float(-2) * (_float(exponent) * _LN2 + series * s))

    # Half the angle is in [-π/2, π/2), where short series are enough.
    angle = _float(np.int32(np.int64(second) - np.int64(2**31))) * _HALF_TURN * _float(0.5)
    square = angle * angle
    sine = _SIN[0]
    sine = sine * square + _SIN[1]
    sine = sine * square + _SIN[2]
    sine = sine * square + _SIN[3]
    sine = sine * square + _SIN[4]
    sine = (sine * square + _SIN[5]) * angle
    cosine = _COS[0]
    cosine = cosine * square + _COS[1]
    cosine = cosine * square + _COS[2]
    cosine = cosine * square + _COS[3]
    cosine = cosine * square + _COS[4]
    cosine = cosine * square + _COS[5]
    cosine = cosine * square + _COS[6]
    return radius * (cosine * cosine - sine * sine), radius * (_float(2) * sine * cosine)


def standard_normal(key: tuple[int, int], visit: int, count: int) -> np.ndarray:
    """Draws the normals of one visit, float32 [count].

    Word w of block b becomes the normal at place w ⌈count / 4⌉ + b.

    Args:
        key: two 32-bit words that name the stream.
        visit: which visit, from 0.
        count: how many.

    Example:
        >>> [round(float(x), 4) for x in standard_normal((1, 2), visit=0, count=3)]
        [1.3576, 0.2635, -0.7411]
    """
    words = threefry(key, -(-count // 4), visit)
    return np.concatenate([*box_muller(*words[:2]), *box_muller(*words[2:])])[:count]
