"""The normals of `tuner.normals`, bit for bit, compiled into the engine's loops."""

from __future__ import annotations

import numpy as np

from tuner import normals
from tuner.native.compiling import compiled, inlined

_R = normals.ROTATIONS
_PARITY = np.uint32(normals.PARITY)
_word = np.uint32

_box_muller = inlined(normals.box_muller)


@inlined
def _rotate(word, left):  # type: ignore[no-untyped-def]
    return _word((word << _word(left)) | (word >> _word(32 - left)))


@inlined
def _round(a, b, c, d, first, second):  # type: ignore[no-untyped-def]
    a = _word(a + b)
    c = _word(c + d)
    return a, _rotate(b, first) ^ a, c, _rotate(d, second) ^ c


@inlined
def _even_rounds(a, b, c, d):  # type: ignore[no-untyped-def]
    """Rounds 0 to 3 of every eight."""
    a, b, c, d = _round(a, b, c, d, _R[0][0], _R[0][1])
    a, d, c, b = _round(a, d, c, b, _R[1][0], _R[1][1])
    a, b, c, d = _round(a, b, c, d, _R[2][0], _R[2][1])
    a, d, c, b = _round(a, d, c, b, _R[3][0], _R[3][1])
    return a, b, c, d


@inlined
def _odd_rounds(a, b, c, d):  # type: ignore[no-untyped-def]
    """Rounds 4 to 7 of every eight."""
    a, b, c, d = _round(a, b, c, d, _R[4][0], _R[4][1])
    a, d, c, b = _round(a, d, c, b, _R[5][0], _R[5][1])
    a, b, c, d = _round(a, b, c, d, _R[6][0], _R[6][1])
    a, d, c, b = _round(a, d, c, b, _R[7][0], _R[7][1])
    return a, b, c, d


@inlined
def _threefry(k, l, m, block, visit):  # type: ignore[no-untyped-def]
    """Returns the words of one counter under the key (k, l, 0, 0); m is the key's fifth word."""
    a, b, c, d = _word(block + k), _word(visit + l), _word(0), _word(0)
    a, b, c, d = _even_rounds(a, b, c, d)
    b, c, d = _word(b + _word(0)), c, _word(d + m)
    a, d = _word(a + l), _word(d + _word(1))
    a, b, c, d = _odd_rounds(a, b, c, d)
    b, c, d = _word(b), _word(c + m), _word(d + k + _word(2))
    a, b, c, d = _even_rounds(a, b, c, d)
    b, c, d = _word(b + m), _word(c + k), _word(d + l + _word(3))
    a, b, c, d = _odd_rounds(a, b, c, d)
    a, b, c, d = _word(a + m), _word(b + k), _word(c + l), _word(d + _word(4))
    a, b, c, d = _even_rounds(a, b, c, d)
    return _word(a + k), _word(b + l), c, _word(d + _word(5))


@compiled
def standard_normal(k, l, visit, count, out):  # type: ignore[no-untyped-def]
    """Draws the normals of one visit.

    Args:
        k: first word of the key, uint32.
        l: second word of the key, uint32.
        visit: which visit.
        count: how many normals.
        out: where they go, float32 [4 ⌈count / 4⌉ or more].
    """
    m = k ^ l ^ _PARITY
    blocks = (count + 3) // 4
    # Each a view from 0 on: an index that may be negative keeps a loop from being vectorized.
    first, second = out[:blocks], out[blocks : 2 * blocks]
    third, fourth = out[2 * blocks : 3 * blocks], out[3 * blocks : 4 * blocks]
    for block in range(blocks):
        a, b, c, d = _threefry(k, l, m, _word(block), _word(visit))
        first[block], second[block] = _box_muller(a, b)
        third[block], fourth[block] = _box_muller(c, d)
