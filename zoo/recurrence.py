"""The scan of any LSTM variant through time and back, on TensorFlow, with its own gradient.

A loop that TensorFlow differentiates keeps every intermediate tensor of every step, and goes back
through every operation of the step. Here

- the loop forward keeps, of each step, what reaches the gates (`net`), the cell before, and the
  block output;
- the step is pointwise but for its matrix product, so its derivatives are diagonals: slopes of
  outputs in inputs. `tf.GradientTape` takes them from `zoo.variant_cell.step`, many steps at a
  time, because they do not depend on what comes back from later steps. No variant needs a
  derivative by hand;
- the loop backward only carries the gradient of the states through these slopes and emits that of
  `net`; the gradient of the recurrent kernels is one matrix product over all steps after the loop.

Steps are taken some at a time (a *block*), which saves the loop's own operations.
Every operation is one of any TensorFlow build: a graph of this runs wherever TensorFlow does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from zoo.blocks import Blocks
from zoo.variant_cell import step
from zoo.variants import Variant

Tensor = Any
Activation = Callable[[Tensor], Tensor]


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

        net_t = inputs_t + h_{t-1} R (+ [i_{t-1} f_{t-1} o_{t-1}] R_gates)
        h_t, c_t, gates_t = zoo.variant_cell.step(net_t, c_{t-1})

    Every tensor but `mask` is differentiated, once, and has the same floating-point type. A trial
    axis K stands, where there is one, before the batch and before the axes of every weight: K
    networks of their own, side by side.

    Args:
        variant: what to compute.
        inputs: what the gates get from outside, `x_t W + b`, gates in the order of
            `variant.gates`: `(time, batch, gates * units)` or `(time, K, batch, gates * units)`.
        states: before the first step, `[h, c]`, each `(batch, units)` or `(K, batch, units)`; in
            full gate recurrence `[h, c, gates]`, `gates` with 3 * units.
        recurrent_kernel: `(units, gates * units)` or `(K, units, gates * units)`.
        peephole: `(peepholes * units,)` or `(K, peepholes * units)`, for a variant with peepholes.
        gate_recurrent_kernel: `(3 * units, 3 * units)` or `(K, 3 * units, 3 * units)`, for full
            gate recurrence.
        mask: boolean, `(time, batch)` or `(time, K, batch)`, K may be 1; at a step where it is
            False all states stay as they were. Sequences of different lengths have
            `tf.transpose(tf.sequence_mask(lengths, time))`.
        activation: g and h; acts on every number by itself.
        recurrent_activation: σ; likewise.

    Returns:
        h after every step, `(time, (K,) batch, units)`, and the states after the last.

    Raises:
        NotImplementedError: when a gradient of this is differentiated again.

    Example:
        >>> from zoo.variants import VARIANTS
        >>> inputs, state = tf.zeros((7, 2, 12)), tf.zeros((2, 3))
        >>> outputs, states = scan(VARIANTS["NP"], inputs, [state, state], tf.ones((3, 12)))
        >>> tuple(outputs.shape), len(states)
        ((7, 2, 3), 2)
    """
    h, c, *gates = states
    # What the next step sees through matrices: h, and in full gate recurrence the gates beside it.
    seen = tf.concat([h, *gates], -1)
    kernel = recurrent_kernel
    if gate_recurrent_kernel is not None:
        kernel = tf.concat([kernel, _to_all_gates(variant, gate_recurrent_kernel)], -2)
    scanned = _Scan(variant, activation, recurrent_activation, Blocks.plan(inputs, c))
    tensors = [inputs, seen, c, kernel, *([] if peephole is None else [peephole])]
    # Variables too become tensors: a gradient of our own has to be handed those.
    outputs, c = scanned(mask, *map(tf.convert_to_tensor, tensors))
    h, *gates = _parts(variant, outputs[-1])
    if gates:
        outputs = outputs[..., : h.shape[-1]]
    return outputs, [h, c, *([tf.concat(gates, -1)] if gates else [])]


def _to_all_gates(variant: Variant, kernel: Tensor) -> Tensor:
    """Widens a kernel, by zeros for the gates that do not see their predecessors."""
    columns = _by_gate(kernel, variant.recurrent_gates)
    nothing = tf.zeros_like(columns["i"])
    return tf.concat([columns.get(gate, nothing) for gate in variant.gates], -1)


def _by_gate(tensor: Tensor, gates: str) -> dict[str, Tensor]:
    """Cuts the last axis into the blocks of `gates`."""
    return dict(zip(gates, tf.split(tensor, len(gates), axis=-1), strict=True))


def _parts(variant: Variant, seen: Tensor) -> list[Tensor]:
    """Cuts what a step sees of its predecessor into h and the gates."""
    if not variant.recurrent_gates:
        return [seen]
    parts: list[Tensor] = tf.split(seen, 1 + len(variant.recurrent_gates), axis=-1)
    return parts


def _over_time(one: Tensor, other: Tensor) -> Tensor:
    """Multiplies matrices `(time, batch, m)` and `(time, batch, n)`, with K or not, to `(m, n)`."""
    if len(one.shape) > 3:
        return tf.einsum("tkbm,tkbn->kmn", one, other)
    flat = [tf.reshape(tensor, [-1, tensor.shape[-1]]) for tensor in (one, other)]
    return tf.matmul(*flat, transpose_a=True)


_LATE = ("h", "o")
"""Results of a step that it makes of the new cell; the others it makes of the cell before."""


class _Slopes(NamedTuple):
    """Derivatives of the results of a step: all are diagonals."""

    to_net: list[Tensor]  # By the nets of all gates side by side, in the order of `_routes`.
    to_cell: dict[str, Tensor]  # Of each result by the cell that it is made of.


@dataclasses.dataclass(frozen=True)
class _Scan:
    """The two loops."""

    variant: Variant
    activation: Activation
    recurrent_activation: Activation
    blocks: Blocks

    def __call__(self, mask: Tensor | None, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Runs `_forward`, and `_backward` for its gradient."""
        keep = None if mask is None else mask[..., None]

        @tf.custom_gradient
        def run(*tensors: Tensor) -> tuple[Any, Callable[..., Any]]:
            forward = self._forward(keep, *tensors)

            def gradient(*slopes: Tensor) -> Any:
                # The tensors are arguments once more for a tape around this to find its way here.
                @tf.custom_gradient
                def once(*arguments: Tensor) -> tuple[Any, Callable[..., Any]]:
                    taken, given = arguments[: len(tensors)], arguments[len(tensors) :]
                    return self._backward(keep, forward, given, *taken), _refuse

                return once(*tensors, *slopes)

            return forward[:2], gradient

        outputs, c = run(*tensors)
        return outputs, c

    def _forward(
        self, keep: Tensor | None, inputs: Tensor, seen: Tensor, c: Tensor, *weights: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns what each step shows to the next, the last cell, all nets and cells before."""
        kernel, peephole = weights[0], self._peephole(c, *weights[1:])
        xs, masks = self.blocks.cut(inputs), None if keep is None else self.blocks.cut(keep)

        def body(index: Tensor, seen: Tensor, c: Tensor, *lists: tf.TensorArray) -> tuple[Any, ...]:
            saved: list[tuple[Tensor, ...]] = []
            keeps = [None] * self.blocks.steps if masks is None else tf.unstack(masks[index])
            for x, kept in zip(tf.unstack(xs[index]), keeps, strict=True):
                net = x + tf.matmul(seen, kernel)
                h, after, gates = self._step(_by_gate(net, self.variant.gates), c, peephole)
                shown = tf.concat([h, *gates], -1) if self.variant.recurrent_gates else h
                if kept is not None:
                    shown, after = tf.where(kept, shown, seen), tf.where(kept, after, c)
                saved.append((net, c, shown))
                seen, c = shown, after
            blocks = map(tf.stack, zip(*saved, strict=True))
            lists = tuple(each.write(index, b) for each, b in zip(lists, blocks, strict=True))
            return index + 1, seen, c, *lists

        lists = [self.blocks.new(like) for like in (inputs, c[None], seen[None])]
        _, _, c, nets, cells, seens = tf.while_loop(
            lambda index, *_: index < self.blocks.count,
            body,
            (tf.constant(0), seen, c, *lists),
            maximum_iterations=self.blocks.count,
        )
        if not self.blocks.full:
            # The last real step may be within the last block.
            last = self.blocks.count - 1
            ends = tf.concat([cells.read(last), c[None]], 0)
            c = ends[self.blocks.time - self.blocks.steps * last]
        # A SavedModel keeps the gradient too, and for that no list may go from here to there.
        return self.blocks.join(seens), c, nets.stack(), cells.stack()

    def _backward(
        self,
        keep: Tensor | None,
        forward: tuple[Tensor, Tensor, Tensor, Tensor],
        slopes: Sequence[Tensor],
        inputs: Tensor,
        seen: Tensor,
        c: Tensor,
        *weights: Tensor,
    ) -> list[Tensor]:
        """Takes slopes of a loss in seens and c that `_forward` returned to what it was given."""
        seens, _, nets, cells = forward
        d_seens, d_c = slopes
        kernel, peephole = weights[0], self._peephole(c, *weights[1:])
        transposed = tf.linalg.matrix_transpose(kernel)
        arriving = self.blocks.cut(d_seens)
        counted = None if keep is None else self.blocks.cut(keep)
        if keep is None and not self.blocks.full:
            counted = self.blocks.cut(tf.ones([self.blocks.time, *[1] * len(c.shape)], bool))

        def body(
            index: Tensor, d_seen: Tensor, d_c: Tensor, d_nets: tf.TensorArray, *d_peephole: Tensor
        ) -> tuple[Any, ...]:
            net = _by_gate(nets[index], self.variant.gates)
            before = cells[index]
            kept = None if counted is None else counted[index]
            slopes, after = self._slopes(net, before, peephole, kept)
            steps = [tf.unstack(tensor) for tensor in tf.nest.flatten(slopes)]
            steps.append(tf.unstack(arriving[index]))
            passed = [None] * self.blocks.steps if keep is None else tf.unstack(kept)
            found = []
            for *here, d_here, stays in reversed(list(zip(*steps, passed, strict=True))):
                total = d_seen + d_here
                d_net, d_c = self._step_back(tf.nest.pack_sequence_as(slopes, here), total, d_c)
                found.append(d_net)
                d_seen = tf.matmul(d_net, transposed)
                if stays is not None:
                    d_seen += tf.where(stays, tf.zeros_like(total), total)
            block = tf.stack(found[::-1])
            by_gate = _by_gate(block, self.variant.gates)
            d_peephole = tuple(
                tf.reduce_sum(by_gate[gate] * (after if gate == "o" else before), 0) + earlier
                for gate, earlier in zip(peephole, d_peephole, strict=True)
            )
            return index - 1, d_seen, d_c, d_nets.write(index, block), *d_peephole

        last = tf.convert_to_tensor(self.blocks.count) - 1
        d_peephole = [tf.zeros_like(c) for _ in peephole]
        _, d_seen, d_c, d_nets, *d_peephole = tf.while_loop(
            lambda index, *_: index >= 0,
            body,
            (last, tf.zeros_like(seen), d_c, self.blocks.new(inputs), *d_peephole),
            maximum_iterations=self.blocks.count,
        )
        d_inputs = self.blocks.join(d_nets)
        d_kernel = _over_time(seen[None], d_inputs[:1]) + _over_time(seens[:-1], d_inputs[1:])
        d_weights = [d_kernel]
        if d_peephole:
            d_weights.append(tf.reduce_sum(tf.concat(d_peephole, -1), -2))
        return [d_inputs, d_seen, d_c, *d_weights]

    def _slopes(
        self,
        net: Mapping[str, Tensor],
        before: Tensor,
        peephole: Mapping[str, Tensor],
        kept: Tensor | None,
    ) -> tuple[_Slopes, Tensor]:
        """Differentiates the pointwise part of many steps at a time; also returns the new cell."""
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([before, *net.values()])
            h, after, gates = self._step(net, before, peephole)
        early, late = {**net, "cell": before}, {"cell": after}
        if "o" in early:
            late["o"] = early.pop("o")
        results = {"h": h, "cell": after}
        if self.variant.recurrent_gates:
            results |= dict(zip(self.variant.recurrent_gates, gates, strict=True))
        nothing = tf.zeros_like(before)
        slopes = {
            name: tape.gradient(result, late if name in _LATE else early)
            for name, result in results.items()
        }
        routes = [zip(names, self.variant.gates, strict=True) for names in self._routes()]
        to_net = [
            tf.concat([slopes[name][gate] if name else nothing for name, gate in route], -1)
            for route in routes
        ]
        to_cell = {name: slope["cell"] for name, slope in slopes.items()}
        if kept is not None:
            # A step that does not count hands its cell on, and nothing else.
            to_net = [tf.where(kept, slope, tf.zeros_like(slope)) for slope in to_net]
            to_cell = {
                name: tf.where(kept, slope, tf.ones_like(slope) if name == "cell" else nothing)
                for name, slope in to_cell.items()
            }
        return _Slopes(to_net, to_cell), after

    def _routes(self) -> list[list[str]]:
        """Names, for each gate, what its `net` changes directly: once, and again if it is shown."""
        gates, shown = self.variant.gates, self.variant.recurrent_gates
        routes = [["h" if gate == "o" else "cell" for gate in gates]]
        return routes + ([[gate if gate in shown else "" for gate in gates]] if shown else [])

    def _step_back(self, slopes: _Slopes, d_seen: Tensor, d_c: Tensor) -> tuple[Tensor, Tensor]:
        """Takes the gradient of what a step returned to its `net` and to the cell before."""
        names = ["h", *self.variant.recurrent_gates]
        d = dict(zip(names, _parts(self.variant, d_seen), strict=True))
        for name in _LATE:
            if name in d:
                d_c = d_c + d[name] * slopes.to_cell[name]
        d["cell"] = d[""] = d_c
        d_net, *more = [
            tf.concat([d[name] for name in names], -1) * slope
            for names, slope in zip(self._routes(), slopes.to_net, strict=True)
        ]
        d_before = d_c * slopes.to_cell["cell"]
        for name in self.variant.recurrent_gates.replace("o", ""):
            d_before += d[name] * slopes.to_cell[name]
        return sum(more, d_net), d_before

    def _step(
        self, net: Mapping[str, Tensor], c: Tensor, peephole: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        return step(self.variant, net, c, peephole, self.activation, self.recurrent_activation)

    def _peephole(self, c: Tensor, peephole: Tensor | None = None) -> dict[str, Tensor]:
        """Cuts a peephole vector, and repeats it over the batch: each step would do so anew."""
        if peephole is None:
            return {}
        blocks = _by_gate(peephole[..., None, :], self.variant.peephole_gates)
        return {gate: tf.broadcast_to(block, tf.shape(c)) for gate, block in blocks.items()}


def _refuse(*_: Tensor) -> Any:
    raise NotImplementedError(
        "zoo.RNN has no second derivatives: use keras.layers.RNN(cell), whose values are the same."
    )
