"""Features of pen trajectories, as the paper's networks for handwriting receive them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from zoo.frontends.frontend import Frontend, invalid
from zoo.variant_cell import is_positive_integer

FEATURES = 4
"""Features per frame: Δx, Δy, time since the stroke's start, pen-up."""


@keras.saving.register_keras_serializable(package="lstm_odyssey")
class PenStrokes(Frontend):
    """Layer that turns pen points into the four features of the paper's handwriting task.

    A raw frame is a point `(x, y, t, u)`: the pen's position in any unit, the time in seconds, and
    u = 1 on the last point of a stroke, else 0. Of every `keep_every` points, the first is kept,
    and it inherits a pen-up from the points dropped after it. Only then, with k counting the kept
    points and s(k) the first kept point of the stroke that contains k,

        features_k = (x_k - x_{k-1}, y_k - y_{k-1}, t_k - t_{s(k)}, u_k),

    with differences of 0 at k = 0. A stroke without a kept point disappears. With `mean` and
    `variance`, every feature, including the pen-up flag, becomes (feature - mean) / √variance.

    Points are float32, with 24 bits of precision: let times and coordinates start near 0. Seconds
    since 1970 would lose everything below a minute.

    Source: Greff et al. (2015), section IV.A.

    Args:
        keep_every: keep one of this many points; the paper keeps every second one.
        mean: mean of each of the four features over the training set; None for no normalization.
        variance: variance of each feature, positive; None for no normalization.

    Example:
        >>> import numpy as np
        >>> stroke = np.array([[[0, 0, 0.0, 0], [1, 1, 0.1, 0], [2, 5, 0.2, 0], [3, 3, 0.3, 1]]])
        >>> features, frames = PenStrokes()(stroke.astype("float32"), np.array([4]))
        >>> print(ops.convert_to_numpy(features))
        [[[0.  0.  0.  0. ]
          [2.  5.  0.2 1. ]]]
        >>> int(frames[0])
        2
    """

    raw_name = "strokes"
    raw_shape = (4,)

    def __init__(
        self,
        keep_every: int = 2,
        mean: Sequence[float] | None = None,
        variance: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(FEATURES, mean, variance, **kwargs)
        if not is_positive_integer(keep_every):
            raise invalid("keep_every", "an integer of 1 or more", keep_every)
        self.keep_every = int(keep_every)

    def call(self, raw: Any, lengths: Any) -> tuple[Any, Any]:
        lengths = ops.cast(lengths, "int32")
        raw = ops.cast(raw, "float32")
        raw = ops.where(_before(raw, lengths), raw, ops.zeros_like(raw))
        frames = (lengths + self.keep_every - 1) // self.keep_every
        kept = raw[:, :: self.keep_every]
        position, time = kept[..., :2], kept[..., 2]
        pen_up = self._carried(raw[..., 3])
        moved = position - ops.concatenate([position[:, :1], position[:, :-1]], axis=1)
        elapsed = time - ops.take_along_axis(time, _stroke_starts(pen_up), axis=1)
        features = ops.concatenate([moved, ops.stack([elapsed, pen_up], axis=-1)], axis=-1)
        features = self.normalize(features)
        return ops.where(_before(features, frames), features, ops.zeros_like(features)), frames

    def _carried(self, pen_up: Any) -> Any:
        """Merges the flags of dropped points into the kept point before, `(batch, frames)`."""
        points = ops.shape(pen_up)[1]
        padded = ops.pad(pen_up, ((0, 0), (0, self.keep_every - 1)))
        flags = [
            padded[:, offset : offset + points : self.keep_every]
            for offset in range(self.keep_every)
        ]
        return ops.cast(functools.reduce(ops.maximum, flags) > 0.5, pen_up.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "keep_every": self.keep_every}


def _before(sequences: Any, lengths: Any) -> Any:
    """Returns whether a frame is before its sequence's length, boolean `(batch, time, 1)`."""
    return (ops.arange(ops.shape(sequences)[1], dtype="int32") < lengths[:, None])[..., None]


def _stroke_starts(pen_up: Any) -> Any:
    """Finds the index of the first point of each point's stroke, int32 `(batch, time)`.

    After sorting, the indices of the points that start a stroke come first, so stroke number n
    starts at the n-th of them.
    """
    is_first = ops.concatenate([ops.ones_like(pen_up[:, :1]), pen_up[:, :-1]], axis=1) > 0.5
    count = ops.shape(pen_up)[1]
    index = ops.broadcast_to(ops.arange(count, dtype="int32"), ops.shape(pen_up))
    starts = ops.sort(ops.where(is_first, index, count), axis=1)
    stroke = ops.cumsum(ops.cast(is_first, "int32"), axis=1) - 1
    return ops.take_along_axis(starts, stroke, axis=1)
