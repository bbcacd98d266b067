"""Arrays over time in blocks of frames: products that need no state use a whole block at once."""

from __future__ import annotations

from typing import Any

from jax import lax

BLOCK = 32
"""Number of frames per block."""


def blocks_for(frames: Any) -> Any:
    """Returns the number of blocks needed for a number of frames."""
    return (frames + BLOCK - 1) // BLOCK


def block(array: Any, number: Any) -> Any:
    """Extracts a block from an array."""
    return lax.dynamic_slice_in_dim(array, number * BLOCK, BLOCK)


def row(array: Any, place: Any) -> Any:
    """Extracts a row from an array."""
    return lax.dynamic_index_in_dim(array, place, 0, keepdims=False)


def put(array: Any, rows: Any, place: Any) -> Any:
    """Replaces the rows of an array from `place` on."""
    return lax.dynamic_update_slice_in_dim(array, rows, place, 0)
