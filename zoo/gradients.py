"""Gradients on Keras' backends, which `keras.ops` does not have."""

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
        function: from the tensors to a scalar, and anything else made of tensors.
        values: where.

    Returns:
        The gradient of the scalar in each tensor, and what else the function returned.

    Raises:
        NotImplementedError: on another backend than TensorFlow and JAX.

    Example:
        >>> from keras import ops
        >>> (gradient_of_x,), more = gradient(lambda x: (x[0] ** 2, "more"), [ops.array(3.0)])
        >>> float(gradient_of_x), more
        (6.0, 'more')
    """
    # Each is imported only where it is the backend: the other need not be there.
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
