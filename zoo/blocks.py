"""How the scan cuts a sequence into blocks of steps, and keeps what it makes of each."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import tensorflow as tf

from zoo.variant_cell import Tensor

_BLOCK_NUMBERS = 16384  # Of a gate in a block: about what keeps a block in a core's cache.
_BLOCK_STEPS = (4, 10)  # Fewest and most.
_UNKNOWN_BATCH = 16


@dataclasses.dataclass(frozen=True)
class Blocks:
    """How the steps of a sequence are cut into blocks.

    Attributes:
        time, count: steps of the sequence, and blocks; tensors where not known beforehand.
        steps: steps of a block.
        full: whether the blocks hold the steps exactly; else the last is padded.
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
        # No padding saves more than the best size does; else blocks are about equal.
        full = [size for size in range(_BLOCK_STEPS[0], _BLOCK_STEPS[1] + 1) if time % size == 0]
        even = math.ceil(time / math.ceil(time / steps))
        steps = min(full, key=lambda size: abs(size - steps), default=even)
        count = math.ceil(time / steps)
        return cls(time, count, steps, full=count * steps == time)

    def cut(self, tensor: Tensor) -> Tensor:
        """Makes `(count, steps, ...)` of `(time, ...)`; the padding is 0 or False."""
        if not self.full:
            missing = self.count * self.steps - self.time
            tensor = tf.pad(tensor, [[0, missing], *([[0, 0]] * (len(tensor.shape) - 1))])
        return tf.reshape(tensor, [self.count, self.steps, *_shape(tensor)[1:]])

    def new(self, like: Tensor) -> tf.TensorArray:
        """Makes an empty list for the blocks of a tensor `(time, ...)` like this one."""
        shape = [self.steps, *like.shape[1:]]
        # LiteRT's interpreter overruns lists of a shape known in part; of none it refuses them.
        known = None if None in shape else shape
        return tf.TensorArray(like.dtype, self.count, clear_after_read=False, element_shape=known)

    def stack(self, blocks: tf.TensorArray, like: Tensor) -> Tensor:
        """Makes `(count, steps, ...)` of a list that `new` made."""
        tensor = blocks.stack()
        tensor.set_shape([None, self.steps, *like.shape[1:]])
        return tensor

    def join(self, blocks: tf.TensorArray, like: Tensor) -> Tensor:
        """Makes `(time, ...)` of it."""
        tensor = self.stack(blocks, like)
        tensor = tf.reshape(tensor, [self.count * self.steps, *_shape(tensor)[2:]])
        return tensor if self.full else tensor[: self.time]


def _shape(tensor: Tensor) -> list[Any]:
    """Sizes of a tensor, as numbers where they are known and as tensors where not."""
    return [tf.shape(tensor)[i] if size is None else size for i, size in enumerate(tensor.shape)]
