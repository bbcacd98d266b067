"""Arrays over time in blocks of frames: products that need no state use many frames at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

BLOCK = 32
"""Number of frames per block."""

_BLOCKS = 8
"""Most blocks whose products are computed at once."""


def blocks_for(frames: Any) -> Any:
    """Returns the number of blocks needed for a number of frames."""
    return (frames + BLOCK - 1) // BLOCK


def rows(array: Any, start: Any, count: int) -> Any:
    """Extracts some rows of an array, from `start` on."""
    return lax.dynamic_slice_in_dim(array, start, count)


def block(array: Any, number: Any) -> Any:
    """Extracts a block from an array."""
    return rows(array, number * BLOCK, BLOCK)


def row(array: Any, place: Any) -> Any:
    """Extracts a row from an array."""
    return lax.dynamic_index_in_dim(array, place, 0, keepdims=False)


def put(array: Any, rows: Any, place: Any) -> Any:
    """Replaces the rows of an array from `place` on."""
    return lax.dynamic_update_slice_in_dim(array, rows, place, 0)


def total(blocks: Any, most: int, part: Callable[..., Any]) -> Any:
    """Sums over time, several blocks at once: sums of products are one product over many frames.

    Args:
        blocks: number of blocks, at least 1, known only at run time.
        most: its upper bound.
        part: `part(start, count=...)` computes the addends of `count` frames from `start` on.
    """
    parts = [functools.partial(part, count=count * BLOCK) for count in range(1, _BLOCKS + 1)]
    if most <= _BLOCKS:
        return lax.switch(blocks - 1, parts[:most], 0)

    def add(number: Any, sums: Any) -> Any:
        return jax.tree.map(jnp.add, sums, parts[-1](number * _BLOCKS * BLOCK))

    nothing = jax.tree.map(jnp.zeros_like, jax.eval_shape(parts[0], 0))
    whole = blocks // _BLOCKS
    sums = lax.fori_loop(0, whole, add, nothing)
    rest = lax.switch(blocks % _BLOCKS, [lambda _: nothing, *parts[:-1]], whole * _BLOCKS * BLOCK)
    return jax.tree.map(jnp.add, sums, rest)
