"""What `keras.ops` does not provide on all backends: gradients, and random numbers in a batch."""

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
        return list(parts), keras.tree.map_structure(_detached, more)
    raise NotImplementedError(
        "Gradients are taken on the backends tensorflow, jax and torch. "
        f"Received: {keras.backend.backend()}."
    )


def batched(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Maps a function over the first axis as one batched program.

    Args:
        function: maps a point to a scalar. All points get the same random numbers.
        points: the points, `(count, n)`.

    Example:
        >>> from keras import ops
        >>> squares = batched(lambda x: ops.sum(x) ** 2, ops.array([[1.0, 2.0], [3.0, 4.0]]))
        >>> ops.convert_to_numpy(squares).tolist()
        [9.0, 49.0]
    """
    if keras.backend.backend() == "torch":
        import torch

        with torch.no_grad():
            # By default it refuses random numbers.
            return torch.vmap(function, randomness="same")(points)
    return ops.vectorized_map(function, points)


def one_by_one(function: Callable[[Tensor], Tensor], points: Sequence[Tensor]) -> Tensor:
    """Calls a function at one point after the other.

    Args:
        function: maps a point to a scalar. All points get the same random numbers, if those depend
            on a state that the function sets, as a seed generator's, or on PyTorch's own.
        points: the points.

    Example:
        >>> from keras import ops
        >>> squares = one_by_one(lambda x: x**2, [ops.array(2.0), ops.array(3.0)])
        >>> ops.convert_to_numpy(squares).tolist()
        [4.0, 9.0]
    """
    if keras.backend.backend() != "torch":
        return ops.stack([function(each) for each in points])
    import torch

    values, state = [], torch.get_rng_state()
    with torch.no_grad():
        for each in points:
            torch.set_rng_state(state)
            values.append(function(each))
    return ops.stack(values)


def _detached(value: Any) -> Any:
    """Frees a result, if it is a tensor of PyTorch, from the graph that it was computed by."""
    return value.detach() if hasattr(value, "detach") else value
