"""What the layers that turn raw input into features have in common."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import keras


class Frontend(keras.layers.Layer, abc.ABC):
    """Turns padded raw sequences into padded feature sequences.

    The same layer makes the features that a study trains on and stands in front of the network in
    an export, so the two cannot part. It has no trainable weights; statistics for normalization are
    arguments, so that `get_config` has them.

    Attributes:
        raw_name: name of the raw input, and of the signature of an export that takes it.
        raw_shape: shape of one raw frame.
    """

    raw_name: ClassVar[str]
    raw_shape: ClassVar[tuple[int, ...]]

    @abc.abstractmethod
    def call(self, raw: Any, lengths: Any) -> tuple[Any, Any]:
        """Computes features.

        Args:
            raw: float32 tensor `(batch, time, *raw_shape)`.
            lengths: int32 tensor `(batch,)`; what stands at and after a sequence's length changes
                nothing.

        Returns:
            Features, float32 `(batch, frames, features)`, zero at and after a sequence's frames;
            and the frames of each sequence, int32 `(batch,)`.
        """
