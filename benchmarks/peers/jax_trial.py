"""JAX: K trials at once by `vmap` over `lax.scan`, differentiated by JAX, compiled by XLA."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.work import Pass, Work

Arrays = tuple[jax.Array, ...]


def _logits(weights: Arrays, inputs: jax.Array) -> jax.Array:
    """The vanilla network on one sequence [T, inputs]; inputs are projected outside the loop."""
    kernel, recurrent_kernel, bias, peephole, output_kernel, output_bias = weights
    p_i, p_f, p_o = jnp.split(peephole, 3)

    def step(state: Arrays, projected: jax.Array) -> tuple[Arrays, jax.Array]:
        h, c = state
        i, f, z, o = jnp.split(projected + h @ recurrent_kernel, 4)
        c = jnp.tanh(z) * jax.nn.sigmoid(i + p_i * c) + c * jax.nn.sigmoid(f + p_f * c)
        h = jnp.tanh(c) * jax.nn.sigmoid(o + p_o * c)
        return (h, c), h

    start = (jnp.zeros(len(p_i)), jnp.zeros(len(p_i)))
    _, hidden = jax.lax.scan(step, start, inputs @ kernel + bias)
    return hidden @ output_kernel + output_bias


def _loss(weights: Arrays, inputs: jax.Array, targets: jax.Array, length: jax.Array) -> jax.Array:
    logits = _logits(weights, inputs)
    frames = jnp.sum(jax.nn.softplus(logits) - targets * logits, axis=1)
    return jnp.sum(jnp.where(jnp.arange(len(frames)) < length, frames, 0.0))


@functools.partial(jax.jit, static_argnames=("momentum",), donate_argnums=(0, 1))
def _updates(
    weights: Arrays,
    velocities: Arrays,
    inputs: jax.Array,
    noise: jax.Array,
    targets: jax.Array,
    lengths: jax.Array,
    rate: float,
    momentum: float,
) -> tuple[Arrays, Arrays, jax.Array]:
    """Trains K trials on N sequences, one an update.

    Args:
        weights: of all trials, [K, ...] each.
        velocities: as `weights`.
        inputs: [N, T, inputs], padded.
        noise: [N, K, T, inputs].
        targets: [N, T, outputs].
        lengths: frames that count, [N].
        rate: learning rate × (1 - momentum).
        momentum: Nesterov momentum.

    Returns:
        Weights, velocities, and the losses [N, K].
    """
    gradient = jax.vmap(jax.value_and_grad(_loss), in_axes=(0, 0, None, None))

    def update(state: tuple[Arrays, Arrays], sequence: Arrays) -> tuple[Any, jax.Array]:
        weights, velocities = state
        clean, drawn, target, length = sequence
        losses, gradients = gradient(weights, clean + drawn, target, length)
        velocities = tuple(
            momentum * v - rate * g for v, g in zip(velocities, gradients, strict=True)
        )
        weights = tuple(
            w + momentum * v - rate * g
            for w, v, g in zip(weights, velocities, gradients, strict=True)
        )
        return (weights, velocities), losses

    (weights, velocities), losses = jax.lax.scan(
        update, (weights, velocities), (inputs, noise, targets, lengths)
    )
    return weights, velocities, losses


@dataclasses.dataclass(frozen=True)
class _Group:
    """Consecutive sequences of one bucket, padded: one call of the compiled program."""

    inputs: jax.Array
    targets: jax.Array
    lengths: jax.Array


def _groups(work: Work) -> list[_Group]:
    def bucket(index: int) -> int:
        return min(size for size in work.buckets if size >= len(work.inputs[index]))

    def pad(arrays: tuple[np.ndarray, ...], indices: list[int], size: int) -> jax.Array:
        padded = np.zeros((len(indices), size, arrays[0].shape[1]), np.float32)
        for row, index in enumerate(indices):
            padded[row, : len(arrays[index])] = arrays[index]
        return jnp.asarray(padded)

    groups = []
    for size, members in itertools.groupby(range(len(work.inputs)), bucket):
        indices = list(members)
        lengths = jnp.asarray([len(work.inputs[index]) for index in indices])
        groups.append(
            _Group(pad(work.inputs, indices, size), pad(work.targets, indices, size), lengths)
        )
    return groups


class JaxTrial:
    """Trains K trials at once, one sequence an update, a bucket of sequences a call."""

    def __init__(self, trials: int, draw_on_device: bool = False) -> None:
        """Chooses K.

        Args:
            trials: K.
            draw_on_device: whether the noise is JAX's own, for a GPU; else it is NumPy's.
        """
        self._trials = trials
        self._draw_on_device = draw_on_device
        self._key = jax.random.key(0)

    def _noise(self, shape: tuple[int, ...]) -> Any:
        if self._draw_on_device:
            self._key, key = jax.random.split(self._key)
            return self._work.noise_std * jax.random.normal(key, shape)
        # NumPy draws normals several times faster than XLA on a CPU.
        noise = self._generator.standard_normal(shape, np.float32)
        noise *= np.float32(self._work.noise_std)
        return noise

    def prepare(self, path: str) -> None:
        """Builds the networks of a work; the first pass compiles them."""
        self._work = work = Work.load(path)
        self._weights = tuple(
            jnp.asarray(np.repeat(weight[np.newaxis], self._trials, axis=0))
            for weight in work.weights
        )
        self._velocities = tuple(jnp.zeros_like(weight) for weight in self._weights)
        self._groups = _groups(work)
        self._generator = np.random.default_rng(work.seed)

    def run(self) -> dict[str, Any]:
        """Trains on every sequence once; returns a `Pass`."""
        losses = []
        started = time.perf_counter()
        for group in self._groups:
            count, *shape = group.inputs.shape
            noise = self._noise((count, self._trials, *shape))
            self._weights, self._velocities, loss = _updates(
                self._weights,
                self._velocities,
                group.inputs,
                noise,
                group.targets,
                group.lengths,
                self._work.rate,
                self._work.momentum,
            )
            losses.append(loss)
        total = float(sum(jnp.sum(loss) for loss in losses))
        seconds = time.perf_counter() - started
        loss = total / self._trials / self._work.frames
        return dataclasses.asdict(Pass(seconds, loss, self._trials))
