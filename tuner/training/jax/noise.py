"""The input noise of `tuner.training.random_streams`, drawn on the device.

The words are identical bit for bit; the normals are equal up to rounding, since a compiler may
contract products and sums.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from tuner.training import random_streams

_BLOCK = 256
"""Number of blocks of four words that are drawn together."""

_threefry = random_streams.make_threefry(lambda function: function, jnp.uint32)
_box_muller = random_streams.make_box_muller(jnp)


def standard_normal(key: Any, visit: Any, count: Any, room: int) -> Any:
    """Draws the normals of a visit; see `tuner.training.random_streams.standard_normal`.

    Args:
        key: key of the stream, uint32 `[2]`.
        visit: number of the visit, from 0.
        count: number of normals.
        room: size of the result, at least `count`.

    Returns:
        float32 `[room]`, of which the first `count` numbers are the normals.
    """
    blocks = (count + 3) // 4
    most = -(-room // (4 * _BLOCK)) * _BLOCK

    def draw(number: Any, normals: Any) -> Any:
        start = number * _BLOCK
        block = (start + jnp.arange(_BLOCK)).astype(jnp.uint32)
        words = _threefry(key[0], key[1], block, jnp.full_like(block, visit))
        drawn = jnp.stack([*_box_muller(*words[:2]), *_box_muller(*words[2:])])
        return lax.dynamic_update_slice_in_dim(normals, drawn, start, 1)

    normals = jnp.zeros((4, most), jnp.float32)
    normals = lax.fori_loop(0, (blocks + _BLOCK - 1) // _BLOCK, draw, normals)
    placed = jnp.zeros(4 * most, jnp.float32)
    for word in range(4):
        # The normals of the next word overwrite everything past those of this one.
        placed = lax.dynamic_update_slice_in_dim(placed, normals[word], word * blocks, 0)
    return placed[:room]
