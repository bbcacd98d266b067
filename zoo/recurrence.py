"""Scan of any LSTM variant forward and backward through time in TensorFlow, with its own gradient.

When TensorFlow differentiates a loop, it keeps every intermediate tensor of every step, and goes
back through every operation of the step. Here

- the forward loop keeps, for each step, only the pre-activations, the previous cell state and the
  hidden state;
- the step is pointwise except for its matrix product, so its Jacobians are diagonal.
  `tf.GradientTape` computes them from `zoo.variant_cell.step`, many steps at a time, because they
  do not depend on the gradient from later steps. No variant needs hand-written derivatives;
- the backward loop only propagates the gradient of the states through these Jacobians and emits
  that of the pre-activations; the gradient of the recurrent kernels is a single matrix product over
  all steps after the loop.

The loops process several steps (a *block*) per iteration, because every iteration has overhead.
Only operations of every TensorFlow build are used, so the graph runs wherever TensorFlow does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from zoo.blocks import Blocks
from zoo.variant_cell import Activation, Tensor, by_gate, step
from zoo.variants import Variant

_NO_FORWARD_MODE = (
    "zoo.RNN has no derivatives in forward mode: use keras.layers.RNN(cell), whose values are "
    "the same."
)


def scan(
    variant: Variant,
    inputs: Tensor,
    states: Sequence[Tensor],
    recurrent_kernel: Tensor,
    peephole: Tensor | None = None,
    gate_recurrent_kernel: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    activation: Activation = tf.tanh,
    recurrent_activation: Activation = tf.sigmoid,
) -> tuple[Tensor, list[Tensor]]:
    """Runs a variant over time.

        a_t = inputs_t + h_{t-1} R (+ [i_{t-1} f_{t-1} o_{t-1}] R_gates)
        h_t, c_t, gates_t = zoo.variant_cell.step(a_t, c_{t-1})

    All tensors except `mask` are differentiable and share one floating-point dtype.

    Args:
        variant: the variant to compute.
        inputs: `x_t W + b`, gates in the order of `variant.gates`, `(time, batch, gates * units)`.
        states: the states before the first step, as in `zoo.VariantCell`.
        recurrent_kernel: `(units, gates * units)`.
        peephole: `(peepholes * units,)`, for a variant with peepholes.
        gate_recurrent_kernel: `(3 * units, 3 * units)`, for full gate recurrence.
        mask: boolean, `(time, batch)`; a step where it is False leaves all states unchanged. For
            sequences of different lengths: `tf.transpose(tf.sequence_mask(lengths, time))`.
        activation: g and h; must be elementwise.
        recurrent_activation: σ; must be elementwise.

    Returns:
        h after every step, `(time, batch, units)`, and the states after the last step.

    Example:
        >>> from zoo.variants import VARIANTS
        >>> inputs, state = tf.zeros((7, 2, 12)), tf.zeros((2, 3))
        >>> outputs, states = scan(VARIANTS["NP"], inputs, [state, state], tf.ones((3, 12)))
        >>> tuple(outputs.shape), len(states)
        ((7, 2, 3), 2)
    """
    h, c, *gates = states
    # The next step multiplies h by a matrix and, in full gate recurrence, also the gates.
    output_state = tf.concat([h, *gates], -1)
    kernel = recurrent_kernel
    if gate_recurrent_kernel is not None:
        kernel = tf.concat([kernel, _to_all_gates(variant, gate_recurrent_kernel)], -2)

    def pointwise(a: Any, c: Tensor, peephole: Any) -> tuple[Tensor, Tensor, list[Tensor]]:
        return step(variant, a, c, peephole, activation, recurrent_activation)

    scanned = _Scan(variant, pointwise, Blocks.plan(inputs, c))
    tensors = [inputs, output_state, c, kernel, *([] if peephole is None else [peephole])]
    # Variables become tensors too: a custom gradient has to receive tensors as arguments.
    outputs, c = scanned(mask, *map(tf.convert_to_tensor, tensors))
    h, *gates = _parts(variant, outputs[-1])
    if gates:
        outputs = outputs[..., : h.shape[-1]]
    return outputs, [h, c, *([tf.concat(gates, -1)] if gates else [])]


def _to_all_gates(variant: Variant, kernel: Tensor) -> Tensor:
    """Widens a kernel with zeros for the block input, which has no gate recurrence."""
    columns = by_gate(kernel, variant.recurrent_gates)
    zeros = tf.zeros_like(kernel[..., : kernel.shape[-1] // len(columns)])
    return tf.concat([columns.get(gate, zeros) for gate in variant.gates], -1)


def _parts(variant: Variant, output_state: Tensor) -> list[Tensor]:
    """Splits what a step passes to the next one into h and the gates."""
    parts: list[Tensor] = tf.split(output_state, 1 + len(variant.recurrent_gates), axis=-1)
    return parts


def _over_time(one: Tensor, other: Tensor) -> Tensor:
    """Contracts `(time, batch, m)` and `(time, batch, n)` over time and batch to `(m, n)`."""
    one, other = (tf.reshape(tensor, [-1, tensor.shape[-1]]) for tensor in (one, other))
    return tf.matmul(one, other, transpose_a=True)


_LATE = ("h", "o")
"""Results that a step computes from the new cell state; it uses the previous one for the others."""


class _Jacobian(NamedTuple):
    """Derivatives of the results of a step, all of them diagonal."""

    by_pre_activation: list[Tensor]  # For all gates, concatenated, in the order of `_routes`.
    by_cell: dict[str, Tensor]  # For each result, by the cell state that it is computed from.


@dataclasses.dataclass(frozen=True)
class _Scan:
    """The forward and backward loops."""

    variant: Variant
    step: Callable[..., tuple[Tensor, Tensor, list[Tensor]]]
    blocks: Blocks

    def __call__(self, mask: Tensor | None, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Runs `_forward`, with `_backward` as its gradient."""
        mask = None if mask is None else mask[..., None]

        @tf.custom_gradient
        def run(*tensors: Tensor) -> tuple[Any, Callable[..., Any]]:
            forward = self._forward(mask, *tensors)

            def gradient(*upstream: Tensor) -> Any:
                # The tensors are arguments again so that an outer tape can trace the gradient.
                @tf.custom_gradient
                def once(*arguments: Tensor) -> tuple[Any, Callable[..., Any]]:
                    taken, given = arguments[: len(tensors)], arguments[len(tensors) :]

                    def twice(*directions: Tensor) -> Any:
                        # Rarely needed: TensorFlow differentiates the forward loop.
                        with tf.GradientTape() as outer, tf.GradientTape() as inner:
                            outer.watch(arguments)
                            inner.watch(taken)
                            results = self._forward(mask, *taken)[:2]
                            grads = inner.gradient(results, taken, given)
                        if any(grad is None for grad in grads):
                            # Inside a ForwardAccumulator, no tape records.
                            raise NotImplementedError(_NO_FORWARD_MODE)
                        return outer.gradient(grads, arguments, directions)

                    return self._backward(mask, forward, given, *taken), twice

                return once(*tensors, *upstream)

            return forward[:2], gradient

        outputs, c = run(*tensors)
        return outputs, c

    def _forward(
        self,
        mask: Tensor | None,
        inputs: Tensor,
        output_state: Tensor,
        c: Tensor,
        kernel: Tensor,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns output states, the last cell state, pre-activations and previous cell states."""
        peephole = self._peephole(c, *weights)
        xs, masks = self.blocks.cut(inputs), None if mask is None else self.blocks.cut(mask)

        def body(index: Tensor, h: Tensor, c: Tensor, *lists: tf.TensorArray) -> tuple[Any, ...]:
            saved: list[tuple[Tensor, ...]] = []
            each_mask = [None] * self.blocks.steps if masks is None else tf.unstack(masks[index])
            for x, valid in zip(tf.unstack(xs[index]), each_mask, strict=True):
                pre_activation = x + tf.matmul(h, kernel)
                pre_activations = by_gate(pre_activation, self.variant.gates)
                new_h, new_c, gates = self.step(pre_activations, c, peephole)
                if self.variant.recurrent_gates:
                    new_h = tf.concat([new_h, *gates], -1)
                if valid is not None:
                    new_h, new_c = tf.where(valid, new_h, h), tf.where(valid, new_c, c)
                saved.append((pre_activation, c, new_h))
                h, c = new_h, new_c
            blocks = map(tf.stack, zip(*saved, strict=True))
            lists = tuple(each.write(index, b) for each, b in zip(lists, blocks, strict=True))
            return index + 1, h, c, *lists

        likes = inputs, c[None], output_state[None]
        lists = [self.blocks.new(like) for like in likes]
        _, _, c, *lists = tf.while_loop(
            lambda index, *_: index < self.blocks.count,
            body,
            (tf.constant(0), output_state, c, *lists),
            maximum_iterations=self.blocks.count,
        )
        # A SavedModel keeps the gradient too, which therefore must not receive a TensorArray.
        pre_activations, cells = map(self.blocks.stack, lists[:2], likes[:2])
        if not self.blocks.full:
            # The last real step may be within the last block.
            last = self.blocks.count - 1
            c = tf.concat([cells[last], c[None]], 0)[self.blocks.time - self.blocks.steps * last]
        return self.blocks.join(lists[2], likes[2]), c, pre_activations, cells

    def _backward(
        self,
        mask: Tensor | None,
        forward: tuple[Tensor, Tensor, Tensor, Tensor],
        upstream: Sequence[Tensor],
        inputs: Tensor,
        output_state: Tensor,
        c: Tensor,
        kernel: Tensor,
        *weights: Tensor,
    ) -> list[Tensor]:
        """Propagates the gradient of a loss from the results of `_forward` to its arguments."""
        output_states, _, pre_activations, cells = forward
        grad_outputs, grad_c = self.blocks.cut(upstream[0]), upstream[1]
        peephole = self._peephole(c, *weights)
        transposed = tf.linalg.matrix_transpose(kernel)
        masks = None if mask is None else self.blocks.cut(mask)
        if mask is None and not self.blocks.full:
            masks = self.blocks.cut(tf.ones([self.blocks.time, 1, 1], bool))

        def body(
            index: Tensor, grad_h: Tensor, grad_c: Tensor, grads: tf.TensorArray, *grad_p: Tensor
        ) -> tuple[Any, ...]:
            before = cells[index]
            valid = None if masks is None else masks[index]
            jacobian, after = self._jacobian(
                by_gate(pre_activations[index], self.variant.gates), before, peephole, valid
            )
            steps = [tf.unstack(tensor) for tensor in tf.nest.flatten(jacobian)]
            steps.append(tf.unstack(grad_outputs[index]))
            each_mask = [None] * self.blocks.steps if mask is None else tf.unstack(valid)
            emitted = []
            for *diagonals, grad, unmasked in reversed(list(zip(*steps, each_mask, strict=True))):
                total = grad_h + grad
                grad, grad_c = self._step_back(
                    tf.nest.pack_sequence_as(jacobian, diagonals), total, grad_c
                )
                emitted.append(grad)
                grad_h = tf.matmul(grad, transposed)
                if unmasked is not None:
                    grad_h += tf.where(unmasked, tf.zeros_like(total), total)
            block = tf.stack(emitted[::-1])
            grad_by_gate = by_gate(block, self.variant.gates)
            grad_p = tuple(
                tf.reduce_sum(grad_by_gate[gate] * (after if gate == "o" else before), 0) + earlier
                for gate, earlier in zip(peephole, grad_p, strict=True)
            )
            return index - 1, grad_h, grad_c, grads.write(index, block), *grad_p

        last = tf.convert_to_tensor(self.blocks.count) - 1
        grad_p = [tf.zeros_like(c) for _ in peephole]
        _, grad_h, grad_c, grads, *grad_p = tf.while_loop(
            lambda index, *_: index >= 0,
            body,
            (last, tf.zeros_like(output_state), grad_c, self.blocks.new(inputs), *grad_p),
            maximum_iterations=self.blocks.count,
        )
        grad_inputs = self.blocks.join(grads, inputs)
        grad_kernel = _over_time(output_state[None], grad_inputs[:1])
        grad_kernel += _over_time(output_states[:-1], grad_inputs[1:])
        grad_weights = [tf.reduce_sum(tf.concat(grad_p, -1), -2)] if grad_p else []
        return [grad_inputs, grad_h, grad_c, grad_kernel, *grad_weights]

    def _jacobian(
        self,
        pre_activations: Mapping[str, Tensor],
        before: Tensor,
        peephole: Mapping[str, Tensor],
        valid: Tensor | None,
    ) -> tuple[_Jacobian, Tensor]:
        """Differentiates the pointwise part of many steps at once; also returns the new cells."""
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([before, *pre_activations.values()])
            h, after, gates = self.step(pre_activations, before, peephole)
        early, late = {**pre_activations, "cell": before}, {"cell": after}
        if "o" in early:
            late["o"] = early.pop("o")
        results = {"h": h, "cell": after}
        if self.variant.recurrent_gates:
            results |= dict(zip(self.variant.recurrent_gates, gates, strict=True))
        zeros = tf.zeros_like(before)
        # For a gate without a peephole, the cell state is unconnected.
        derivatives = {
            name: tape.gradient(
                result, late if name in _LATE else early, unconnected_gradients="zero"
            )
            for name, result in results.items()
        }
        routes = [zip(names, self.variant.gates, strict=True) for names in self._routes()]
        by_pre_activation = [
            tf.concat([derivatives[name][gate] if name else zeros for name, gate in route], -1)
            for route in routes
        ]
        by_cell = {name: derivative["cell"] for name, derivative in derivatives.items()}
        if valid is not None:
            # A masked step passes on its cell state, and nothing else.
            by_pre_activation = [tf.where(valid, each, 0.0) for each in by_pre_activation]
            by_cell = {
                name: tf.where(valid, diagonal, 1.0 if name == "cell" else 0.0)
                for name, diagonal in by_cell.items()
            }
        return _Jacobian(by_pre_activation, by_cell), after

    def _routes(self) -> list[list[str]]:
        """Names what each gate's pre-activation affects: h or the cell; the gate, if recurrent."""
        gates, recurrent = self.variant.gates, self.variant.recurrent_gates
        routes = [["h" if gate == "o" else "cell" for gate in gates]]
        if recurrent:
            routes.append([gate if gate in recurrent else "" for gate in gates])
        return routes

    def _step_back(self, jacobian: _Jacobian, grad_h: Tensor, grad_c: Tensor) -> tuple[Any, Tensor]:
        """Propagates a step's gradient to its pre-activations and the previous cell state."""
        names = ["h", *self.variant.recurrent_gates]
        grads = dict(zip(names, _parts(self.variant, grad_h), strict=True))
        for name in _LATE:
            if name in grads:
                grad_c = grad_c + grads[name] * jacobian.by_cell[name]
        grads["cell"] = grads[""] = grad_c
        grad, *more = [
            tf.concat([grads[name] for name in names], -1) * diagonal
            for names, diagonal in zip(self._routes(), jacobian.by_pre_activation, strict=True)
        ]
        grad_before = grad_c * jacobian.by_cell["cell"]
        for name in self.variant.recurrent_gates.replace("o", ""):
            grad_before += grads[name] * jacobian.by_cell[name]
        return sum(more, grad), grad_before

    def _peephole(self, c: Tensor, peephole: Tensor | None = None) -> dict[str, Tensor]:
        """Splits a peephole vector, and broadcasts it over the batch once for all steps."""
        if peephole is None:
            return {}
        blocks = by_gate(peephole[None], self.variant.peephole_gates)
        return {gate: tf.broadcast_to(block, tf.shape(c)) for gate, block in blocks.items()}
