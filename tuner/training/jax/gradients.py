"""Loss and gradients of one sequence in a network with one or two directions.

Loops over frames have as many steps as the longest current sequence, a number known only at run
time: one compiled program accepts sequences of every length, and no padding is computed. JAX
cannot differentiate such a loop backward, so the backward pass is written here, by the chain rule
of `tuner.training.jax.step`. Everything that needs no state is computed for blocks of frames.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from tuner.training.jax.blocks import BLOCK, block, blocks_for, put, row, rows, total
from tuner.training.jax.losses import Loss
from tuner.training.jax.step import Arrays, Products, Step


@dataclasses.dataclass(frozen=True)
class Sequence:
    """A sequence, padded.

    Attributes:
        inputs: float32 `[room, inputs]`; the padding may contain any finite values.
        targets: the targets, padded as well; see `tuner.training.jax.losses`.
        frames: length of the sequence.
        labels: number of labels of a transcription.
        steps: number of steps of loops over time, at least `frames`: if several trials are trained
            side by side, the length of their longest sequence.
    """

    inputs: Any
    targets: Any
    frames: Any
    labels: Any
    steps: Any

    @property
    def room(self) -> int:
        """Number of frames with padding, a multiple of `BLOCK`."""
        return int(self.inputs.shape[0])

    @property
    def blocks(self) -> Any:
        """Number of blocks that contain steps."""
        return blocks_for(self.steps)


def _added(sums: Arrays, addends: Arrays) -> Arrays:
    return [one + other for one, other in zip(sums, addends, strict=True)]


def _put_all(arrays: Arrays, parts: Arrays, place: Any) -> Arrays:
    return [put(array, part[None], place) for array, part in zip(arrays, parts, strict=True)]


def _like(arrays: Arrays) -> Arrays:
    return [jnp.zeros_like(array) for array in arrays]


class _Saved(NamedTuple):
    """What the backward pass of a direction needs.

    Attributes:
        derived: the result of `Step.derive`.
        pull: propagates its gradients back to the weights.
        projected: the results of `Step.project`, `[room, ...]`.
        past: the states before each step, `[room, units]`.
        factors: factors of the tapped products of each step, `[room, ...]`.
        products: their values.
    """

    derived: Arrays
    pull: Callable[[Arrays], tuple[Arrays]]
    projected: Arrays
    past: Arrays
    factors: Arrays
    products: Arrays


class Direction:
    """A cell that reads sequences forward or backward."""

    def __init__(
        self, step: Step, units: int, *, backward: bool, ponders: bool = False
    ) -> None:
        """Sets the cell and its direction.

        Args:
            step: the step of the cell.
            units: size of its output.
            backward: whether it reads from the last frame to the first.
            ponders: whether it is depth-adaptive: the first number of its last state is then the
                ponder of all frames so far, which has a price.
        """
        self._step = step
        self._units = units
        self._backward = backward
        self._ponders = ponders

    def _frame(self, sequence: Sequence, number: Any) -> Any:
        """Returns the frame that a step reads; steps past the end read padding."""
        if not self._backward:
            return number
        return jnp.where(number < sequence.frames, sequence.frames - 1 - number, number)

    def _project(
        self, derived: Arrays, inputs: Any, known: Arrays | None = None
    ) -> tuple[Arrays, Products]:
        """Projects several frames; see `Step.project`."""
        over = (None, 0, None if known is None else 0)
        found: tuple[Arrays, Products] = jax.vmap(self._step.project, over)(derived, inputs, known)
        return found

    def forward(self, weights: Arrays, sequence: Sequence) -> tuple[Any, _Saved, Any]:
        """Computes all outputs `[room, units]`, the values that `backward` needs, and ponder."""
        step, room = self._step, sequence.room
        derived, pull = jax.vjp(step.derive, weights)

        def project(number: Any, projected: Arrays) -> Arrays:
            parts, _ = self._project(derived, block(sequence.inputs, number))
            return [
                put(array, part, number * BLOCK)
                for array, part in zip(projected, parts, strict=True)
            ]

        projected = [jnp.zeros((room, *shape)) for shape in step.projected]
        projected = lax.fori_loop(0, sequence.blocks, project, projected)
        looped = [derived[place] for place in step.looped]

        def advance(number: Any, carry: Any) -> Any:
            states, outputs, past, factors, products = carry
            frame = self._frame(sequence, number)
            own = [row(array, frame) for array in projected]
            (output, *new), (own_factors, own_products) = step.advance(
                derived, looped, own, states
            )
            return (
                new,
                put(outputs, output[None], frame),
                _put_all(past, states, number),
                _put_all(factors, own_factors, number),
                _put_all(products, own_products, number),
            )

        states, outputs, past, factors, products = lax.fori_loop(
            0,
            sequence.steps,
            advance,
            (
                [jnp.zeros(size) for size in step.states],
                jnp.zeros((room, self._units)),
                [jnp.zeros((room, size)) for size in step.states],
                [jnp.zeros((room, *tap.factor)) for tap in step.taps],
                [jnp.zeros((room, *tap.product)) for tap in step.taps],
            ),
        )
        ponder: Any = 0.0
        if self._ponders:
            # Steps past the end, which another trial's sequence may need, are not charged for.
            before = row(past[-1], jnp.minimum(sequence.frames, room - 1))
            ponder = jnp.where(sequence.frames < sequence.steps, before, states[-1])[0]
        return outputs, _Saved(derived, pull, projected, past, factors, products), ponder

    def backward(self, saved: _Saved, gradient: Any, sequence: Sequence, price: Any) -> Arrays:
        """Computes the gradients of the weights.

        Args:
            saved: the values from `forward`.
            gradient: gradient of the outputs, `[room, units]`; zero in the padding.
            sequence: the sequence.
            price: price of the ponder.
        """
        step, derived = self._step, saved.derived
        looped = [derived[place] for place in step.looped]

        def retreat(count: Any, carry: Any) -> Any:
            of_looped, of_states, of_projected, of_products = carry
            number = sequence.steps - 1 - count
            frame = self._frame(sequence, number)
            if self._ponders:
                # This is its whole gradient, since nothing else reads that state.
                charged = jnp.where(number < sequence.frames, price, 0.0)
                of_states = [*of_states[:-1], jnp.zeros_like(of_states[-1]).at[0].set(charged)]
            _, chain, _ = jax.vjp(
                functools.partial(step.advance, derived),
                looped,
                [row(array, frame) for array in saved.projected],
                [row(array, number) for array in saved.past],
                [row(array, number) for array in saved.products],
                has_aux=True,
            )
            looped_part, parts, of_states, products = chain([row(gradient, frame), *of_states])
            return (
                _added(of_looped, looped_part),
                of_states,
                _put_all(of_projected, parts, frame),
                _put_all(of_products, products, number),
            )

        of_looped, _, of_projected, of_products = lax.fori_loop(
            0,
            sequence.steps,
            retreat,
            (
                _like(looped),
                [jnp.zeros(size) for size in step.states],
                _like(saved.projected),
                _like(saved.products),
            ),
        )

        def collect(start: Any, *, count: int) -> Arrays:
            inputs = rows(sequence.inputs, start, count)
            _, (read, read_products) = self._project(derived, inputs)
            _, chain = jax.vjp(
                lambda derived, known: self._project(derived, inputs, known)[0],
                derived,
                read_products,
            )
            sums: Arrays
            sums, of_read = chain([rows(array, start, count) for array in of_projected])
            for tap, factor, gradient in zip(
                (*step.frame_taps, *step.taps),
                (*read, *(rows(array, start, count) for array in saved.factors)),
                (*of_read, *(rows(array, start, count) for array in of_products)),
                strict=True,
            ):
                sums[tap.weight] += tap.gradient(factor, gradient)
            return sums

        sums: Arrays = total(sequence.blocks, sequence.room // BLOCK, collect)
        for place, part in zip(step.looped, of_looped, strict=True):
            sums[place] += part
        (gradients,) = saved.pull(sums)
        return list(gradients)


@dataclasses.dataclass(frozen=True)
class Network:
    """Cells of one or two directions and the output layer: logits_t = [f_t b_t] K + b.

    Weights are in the order of `tuner.training.network.make_network`.

    Attributes:
        directions: forward, and backward if the task is bidirectional.
        loss: the loss of the task's head.
    """

    directions: tuple[Direction, ...]
    loss: Loss

    def _parts(self, weights: Arrays) -> tuple[list[Arrays], Any, Any]:
        *cells, kernel, bias = weights
        each = len(cells) // len(self.directions)
        parts = [cells[start : start + each] for start in range(0, len(cells), each)]
        return parts, kernel, bias

    def _hidden(self, parts: list[Arrays], sequence: Sequence) -> tuple[Any, list[Any], Any]:
        ways = zip(self.directions, parts, strict=True)
        outputs, saved, ponder = zip(
            *(direction.forward(part, sequence) for direction, part in ways), strict=True
        )
        return jnp.concatenate(outputs, axis=-1), list(saved), sum(ponder)

    def _logits(self, hidden: Any, kernel: Any, bias: Any, sequence: Sequence) -> Any:
        def multiply(number: Any, logits: Any) -> Any:
            rows = block(hidden, number) @ kernel + bias
            return put(logits, rows, number * BLOCK)

        logits = jnp.zeros((sequence.room, bias.shape[0]))
        return lax.fori_loop(0, sequence.blocks, multiply, logits)

    def logits(self, weights: Arrays, sequence: Sequence) -> Any:
        """Computes the logits `[room, outputs]`; those in the padding are meaningless."""
        parts, kernel, bias = self._parts(weights)
        hidden, _, _ = self._hidden(parts, sequence)
        return self._logits(hidden, kernel, bias, sequence)

    def gradients(self, weights: Arrays, sequence: Sequence, price: Any) -> tuple[Any, Arrays]:
        """Computes the loss, summed over the sequence, and the gradients of the weights.

        Args:
            weights: weights of the network.
            sequence: the sequence to learn.
            price: price of the ponder of depth-adaptive cells, which is added to the loss.
        """
        parts, kernel, bias = self._parts(weights)
        hidden, saved, ponder = self._hidden(parts, sequence)
        logits = self._logits(hidden, kernel, bias, sequence)
        loss, of_logits = self.loss(logits, sequence.targets, sequence.frames, sequence.labels)

        def back(number: Any, of_hidden: Any) -> Any:
            return put(of_hidden, block(of_logits, number) @ kernel.T, number * BLOCK)

        of_hidden = lax.fori_loop(0, sequence.blocks, back, jnp.zeros_like(hidden))

        def collect(start: Any, *, count: int) -> tuple[Any, Any]:
            own = rows(of_logits, start, count)
            return rows(hidden, start, count).T @ own, jnp.sum(own, axis=0)

        of_kernel, of_bias = total(sequence.blocks, sequence.room // BLOCK, collect)
        gradients: Arrays = []
        units = hidden.shape[1] // len(self.directions)
        for place, (direction, way) in enumerate(zip(self.directions, saved, strict=True)):
            own = of_hidden[:, place * units : (place + 1) * units]
            gradients += direction.backward(way, own, sequence, price)
        return loss + price * ponder, [*gradients, of_kernel, of_bias]
