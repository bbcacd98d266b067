"""Gradients on Keras' backends, which `keras.ops` does not provide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

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
        NotImplementedError: on other backends than TensorFlow, JAX and PyTorch.

    Example:
        >>> from keras import ops
        >>> (gradient_of_x,), more = gradient(lambda x: (x[0] ** 2, "more"), [ops.array(3.0)])
        >>> float(gradient_of_x), more
        (6.0, 'more')
    """
    # Only the active backend is imported: the others need not be installed.
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
    if keras.backend.backend() == "torch":
        import torch

        points = [ops.convert_to_tensor(one).detach().requires_grad_() for one in values]
        with torch.enable_grad():
            value, more = function(points)
        parts = torch.autograd.grad(value, points, allow_unused=True)
        return list(parts), keras.tree.map_structure(ops.stop_gradient, more)
    raise NotImplementedError(
        "Gradients are taken on the backends tensorflow, jax and torch. "
        f"Received: {keras.backend.backend()}."
    )
