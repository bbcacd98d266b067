"""Splits the sequences of a scan into blocks of steps, and stores the results of each block."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import tensorflow as tf

from zoo.variant_cell import Tensor

_BLOCK_NUMBERS = 16384  # Per gate and block: small enough to keep a block in a core's cache.
_BLOCK_STEPS = (4, 10)  # Minimum and maximum.
_UNKNOWN_BATCH = 16


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Division of the steps of a sequence into blocks.

    Attributes:
        time, count: number of steps and of blocks; tensors if not known statically.
        steps: number of steps per block.
        full: whether the blocks fit the steps exactly; otherwise the last block is padded.
    """

    time: int | Tensor
    count: int | Tensor
    steps: int
    full: bool

    @classmethod
    def plan(cls, inputs: Tensor, c: Tensor) -> Blocks:
        """Chooses the blocks for inputs `(time, ...)` and a cell state `(batch, units)`."""
        batch, units = c.shape
        numbers = (batch or _UNKNOWN_BATCH) * units
        steps = sorted([_BLOCK_NUMBERS // numbers, *_BLOCK_STEPS])[1]
        time = inputs.shape[0]
        if time is None:
            time = tf.shape(inputs)[0]
            return cls(time, (time + steps - 1) // steps, steps, full=False)
        # Avoiding padding saves more than the best size does; otherwise blocks are about equal.
        full = [size for size in range(_BLOCK_STEPS[0], _BLOCK_STEPS[1] + 1) if time % size == 0]
        even = math.ceil(time / math.ceil(time / steps))
        steps = min(full, key=lambda size: abs(size - steps), default=even)
        count = math.ceil(time / steps)
        return cls(time, count, steps, full=count * steps == time)

    def cut(self, tensor: Tensor) -> Tensor:
        """Reshapes `(time, ...)` to `(count, steps, ...)`, padding with 0 or False."""
        if not self.full:
            missing = self.count * self.steps - self.time
            tensor = tf.pad(tensor, [[0, missing], *([[0, 0]] * (len(tensor.shape) - 1))])
        return tf.reshape(tensor, [self.count, self.steps, *_shape(tensor)[1:]])

    def new(self, like: Tensor) -> tf.TensorArray:
        """Creates an empty `TensorArray` for the blocks of a tensor `(time, ...)` like `like`."""
        shape = [self.steps, *like.shape[1:]]
        # LiteRT's interpreter overruns arrays of partly known shape; it rejects unknown shapes.
        known = None if None in shape else shape
        return tf.TensorArray(like.dtype, self.count, clear_after_read=False, element_shape=known)

    def stack(self, blocks: tf.TensorArray, like: Tensor) -> Tensor:
        """Stacks an array from `new` into `(count, steps, ...)`."""
        tensor = blocks.stack()
        tensor.set_shape([None, self.steps, *like.shape[1:]])
        return tensor

    def join(self, blocks: tf.TensorArray, like: Tensor) -> Tensor:
        """Joins an array from `new` into `(time, ...)`, without the padding."""
        tensor = self.stack(blocks, like)
        tensor = tf.reshape(tensor, [self.count * self.steps, *_shape(tensor)[2:]])
        return tensor if self.full else tensor[: self.time]


def _shape(tensor: Tensor) -> list[Any]:
    """Returns the sizes of a tensor: integers if statically known, otherwise tensors."""
    return [tf.shape(tensor)[i] if size is None else size for i, size in enumerate(tensor.shape)]
