"""What a network's outputs mean: the loss that trains them and the score that judges them."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np


class Head(abc.ABC):
    """Gives logits a meaning: a distribution over targets."""

    @abc.abstractmethod
    def loss(self, targets: Any, logits: Any) -> Any:
        """Computes the negative log-likelihood of each frame with `keras.ops`.

        Args:
            targets: tensor `(batch, time, ...)`.
            logits: tensor `(batch, time, outputs)`.

        Returns:
            Tensor `(batch, time)`, nats, summed over the outputs of a frame.
        """

    @abc.abstractmethod
    def score(self, targets: np.ndarray, logits: np.ndarray) -> float:
        """Computes the negative log-likelihood of one sequence in float64.

        Args:
            targets: array `[time, ...]`.
            logits: array `[time, outputs]`.

        Returns:
            Nats, summed over frames and outputs; not finite if a logit is not.
        """


class Bernoulli(Head):
    """Independent probabilities p = σ(logit), one for each output.

    -log p(y | a) = log(1 + e^a) - y a = max(a, 0) - y a + log(1 + e^-|a|), summed over outputs; the
    last form overflows for no logit.
    """

    def loss(self, targets: Any, logits: Any) -> Any:
        """Computes the negative log-likelihood of each frame; see `Head.loss`."""
        from keras import ops

        return ops.sum(ops.softplus(logits) - targets * logits, axis=-1)

    def score(self, targets: np.ndarray, logits: np.ndarray) -> float:
        """Computes the negative log-likelihood of one sequence; see `Head.score`.

        Example:
            >>> float(Bernoulli().score(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]])))
            1.3862943611198906
        """
        activation = logits.astype(np.float64)
        with np.errstate(invalid="ignore"):
            return float(np.sum(np.logaddexp(0.0, activation) - targets * activation))


HEADS: dict[str, Head] = {"bernoulli": Bernoulli()}
"""The heads by the name that a task gives."""
