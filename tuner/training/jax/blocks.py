"""Arrays over time, taken in blocks of frames: what needs no state is multiplied together."""

from __future__ import annotations

from typing import Any

from jax import lax

BLOCK = 32
"""Frames of a block."""


def blocks_for(frames: Any) -> Any:
    """Counts the blocks that hold so many frames."""
    return (frames + BLOCK - 1) // BLOCK


def block(array: Any, number: Any) -> Any:
    """Takes a block out of an array."""
    return lax.dynamic_slice_in_dim(array, number * BLOCK, BLOCK)


def row(array: Any, place: Any) -> Any:
    """Takes a row out of an array."""
    return lax.dynamic_index_in_dim(array, place, 0, keepdims=False)


def put(array: Any, rows: Any, place: Any) -> Any:
    """Replaces the rows of an array from a place on."""
    return lax.dynamic_update_slice_in_dim(array, rows, place, 0)
