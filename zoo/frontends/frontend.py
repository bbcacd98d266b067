"""Base class of the layers that turn raw input into features."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np


class Frontend(keras.layers.Layer, abc.ABC):
    """Base of layers that turn padded raw sequences into padded feature sequences.

    The same layer computes the features that a study trains on and precedes the network in an
    export, so the two cannot diverge. It has no trainable weights, and is float32 under every dtype
    policy: half precision can represent neither audio samples nor times.

    Attributes:
        raw_name: name of the raw input, and of the signature of an export that takes it.
        raw_shape: shape of one raw frame.

    Args:
        features: number of output features per frame.
        mean: mean of each feature over the training set, subtracted; `None` for no normalization.
        variance: variance of each feature, positive; features are divided by its square root. Must
            be given together with `mean`.
        **kwargs: arguments of `keras.layers.Layer`.
    """

    raw_name: ClassVar[str]
    raw_shape: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        features: int,
        mean: Sequence[float] | None,
        variance: Sequence[float] | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, trainable=False, **kwargs)
        if (mean is None) != (variance is None):
            raise ValueError("Arguments `mean` and `variance` must be given together.")
        self.mean = None if mean is None else _numbers("mean", mean, features)
        self.variance = None if variance is None else _numbers("variance", variance, features)
        if self.variance is not None and min(self.variance) <= 0:
            raise invalid("variance", "positive floats", self.variance)

    @abc.abstractmethod
    def call(self, raw: Any, lengths: Any) -> tuple[Any, Any]:
        """Computes features.

        Args:
            raw: float32 tensor `(batch, time, *raw_shape)`.
            lengths: int32 tensor `(batch,)`; values at and after a sequence's length have no
                effect.

        Returns:
            Features, float32 `(batch, frames, features)`, zero after the frames of a sequence, and
            the number of frames of each sequence, int32 `(batch,)`.
        """

    def normalize(self, features: Any) -> Any:
        """Computes (feature - mean) / √variance; without statistics, returns features unchanged."""
        if self.mean is None or self.variance is None:
            return features
        mean = np.array(self.mean, np.float32)
        return (features - mean) / np.sqrt(self.variance).astype(np.float32)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        # Features are never trained.
        config.pop("trainable", None)
        return {**config, "mean": self.mean, "variance": self.variance}


def invalid(name: str, expected: str, received: Any) -> ValueError:
    """Makes the error for an invalid argument, in the wording of Keras' layers.

    Args:
        name: name of the argument.
        expected: description of valid values.
        received: the value received.

    Example:
        >>> str(invalid("filters", "an integer of 1 or more", 0))
        'Received an invalid value for argument `filters`, expected an integer of 1 or more, got 0.'
    """
    return ValueError(
        f"Received an invalid value for argument `{name}`, expected {expected}, got {received!r}."
    )


def _numbers(name: str, values: Sequence[float], features: int) -> list[float]:
    """Checks an argument with one number per feature."""
    numbers = np.asarray(values, "float64")
    if numbers.shape != (features,) or not np.all(np.isfinite(numbers)):
        raise invalid(name, f"{features} finite floats", values)
    return [float(number) for number in numbers]
