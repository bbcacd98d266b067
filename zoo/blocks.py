"""Blocks of time steps: what the loops of `zoo.recurrence` take at a time.

A loop of TensorFlow pays for every iteration; with several steps an iteration it pays less often.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import tensorflow as tf

Tensor = Any

# Numbers of a gate in a block: about what keeps a block in a core's cache.
_BLOCK_NUMBERS = 16384
# Fewest and most steps of a block.
_BLOCK_STEPS = (4, 10)
_UNKNOWN_BATCH = 16


def _shape(tensor: Tensor) -> list[Any]:
    """Sizes of a tensor, as numbers where they are known and as tensors where not."""
    return [tf.shape(tensor)[i] if size is None else size for i, size in enumerate(tensor.shape)]


@dataclasses.dataclass(frozen=True)
class Blocks:
    """How the steps of a sequence are cut into blocks.

    Attributes:
        time: steps of the sequence; a tensor where it is not known beforehand.
        count: blocks; likewise.
        steps: steps of a block.
        full: whether the blocks hold the steps exactly; else the last is filled up with steps of
            nothing.
    """

    time: int | Tensor
    count: int | Tensor
    steps: int
    full: bool

    @classmethod
    def plan(cls, inputs: Tensor, c: Tensor) -> Blocks:
        """Chooses the size of the blocks.

        Args:
            inputs: tensor `(time, ...)`.
            c: the cell, `(..., batch, units)`.
        """
        *trials, batch, units = c.shape
        numbers = math.prod(trials) * (batch or _UNKNOWN_BATCH) * units
        steps = sorted([_BLOCK_NUMBERS // numbers, *_BLOCK_STEPS])[1]
        time = inputs.shape[0]
        if time is None:
            time = tf.shape(inputs)[0]
            return cls(time, (time + steps - 1) // steps, steps, full=False)
        # Nothing to fill up saves more than the best size does; else blocks are about equal.
        full = [size for size in range(_BLOCK_STEPS[0], _BLOCK_STEPS[1] + 1) if time % size == 0]
        even = math.ceil(time / math.ceil(time / steps))
        steps = min(full, key=lambda size: abs(size - steps), default=even)
        count = math.ceil(time / steps)
        return cls(time, count, steps, full=count * steps == time)

    def cut(self, tensor: Tensor) -> Tensor:
        """Makes `(count, steps, ...)` of `(time, ...)`; what is filled up is 0 or False."""
        if not self.full:
            missing = self.count * self.steps - self.time
            tensor = tf.pad(tensor, [[0, missing], *([[0, 0]] * (len(tensor.shape) - 1))])
        return tf.reshape(tensor, [self.count, self.steps, *_shape(tensor)[1:]])

    def new(self, like: Tensor) -> tf.TensorArray:
        """Makes an empty list for the blocks of a tensor `(time, ...)` like this one."""
        shape = [self.steps, *like.shape[1:]]
        return tf.TensorArray(like.dtype, self.count, clear_after_read=False, element_shape=shape)

    def join(self, blocks: tf.TensorArray) -> Tensor:
        """Makes `(time, ...)` of blocks again."""
        tensor = blocks.stack()
        tensor = tf.reshape(tensor, [self.count * self.steps, *_shape(tensor)[2:]])
        return tensor if self.full else tensor[: self.time]
