"""The normals of `tuner.training.random_streams`, bit for bit, compiled into the engine's loops."""

from __future__ import annotations

import numpy as np

from tuner.training import random_streams
from tuner.training.native.compiling import compiled, inlined

_threefry = random_streams.make_threefry(inlined)
_box_muller = inlined(random_streams.box_muller)
_word = np.uint32


@compiled
def standard_normal(low, high, visit, count, out):
    """Draws the normals of one visit.

    Args:
        low: first word of the key, uint32.
        high: second word of the key, uint32.
        visit: number of the visit, from 0.
        count: number of normals.
        out: array that receives them, float32 [4 ⌈count / 4⌉ or more].
    """
    blocks = (count + 3) // 4
    # Views indexed from 0: an index that may be negative keeps a loop from being vectorized.
    first, second = out[:blocks], out[blocks : 2 * blocks]
    third, fourth = out[2 * blocks : 3 * blocks], out[3 * blocks : 4 * blocks]
    for block in range(blocks):
        a, b, c, d = _threefry(low, high, _word(block), _word(visit))
        first[block], second[block] = _box_muller(a, b)
        third[block], fourth[block] = _box_muller(c, d)
