"""JAX: K trials at once by `vmap` over `lax.scan`, differentiated by JAX, compiled by XLA."""

from __future__ import annotations

import functools
import itertools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.work import Work

Arrays = tuple[jax.Array, ...]


def _loss(weights: Arrays, inputs: jax.Array, targets: jax.Array, length: jax.Array) -> jax.Array:
    """Computes the vanilla network's loss on a sequence [T, inputs], projected before the loop."""
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
    logits = hidden @ output_kernel + output_bias
    frames = jnp.sum(jax.nn.softplus(logits) - targets * logits, axis=1)
    return jnp.sum(jnp.where(jnp.arange(len(frames)) < length, frames, 0.0))


@functools.partial(jax.jit, static_argnames=("momentum",), donate_argnums=(0,))
def _updates(
    state: tuple[Arrays, Arrays], noise: jax.Array, group: Arrays, rate: float, momentum: float
) -> tuple[tuple[Arrays, Arrays], jax.Array]:
    """Trains K trials on N sequences, one per update; returns the state and losses [N, K].

    The state is weights and velocities, [K, ...] each; noise is [N, K, T, inputs]; a group is
    inputs [N, T, inputs] and targets [N, T, outputs], padded, and the numbers of valid frames [N].
    """
    gradient = jax.vmap(jax.value_and_grad(_loss), in_axes=(0, 0, None, None))

    def update(state: tuple[Arrays, Arrays], sequence: Arrays) -> tuple[Any, jax.Array]:
        weights, velocities = state
        drawn, clean, target, length = sequence
        losses, gradients = gradient(weights, clean + drawn, target, length)
        velocities = jax.tree.map(lambda v, g: momentum * v - rate * g, velocities, gradients)
        weights = jax.tree.map(
            lambda w, v, g: w + momentum * v - rate * g, weights, velocities, gradients
        )
        return (weights, velocities), losses

    return jax.lax.scan(update, state, (noise, *group))


def _groups(work: Work) -> list[Arrays]:
    """Groups and pads consecutive sequences of a bucket, for one call of the compiled program."""

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
        padded = [pad(arrays, indices, size) for arrays in (work.inputs, work.targets)]
        groups.append((*padded, lengths))
    return groups


class JaxTrial:
    """Trains K trials at once, with one sequence per update and one bucket per call."""

    def __init__(self, trials: int, draw_on_device: bool = False) -> None:
        """Selects K, and whether JAX draws the noise (for a GPU) or NumPy does."""
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
        """Builds the networks of some work; the first pass compiles them."""
        self._work = work = Work.load(path)
        weights = tuple(jnp.stack([jnp.asarray(one)] * self._trials) for one in work.weights)
        self._state = weights, tuple(jnp.zeros_like(weight) for weight in weights)
        self._groups = _groups(work)
        self._generator = np.random.default_rng(work.seed)

    def run(self) -> dict[str, float]:
        """Trains on every sequence once; returns the mean loss per frame over all trials."""
        losses, work = [], self._work
        started = time.perf_counter()
        for group in self._groups:
            count, *shape = group[0].shape
            noise = self._noise((count, self._trials, *shape))
            self._state, loss = _updates(self._state, noise, group, work.rate, work.momentum)
            losses.append(loss)
        total = float(sum(jnp.sum(loss) for loss in losses))
        seconds = time.perf_counter() - started
        loss = total / self._trials / work.frames
        return {"seconds": seconds, "loss": loss, "trials": self._trials}
