"""Gradients on Keras' backends, which `keras.ops` does not provide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from zoo.variant_cell import Tensor


def gradient(
    function: Callable[[Sequence[Tensor]], tuple[Tensor, Any]], values: Sequence[Tensor]
) -> tuple[list[Tensor], Any]:
    """Differentiates a function of some tensors.

    Args:
        function: maps the tensors to a scalar and an auxiliary structure of tensors.
        values: the tensors at which to differentiate.

    Returns:
        The gradient of the scalar with respect to each tensor, and the auxiliary result.

    Raises:
        NotImplementedError: on backends other than TensorFlow and JAX.

    Example:
        >>> from keras import ops
        >>> (gradient_of_x,), more = gradient(lambda x: (x[0] ** 2, "more"), [ops.array(3.0)])
        >>> float(gradient_of_x), more
        (6.0, 'more')
    """
    # Only the active backend is imported: the other need not be installed.
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(values)
            value, more = function(values)
        return tape.gradient(value, values), more
    if keras.backend.backend() == "jax":
        import jax

        found, more = jax.grad(function, has_aux=True)(list(values))
        return found, more
    raise NotImplementedError(
        "Gradients are taken on the backends tensorflow and jax. "
        f"Received: {keras.backend.backend()}."
    )
