"""The normals of `tuner.training.normals`, bit for bit, compiled into the engine's loops."""

from __future__ import annotations

import numpy as np

from tuner.training import normals
from tuner.training.native.compiling import compiled, inlined

_R = normals.ROTATIONS
_PARITY = np.uint32(normals.PARITY)
_word = np.uint32

_box_muller = inlined(normals.box_muller)


@inlined
def _rotate(word, left):
    return _word((word << _word(left)) | (word >> _word(32 - left)))


@inlined
def _round(a, b, c, d, first, second):
    a = _word(a + b)
    c = _word(c + d)
    return a, _rotate(b, first) ^ a, c, _rotate(d, second) ^ c


@inlined
def _even_rounds(a, b, c, d):
    """Rounds 0 to 3 of every eight."""
    a, b, c, d = _round(a, b, c, d, _R[0][0], _R[0][1])
    a, d, c, b = _round(a, d, c, b, _R[1][0], _R[1][1])
    a, b, c, d = _round(a, b, c, d, _R[2][0], _R[2][1])
    a, d, c, b = _round(a, d, c, b, _R[3][0], _R[3][1])
    return a, b, c, d


@inlined
def _odd_rounds(a, b, c, d):
    """Rounds 4 to 7 of every eight."""
    a, b, c, d = _round(a, b, c, d, _R[4][0], _R[4][1])
    a, d, c, b = _round(a, d, c, b, _R[5][0], _R[5][1])
    a, b, c, d = _round(a, b, c, d, _R[6][0], _R[6][1])
    a, d, c, b = _round(a, d, c, b, _R[7][0], _R[7][1])
    return a, b, c, d


@inlined
def _inject(words, keys, number):
    """Adds four words of the key, and the injection's number to the last."""
    return (
        _word(words[0] + keys[0]),
        _word(words[1] + keys[1]),
        _word(words[2] + keys[2]),
        _word(words[3] + keys[3] + number),
    )


@inlined
def _threefry(low, high, parity, block, visit):
    """Returns the words of the counter (block, visit, 0, 0) under the key (low, high, 0, 0).

    Injection s adds the words s, s + 1, s + 2, s + 3 of the five (low, high, 0, 0, parity).
    """
    zero = _word(0)
    words = _inject((block, visit, zero, zero), (low, high, zero, zero), zero)
    words = _inject(_even_rounds(*words), (high, zero, zero, parity), _word(1))
    words = _inject(_odd_rounds(*words), (zero, zero, parity, low), _word(2))
    words = _inject(_even_rounds(*words), (zero, parity, low, high), _word(3))
    words = _inject(_odd_rounds(*words), (parity, low, high, zero), _word(4))
    return _inject(_even_rounds(*words), (low, high, zero, zero), _word(5))


@compiled
def standard_normal(low, high, visit, count, out):
    """Draws the normals of one visit.

    Args:
        low: first word of the key, uint32.
        high: second word of the key, uint32.
        visit: which visit.
        count: how many normals.
        out: where they go, float32 [4 ⌈count / 4⌉ or more].
    """
    parity = low ^ high ^ _PARITY
    blocks = (count + 3) // 4
    # Each a view from 0 on: an index that may be negative keeps a loop from being vectorized.
    first, second = out[:blocks], out[blocks : 2 * blocks]
    third, fourth = out[2 * blocks : 3 * blocks], out[3 * blocks : 4 * blocks]
    for block in range(blocks):
        a, b, c, d = _threefry(low, high, parity, _word(block), _word(visit))
        first[block], second[block] = _box_muller(a, b)
        third[block], fourth[block] = _box_muller(c, d)
