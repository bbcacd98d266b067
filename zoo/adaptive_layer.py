"""Recurrent layer that adds the ponder cost of a depth-adaptive cell to the loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from zoo.adaptive_cell import DepthAdaptiveCell
from zoo.variant_cell import Tensor

_REPORTS = keras.backend.backend() != "jax"
"""Whether layers can have metrics: in the steps that Keras compiles with JAX they have none."""


@keras.saving.register_keras_serializable(package="lstm_odyssey")
class AdaptiveRNN(keras.layers.RNN):
    """`keras.layers.RNN` for a depth-adaptive cell, with its ponder cost in the loss.

        loss = loss of the task + τ Σ_t ρ_t

    The sum is over all frames and sequences of the batch, as in the paper's loss; for a loss that
    is their mean, divide `ponder_price` by their number. Masked frames are not counted.
    Training reports the metric `depth`, the mean number of inner steps per frame (not on JAX).

    Args:
        cell: a `zoo.DepthAdaptiveCell`.
        ponder_price: τ, the price of an inner step in units of the loss; at least 0.
        *arguments: positional arguments of `keras.layers.RNN`.
        **more: keyword arguments of `keras.layers.RNN`.

    With `return_state` the third state `(batch, 2)` is the sum of ρ and of N over the frames.

    Raises:
        ValueError: if `cell` is not a `zoo.DepthAdaptiveCell`, or `ponder_price` is negative.

    Example:
        >>> import numpy as np, zoo
        >>> layer = zoo.AdaptiveRNN(zoo.DepthAdaptiveCell(4), ponder_price=0.1, return_state=True)
        >>> outputs, h, c, ponder = layer(np.zeros((2, 7, 3), "float32"))
        >>> bool(abs(layer.losses[0] - 0.1 * ponder[:, 0].numpy().sum()) < 1e-5)
        True
    """

    def __init__(
        self, cell: DepthAdaptiveCell, ponder_price: float = 0.01, *arguments: Any, **more: Any
    ) -> None:
        if not isinstance(cell, DepthAdaptiveCell):
            raise ValueError(
                "Received an invalid value for argument `cell`, expected a zoo.DepthAdaptiveCell, "
                f"got {type(cell).__name__}."
            )
        if isinstance(ponder_price, bool) or not ponder_price >= 0:
            raise ValueError(
                "Received an invalid value for argument `ponder_price`, expected a number of at "
                f"least 0, got {ponder_price!r}."
            )
        super().__init__(cell, *arguments, **more)
        self.ponder_price = float(ponder_price)
        if _REPORTS:
            self.depth = keras.metrics.Mean(name="depth")

    def inner_loop(
        self,
        sequences: Tensor,
        initial_state: list[Tensor],
        mask: Tensor | None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Runs the cell over the steps; called by `keras.layers.RNN`."""
        last, outputs, states = super().inner_loop(sequences, initial_state, mask, training)
        spent = ops.sum(states[-1] - initial_state[-1], axis=0)
        if self.ponder_price:
            self.add_loss(self.ponder_price * spent[0])
        if _REPORTS:
            batch, time = ops.shape(sequences)[:2]
            frames = batch * time if mask is None else ops.sum(ops.cast(mask, "int32"))
            frames = ops.cast(frames, "float32")
            self.depth.update_state(ops.cast(spent[1], "float32") / ops.maximum(frames, 1), frames)
        return last, outputs, states

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "ponder_price": self.ponder_price}
