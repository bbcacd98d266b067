"""The recurrent layer: `keras.layers.RNN` with the scan of `zoo.recurrence`.

The scan runs on Keras' TensorFlow backend. On other backends, `zoo.RNN` uses Keras' own loop.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from zoo.variant_cell import Tensor, VariantCell, check_argument, is_positive_integer

_POINTWISE = frozenset(
    keras.activations.get(name)
    for name in (
        "celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear "
        "log_sigmoid mish relu relu6 selu sigmoid silu soft_shrink softplus softsign squareplus "
        "tanh tanh_shrink threshold"
    ).split()
)
"""Elementwise activations, which the scan requires; softmax, for example, is not elementwise."""

_TRUNCATED: contextvars.ContextVar[int | None] = contextvars.ContextVar("truncated", default=None)


@contextlib.contextmanager
def truncated(steps: int | None) -> Iterator[None]:
    """Truncates the gradient of every `zoo.RNN` called in this context, see its `truncate`.

    Args:
        steps: overrides the `truncate` of the layers; None leaves it unchanged.

    Raises:
        ValueError: if `steps` is neither a positive integer nor None.

    Example:
        >>> import numpy as np, zoo
        >>> layer = zoo.RNN(zoo.VanillaCell(4))
        >>> with zoo.truncated(5):
        ...     tuple(layer(np.zeros((2, 7, 3), "float32")).shape)
        (2, 4)
    """
    token = _TRUNCATED.set(check_truncate(steps))
    try:
        yield
    finally:
        _TRUNCATED.reset(token)


def check_truncate(steps: Any) -> int | None:
    """Checks the argument `truncate`, see `RNN`."""
    right = steps is None or is_positive_integer(steps)
    check_argument("truncate", steps, "a positive integer or None", right)
    return None if steps is None else int(steps)


@keras.saving.register_keras_serializable(package="lstm_odyssey")
class RNN(keras.layers.RNN):
    """`keras.layers.RNN` that runs the cells of the zoo several times faster on TensorFlow.

        h_t, states_t = cell(x_t, states_{t-1})

    Arguments, call arguments, weights, outputs, states, masking and saved files are those of
    `keras.layers.RNN`, and so are the values, up to rounding. Only the computation differs: the
    products with the inputs are a single matrix product over all steps, and the gradient has its
    own loop back through time (`zoo.recurrence`). TensorFlow computes second derivatives from the
    forward loop, which takes as long as with Keras' loop; forward-mode derivatives are refused.
    An initial state of shape `(1, size)` or `(size,)` is shared by every sequence.

    The layer falls back to Keras' own loop, with a one-time warning, for a cell that is not from
    the zoo or whose `call` is overridden (`keras.layers.StackedRNNCells`: stack layers instead), in
    training with `recurrent_dropout`, with `unroll=True`, with an activation that is not one of
    Keras' or not pointwise (`softmax`), and if layer and cell compute in different dtypes. Backends
    other than TensorFlow always use it, without a warning.

    Args:
        cell: as in `keras.layers.RNN`, whose other arguments are accepted too.
        truncate: number of steps after which the gradient is cut (truncated backpropagation through
            time): the gradient of a step does not reach back beyond the last step whose index,
            counted from 0, is a multiple of `truncate`. Values do not change; states are carried
            over. With at least as many steps as in the sequence, or None (the default), the
            gradient is the full one, bit for bit. The number of steps must be known on call.

    Raises:
        ValueError: if the shapes of initial states do not match the cell's, or the gradient is to
            be cut but the number of steps is unknown.
        NotImplementedError: inside a `tf.autodiff.ForwardAccumulator`.

    Example:
        >>> import numpy as np, zoo
        >>> layer = zoo.RNN(zoo.NoForgetGateCell(4), return_sequences=True, return_state=True)
        >>> outputs, h, c = layer(np.zeros((2, 7, 3), "float32"))
        >>> tuple(outputs.shape), tuple(h.shape), tuple(c.shape)
        ((2, 7, 4), (2, 4), (2, 4))
    """

    def __init__(self, cell: Any, *args: Any, truncate: int | None = None, **kwargs: Any) -> None:
        super().__init__(cell, *args, **kwargs)
        self.truncate = check_truncate(truncate)

    def get_config(self) -> dict[str, Any]:
        # Only if it is set, so that earlier releases can read files without it.
        more = {} if self.truncate is None else {"truncate": self.truncate}
        return {**super().get_config(), **more}

    def inner_loop(
        self,
        sequences: Tensor,
        initial_state: list[Tensor],
        mask: Tensor | None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Runs the cell over the steps; called by `keras.layers.RNN`."""
        truncate, time = _TRUNCATED.get() or self.truncate, sequences.shape[1]
        if truncate is None or (time is not None and time <= truncate):
            return self._loop(sequences, initial_state, mask, training)
        if time is None:
            raise ValueError(
                "Received an invalid value for argument `sequences`, expected a known number of "
                f"steps to truncate the gradient every {truncate}, got shape {sequences.shape}."
            )
        mask = None if mask is None else ops.reshape(mask, (-1, time))
        last: Tensor = None
        pieces: list[Tensor] = []
        states = initial_state
        for start in range(0, time, truncate):
            steps = slice(start, min(start + truncate, time))
            if self.go_backwards:
                steps = slice(time - steps.stop, time - steps.start)
            part = None if mask is None else mask[:, steps]
            if pieces:
                states = keras.tree.map_structure(ops.stop_gradient, states)
            earlier = last
            last, outputs, states = self._loop(sequences[:, steps], states, part, training)
            if pieces and part is not None and not self.zero_output_for_mask:
                # Masked steps repeat the previous output, here that of an earlier piece.
                part = ops.flip(part, axis=1) if self.go_backwards else part
                seen = ops.expand_dims(ops.cumsum(ops.cast(part, "int32"), axis=1) > 0, -1)
                last = ops.where(seen[:, -1], last, earlier)
                if self.return_sequences:
                    outputs = ops.where(seen, outputs, ops.expand_dims(earlier, 1))
            pieces.append(outputs)
        return last, ops.concatenate(pieces, axis=1) if self.return_sequences else outputs, states

    def _loop(
        self, sequences: Tensor, initial_state: list[Tensor], mask: Tensor | None, training: bool
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Runs the cell over steps, with a gradient through all of them."""
        if keras.backend.backend() == "tensorflow":
            reason = self._obstacle(training)
            if not reason:
                return self._scan(sequences, initial_state, mask, training)
            _warn_once(reason)
        last, outputs, states = super().inner_loop(sequences, initial_state, mask, training)
        return last, outputs, states

    def _obstacle(self, training: bool) -> str:
        """Returns why this layer cannot use the scan; an empty string if it can."""
        cell = self.cell
        if not isinstance(cell, VariantCell) or type(cell).call is not VariantCell.call:
            return f"{type(cell).__name__} is not a cell of the zoo"
        for activation in (cell.activation, cell.recurrent_activation):
            if not any(activation is known for known in _POINTWISE):
                name = getattr(activation, "__name__", type(activation).__name__)
                return f"the activation {name} is not known to be pointwise"
        if training and 0 < cell.recurrent_dropout < 1:
            return "recurrent_dropout is inside the step"
        if self.unroll:
            return "unroll=True asks for it"
        if self.compute_dtype != cell.compute_dtype:
            return f"the layer computes in {self.compute_dtype}, its cell in {cell.compute_dtype}"
        return ""

    def _scan(
        self,
        sequences: Tensor,
        initial_state: list[Tensor],
        mask: Tensor | None,
        training: bool,
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Computes what Keras' loop does: last output, all outputs, final states."""
        # Imported here, because TensorFlow may not be the backend.
        from zoo import recurrence

        cell = self.cell
        if training and 0 < cell.dropout < 1:
            sequences = sequences * ops.expand_dims(cell.get_dropout_mask(sequences[:, 0]), 1)
        inputs = self._project(sequences)
        if mask is not None:
            batch, time, *_ = ops.shape(sequences)
            mask = ops.transpose(ops.reshape(ops.cast(mask, "bool"), (batch, time)))
        if self.go_backwards:
            inputs = ops.flip(inputs, axis=0)
            mask = None if mask is None else ops.flip(mask, axis=0)
        outputs, states = recurrence.scan(
            cell.variant,
            inputs,
            _for_each_sequence(initial_state, cell.state_size, sequences),
            *map(_value, (cell.recurrent_kernel, cell.peephole, cell.gate_recurrent_kernel)),
            mask=mask,
            activation=cell.activation,
            recurrent_activation=cell.recurrent_activation,
        )
        if mask is not None:
            # A masked step repeats the previous output; before the first output there is none.
            if not self.zero_output_for_mask:
                mask = ops.cumsum(ops.cast(mask, "int32"), axis=0) > 0
            outputs = ops.where(ops.expand_dims(mask, -1), outputs, 0)
        return outputs[-1], ops.transpose(outputs, (1, 0, 2)), states

    def _project(self, sequences: Tensor) -> Tensor:
        """Computes `x_t W + b` for all steps, `(time, batch, gates * units)`, as one product."""
        sequences = ops.transpose(ops.cast(sequences, self.compute_dtype), (1, 0, 2))
        kernel = _value(self.cell.kernel)
        if self.cell.bias is not None:
            # The bias is the weight of an input of 1: one product yields sum and gradients of both.
            kernel = ops.concatenate([kernel, _value(self.cell.bias)[None]], axis=0)
            # Not `ops.pad`: TensorFlow's `vectorized_map` pads with 0 whatever the constant is.
            ones = ops.ones_like(sequences[..., :1])
            sequences = ops.concatenate([sequences, ones], axis=-1)
        time, batch, features = ops.shape(sequences)
        # With two axes, because products with more axes are slow.
        projected = ops.matmul(ops.reshape(sequences, (-1, features)), kernel)
        return ops.reshape(projected, (time, batch, projected.shape[-1]))


def _for_each_sequence(
    states: Sequence[Tensor], sizes: Sequence[int], sequences: Tensor
) -> list[Tensor]:
    """Broadcasts shared initial states, `(1, size)` or `(size,)`, over the batch."""
    batch, known = ops.shape(sequences)[0], sequences.shape[0]
    shapes = [tuple(state.shape) for state in states]
    expected = [(known, size) for size in sizes]
    fits = len(shapes) == len(sizes) and all(
        len(shape) in (1, 2)
        and shape[-1] in (size, None)
        and (len(shape) == 1 or known is None or shape[0] in (known, 1, None))
        for shape, size in zip(shapes, sizes, strict=True)
    )
    if not fits:
        raise ValueError(
            "Received an invalid value for argument `initial_state`, expected tensors of shapes "
            f"{expected}, the first size 1 or left out where all sequences share it, got {shapes}."
        )
    shared = {(), (1,), (None,)} - {(known or 0,)}
    return [
        ops.broadcast_to(state, (batch, size)) if shape[:-1] in shared else state
        for state, shape, size in zip(states, shapes, sizes, strict=True)
    ]


def _value(variable: Any) -> Tensor:
    """Returns a weight as a tensor of the compute dtype; None if there is no weight."""
    return None if variable is None else ops.convert_to_tensor(variable)


@functools.cache
def _warn_once(reason: str) -> None:
    warnings.warn(f"zoo.RNN takes the slower loop of keras.layers.RNN: {reason}.", stacklevel=2)
