"""Runs a network of the zoo as a server does: on whole sequences, chunks, or single frames.

The layer for training (`zoo.RNN`) keeps what its gradient needs. The functions here only keep the
states, accept the caller's states, and support empty sequences.

Whether a sequence is read by frames, by chunks, or whole, the states and the logits are the same,
bit for bit, as long as the batch size is the same. Every row goes through the same operations in
each case, and no matrix product has a single row where another has several: TensorFlow adds the
terms of a product with a single row in another order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

import zoo
from common.errors import InputError
from zoo import networks, variant_cell
from zoo.blocks import Blocks

Tensor = Any

Step = Callable[[Tensor, Sequence[Tensor]], list[Tensor]]
"""Maps a projected frame and the states before it to the states after it."""

_ROWS = 2
"""Fewest rows of a matrix product that TensorFlow does not treat as a product with a vector."""

STATES = ("h", "c", "gates")
"""Names of a cell's states; only full gate recurrence has the third."""


def _fill_up(tensor: Tensor, axis: int) -> Tensor:
    """Pads an axis with zeros to at least `_ROWS` entries."""
    size = tensor.shape[axis]
    missing = tf.maximum(_ROWS - tf.shape(tensor)[axis], 0) if size is None else _ROWS - size
    if size is not None and missing <= 0:
        return tensor
    return tf.pad(tensor, [[0, missing if i == axis else 0] for i in range(len(tensor.shape))])


def of_as_many_rows(first: Tensor, *others: Tensor) -> Tensor:
    """Checks that inputs have as many rows as the first one, and returns the first one.

    Otherwise a single row would silently be used for all others. And the memory for the rows of a
    sequence without frames, which take no bytes in a request, would have no bound.

    Args:
        first: `(batch, ...)`.
        *others: `(batch, ...)`.
    """
    free = [other for other in others if first.shape[0] is None or other.shape[0] is None]
    checks = [
        tf.debugging.assert_equal(
            tf.shape(other)[0],
            tf.shape(first)[0],
            message="expected inputs of one batch size",
            summarize=1,
        )
        for other in free
    ]
    if not checks:
        return first
    # Nothing is computed from it before the checks.
    with tf.control_dependencies(checks):
        return tf.identity(first)


def _by_gate(tensor: Tensor, gates: str) -> dict[str, Tensor]:
    return dict(zip(gates, tf.split(tensor, len(gates), axis=-1), strict=True))


@dataclasses.dataclass(frozen=True)
class Recurrence:
    """A cell of the zoo applied over time, with the cell's own weights.

    Attributes:
        cell: the cell.
        steps: time steps per iteration of the loop over time; None for what suits TensorFlow.
    """

    cell: zoo.VariantCell
    steps: int | None = None

    @property
    def widths(self) -> dict[str, int]:
        """Sizes of the states by name, in the order of the cell's states."""
        return dict(zip(STATES, self.cell.state_size, strict=False))

    def zero_states(self, batch: int | Tensor) -> list[Tensor]:
        """Returns the states before a first frame."""
        return [tf.zeros([batch, width]) for width in self.widths.values()]

    def project(self, rows: Tensor) -> Tensor:
        """Computes x W + b for frames `(rows, features)`."""
        projected = tf.matmul(rows, tf.convert_to_tensor(self.cell.kernel))
        if self.cell.bias is None:
            return projected
        return tf.nn.bias_add(projected, tf.convert_to_tensor(self.cell.bias))

    def stepper(self) -> Step:
        """Reads the weights, and returns a function that takes one step with them.

        It maps a projected frame `(batch, gates * units)` and the states before it to those after.
        """
        cell, variant = self.cell, self.cell.variant
        kernel, peephole, gate_kernel = (
            None if weight is None else tf.convert_to_tensor(weight)
            for weight in (cell.recurrent_kernel, cell.peephole, cell.gate_recurrent_kernel)
        )
        peepholes = {} if peephole is None else _by_gate(peephole, variant.peephole_gates)

        def step(net: Tensor, states: Sequence[Tensor]) -> list[Tensor]:
            h, c, *before = states
            nets = _by_gate(net + tf.matmul(h, kernel), variant.gates)
            if before:
                seen = tf.matmul(before[0], gate_kernel)
                for gate, extra in _by_gate(seen, variant.recurrent_gates).items():
                    nets[gate] += extra
            h, c, gates = variant_cell.step(
                variant, nets, c, peepholes, cell.activation, cell.recurrent_activation
            )
            return [h, c, tf.concat(gates, -1)] if before else [h, c]

        return step

    def read(
        self, frames: Tensor, mask: Tensor, states: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Runs the cell over padded sequences.

        Args:
            frames: `(time, batch, features)`, at least one frame.
            mask: boolean `(time, batch)`; where it is False, the states do not change.
            states: states before the first step.

        Returns:
            h after every step, `(time, batch, units)`, and the states after the last one.
        """
        rows = self.project(tf.reshape(frames, [-1, frames.shape[-1]]))
        time, batch, _ = tf.unstack(tf.shape(frames))
        nets = tf.reshape(rows, [time, batch, rows.shape[-1]])
        blocks = self._blocks(nets, states[1])
        # The steps that fill up the last block are masked too.
        cut_nets, cut_mask = blocks.cut(nets), blocks.cut(mask[..., None])
        step = self.stepper()

        def body(index: Tensor, outputs: tf.TensorArray, *states: Tensor) -> tuple[Any, ...]:
            hidden = []
            for net, counts in zip(
                tf.unstack(cut_nets[index]), tf.unstack(cut_mask[index]), strict=True
            ):
                after = step(net, states)
                states = tuple(
                    tf.where(counts, new, old) for new, old in zip(after, states, strict=True)
                )
                hidden.append(states[0])
            return index + 1, outputs.write(index, tf.stack(hidden)), *states

        like = states[0][None]
        _, outputs, *after = tf.while_loop(
            lambda index, *_: index < blocks.count,
            body,
            (tf.constant(0), blocks.new(like), *states),
            maximum_iterations=blocks.count,
        )
        return blocks.join(outputs, like), after

    def _blocks(self, nets: Tensor, c: Tensor) -> Blocks:
        if self.steps is None:
            return Blocks.plan(nets, c)
        time = tf.shape(nets)[0]
        count = (time + self.steps - 1) // self.steps
        return Blocks(time, count, self.steps, full=self.steps == 1)


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of `zoo.networks`: a layer that reads forward, perhaps one that reads backward.

    Attributes:
        forward: reads from the first frame to the last.
        backward: reads from the last frame to the first; None in a network that can answer frame
            by frame.
        output: computes the logits from the hidden states.
        inputs: number of features per frame.
    """

    forward: Recurrence
    backward: Recurrence | None
    output: keras.layers.Layer
    inputs: int

    @classmethod
    def of(cls, model: keras.Model, name: str, steps: int | None = None) -> Network:
        """Finds the parts of a model.

        Args:
            model: a model made by `zoo.networks`, or one of the same layers.
            name: name of the model in error messages.
            steps: see `Recurrence`.

        Raises:
            InputError: if the model has other layers.
        """
        recurrent, output = _layers(model, name)
        if not getattr(recurrent, "return_sequences", False):
            raise _unfit(name, f"a layer `{recurrent.name}` that returns sequences")
        layers = [recurrent]
        if isinstance(recurrent, keras.layers.Bidirectional):
            if recurrent.merge_mode != "concat":
                raise _unfit(name, 'a bidirectional layer with merge_mode="concat"')
            layers = [recurrent.forward_layer, recurrent.backward_layer]
        if layers[0].go_backwards:
            raise _unfit(name, f"a layer `{recurrent.name}` that reads forward")
        cells = [getattr(layer, "cell", layer) for layer in layers]
        for cell in cells:
            if not isinstance(cell, zoo.VariantCell):
                raise _unfit(name, f"a cell of the zoo in `{recurrent.name}`", type(cell).__name__)
            if cell.compute_dtype != "float32":
                raise _unfit(name, "a model that computes in float32", cell.compute_dtype)
        forward, *rest = (Recurrence(cell, steps) for cell in cells)
        return cls(forward, rest[0] if rest else None, output, model.inputs[0].shape[-1])

    def sequences(
        self, sequence: Tensor, lengths: Tensor, states: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Computes the logits of padded sequences.

        Args:
            sequence: `(batch, time, features)`.
            lengths: `(batch,)`; frames from a sequence's length on have no effect.
            states: states of `forward` before the first frame; zeros if not given.

        Returns:
            Logits `(batch, time, outputs)`, meaningless in the padding, and the states of
            `forward` after each sequence's last frame.
        """
        sequence = of_as_many_rows(sequence, lengths, *(states or ()))
        time = tf.shape(sequence)[1]
        # At least two frames, even for an empty sequence.
        frames = _fill_up(tf.transpose(sequence, [1, 0, 2]), 0)
        steps, batch, _ = tf.unstack(tf.shape(frames))
        # Not a transposed `sequence_mask`: oneDNN complains of transposed booleans.
        mask = tf.range(steps)[:, None] < tf.minimum(lengths, time)
        if states is None:
            states = self.forward.zero_states(batch)
        hidden, after = self.forward.read(frames, mask, states)
        if self.backward is not None:
            frames, mask = tf.reverse(frames, [0]), tf.reverse(mask, [0])
            other, _ = self.backward.read(frames, mask, self.backward.zero_states(batch))
            hidden = tf.concat([hidden, tf.reverse(other, [0])], -1)
        rows = self.output(tf.reshape(hidden, [-1, hidden.shape[-1]]))
        logits = tf.reshape(rows, [steps, batch, rows.shape[-1]])
        return tf.transpose(logits[:time], [1, 0, 2]), after

    def frame(self, frame: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Computes the logits of one frame of each sequence, without a loop.

        Args:
            frame: `(batch, features)`.
            states: states of `forward` before the frame.

        Returns:
            Logits `(batch, outputs)` and the states after the frame.
        """
        frame = of_as_many_rows(frame, *states)
        batch = tf.shape(frame)[0]
        net = self.forward.project(_fill_up(frame, 0))[:batch]
        after = self.forward.stepper()(net, states)
        return self.output(_fill_up(after[0], 0))[:batch], after


def _layers(model: keras.Model, name: str) -> list[keras.layers.Layer]:
    """Returns the layers between a model's input and output, which must be the zoo's two."""
    wanted = [networks.RECURRENT, networks.LOGITS]
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    if [layer.name for layer in layers] != wanted or len(model.inputs) != 1:
        found = ", ".join(layer.name for layer in layers) or "none"
        raise _unfit(name, f"the layers {' and '.join(wanted)} (see zoo.networks)", found)
    if not isinstance(layers[1], keras.layers.Dense):
        raise _unfit(name, f"a dense layer `{layers[1].name}`", type(layers[1]).__name__)
    return layers


def _unfit(name: str, expected: str, received: str = "another") -> InputError:
    return InputError(f"{name}: expected {expected}. Received: {received}")
