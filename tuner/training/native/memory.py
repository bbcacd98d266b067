"""A network in the engine's memory: its shape, its weights, and the workspace of a training step.

Everything is flat float32, padded with zeros to whole vectors: units and outputs to multiples of
`LANES`. A padded unit has no weights in or out and never gets any: its gradient is exactly zero.
Biases are the last row of the matrix whose inputs they follow, for a last input that is always 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tuner.tasks.task import Task
from tuner.training.native.compiling import compiled
from tuner.training.native.ctc import CTCBuffers
from tuner.training.native.simd.tiles import Matrix
from tuner.training.native.simd.vectors import aligned_zeros, padded
from tuner.training.trial_state import Weights
from zoo.variants import Variant

HEADS = ("bernoulli", "softmax", "ctc")
"""The heads; compiled code knows them by their place."""


class Shape(NamedTuple):
    """Sizes and switches of a network: what compiled code is told of task and variant.

    Attributes:
        inputs: features a frame.
        units: LSTM blocks.
        outputs: outputs a frame.
        head: place in `HEADS`.
        directions: 1, or 2 if the network also reads backward.
        width: units, padded.
        gates: blocks of a kernel.
        row: stride between the rows of kernels and of gate activations.
        output_width: outputs, padded.
        input_gate: place of the input gate's block in a kernel, in units of `width`; -1 without.
        forget_gate: that of the forget gate.
        block_input: that of the block input, so also the number of gates before it.
        output_gate: that of the output gate.
        input_peephole: place among the peepholes; -1 without.
        forget_peephole: that of the forget gate.
        output_peephole: that of the output gate.
        peepholes: number of peepholes.
        recurrent_gates: number of gates that see the previous step's gates: all or none.
        coupled: whether the forget gate is 1 minus the input gate.
        input_activation: whether the block input passes through tanh.
        output_activation: whether the cell passes through tanh on its way out.
    """

    inputs: int
    units: int
    outputs: int
    head: int
    directions: int
    width: int
    gates: int
    row: int
    output_width: int
    input_gate: int
    forget_gate: int
    block_input: int
    output_gate: int
    input_peephole: int
    forget_peephole: int
    output_peephole: int
    peepholes: int
    recurrent_gates: int
    coupled: bool
    input_activation: bool
    output_activation: bool


class Parameters(NamedTuple):
    """Weights of a network (or their velocities), those of the second direction behind the first's.

    Attributes:
        kernel: [directions, inputs + 1, row], the biases last; a row is [gates, width] and a gap.
        recurrent_kernel: [directions, width, row].
        peephole: [directions, peepholes, width].
        gate_recurrent_kernel: [directions, recurrent_gates, width, recurrent_gates, width].
        output_kernel: [directions * width + 1, output_width], the biases last.
    """

    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    peephole: np.ndarray
    gate_recurrent_kernel: np.ndarray
    output_kernel: np.ndarray


class Workspace(NamedTuple):
    """What a sequence does in the network; flat float32, for sequences up to the longest.

    Attributes:
        max_frames: the length of the longest sequence.
        inputs: [frames, inputs + 1], the last always 1.
        noise: standard normals, [frames * inputs] and up to four more.
        gates: pre-activations, then activations i f z o, [directions, frames, row].
        cells: c, [directions, frames + 1, width]; row s is the cell before step s.
        tanh_cells: h(c), [directions, frames, width].
        gate_states: activations i f o for the gate recurrence, [directions, frames,
            recurrent_gates, width].
        hidden: h, [frames, directions * width + 1], the last always 1.
        deltas: ∂loss/∂(pre-activations), as `gates`.
        hidden_grads: ∂loss/∂h, [frames, directions * width].
        cell_grad: ∂loss/∂c through the step after, [width].
        gate_grads: ∂loss/∂(i f o) through the step after, [3, width]; without gate recurrence 0.
        logits: outputs and then ∂loss/∂outputs, [frames, output_width].
        output_buffer: one number an output, [output_width].
        output_kernel: the output kernel, transposed.
        ctc: for the sums over paths.
    """

    max_frames: int
    inputs: np.ndarray
    noise: np.ndarray
    gates: np.ndarray
    cells: np.ndarray
    tanh_cells: np.ndarray
    gate_states: np.ndarray
    hidden: np.ndarray
    deltas: np.ndarray
    hidden_grads: np.ndarray
    cell_grad: np.ndarray
    gate_grads: np.ndarray
    logits: np.ndarray
    output_buffer: np.ndarray
    output_kernel: np.ndarray
    ctc: CTCBuffers


def _stride(columns: int) -> int:
    """Returns a stride of an odd number of cache lines (of 16 numbers) for rows of `columns`.

    With a power of 2, the lines of a column would all claim the same few places of the cache.
    """
    lines = -(-columns // 16)
    return 16 * (lines + 1 - lines % 2)


def shape_of(task: Task, variant: Variant, units: int) -> Shape:
    """Makes the shape of a task's network.

    Args:
        task: inputs, outputs, head and direction.
        variant: any legal combination of switches.
        units: LSTM blocks.
    """
    return Shape(
        inputs=task.inputs,
        units=units,
        outputs=task.outputs,
        head=HEADS.index(task.head),
        directions=2 if task.bidirectional else 1,
        width=padded(units),
        gates=len(variant.gates),
        row=_stride(len(variant.gates) * padded(units)),
        output_width=padded(task.outputs),
        input_gate=variant.gates.find("i"),
        forget_gate=variant.gates.find("f"),
        block_input=variant.gates.find("z"),
        output_gate=variant.gates.find("o"),
        input_peephole=variant.peephole_gates.find("i"),
        forget_peephole=variant.peephole_gates.find("f"),
        output_peephole=variant.peephole_gates.find("o"),
        peepholes=len(variant.peephole_gates),
        recurrent_gates=len(variant.recurrent_gates),
        coupled=variant.coupled,
        input_activation=variant.input_activation,
        output_activation=variant.output_activation,
    )


def allocate(shape: Shape, max_frames: int, max_labels: int) -> Workspace:
    """Makes a workspace.

    Args:
        shape: the network's.
        max_frames: length of the longest sequence.
        max_labels: most labels of a sequence; counts for head `ctc`.
    """
    directions, width, frames = shape.directions, shape.width, max_frames
    ctc = HEADS[shape.head] == "ctc"
    workspace = Workspace(
        max_frames=frames,
        inputs=aligned_zeros(frames * (shape.inputs + 1)),
        noise=aligned_zeros(frames * shape.inputs + 4),
        gates=aligned_zeros(directions * frames * shape.row),
        cells=aligned_zeros(directions * (frames + 1) * width),
        tanh_cells=aligned_zeros(directions * frames * width),
        gate_states=aligned_zeros(directions * frames * shape.recurrent_gates * width),
        hidden=aligned_zeros(frames * (directions * width + 1)),
        deltas=aligned_zeros(directions * frames * shape.row),
        hidden_grads=aligned_zeros(frames * directions * width),
        cell_grad=aligned_zeros(width),
        gate_grads=aligned_zeros(3 * width),
        logits=aligned_zeros(frames * shape.output_width),
        output_buffer=aligned_zeros(shape.output_width),
        output_kernel=aligned_zeros(directions * width * shape.output_width),
        ctc=CTCBuffers.allocate(shape.outputs, frames * ctc, max_labels * ctc),
    )
    workspace.inputs[shape.inputs :: shape.inputs + 1] = 1
    workspace.hidden[directions * width :: directions * width + 1] = 1
    return workspace


@compiled
def frames_in_order(data, direction, length, row, offset):
    """Returns rows that are frames as a `Matrix` whose rows are steps, in the order of reading.

    What the direction uses of a row begins at `offset`.
    """
    if direction == 0:
        return Matrix(data, offset, row)
    return Matrix(data, (length - 1) * row + offset, -row)


@compiled
def peephole_at(shape, place, direction):
    """Returns where a peephole's weights begin, -1 for one that the variant lacks."""
    return (direction * shape.peepholes + place) * shape.width if place >= 0 else -1


def keras_shapes(shape: Shape) -> list[tuple[int, ...]]:
    """Lists the shapes of the weights as `keras.Model.get_weights()` orders them."""
    units, columns = shape.units, shape.gates * shape.units
    cell: list[tuple[int, ...]] = [(shape.inputs, columns), (units, columns), (columns,)]
    if shape.peepholes:
        cell.append((shape.peepholes * units,))
    if shape.recurrent_gates:
        cell.append((shape.recurrent_gates * units,) * 2)
    output = [(shape.directions * units, shape.outputs), (shape.outputs,)]
    return cell * shape.directions + output


def empty(shape: Shape) -> Parameters:
    """Makes parameters that are all zero."""
    directions, width = shape.directions, shape.width
    sizes = (
        directions * (shape.inputs + 1) * shape.row,
        directions * width * shape.row,
        directions * shape.peepholes * width,
        directions * (shape.recurrent_gates * width) ** 2,
        (directions * width + 1) * shape.output_width,
    )
    return Parameters(*(aligned_zeros(size) for size in sizes))


def _views(shape: Shape, parameters: Parameters) -> list[np.ndarray]:
    """Cuts the padding off: views of the parameters, each with the number of elements of Keras'."""
    directions, width, units, gates = shape.directions, shape.width, shape.units, shape.gates

    def by_gate(rows: np.ndarray, count: int) -> np.ndarray:
        """[directions, count, gates, units] of rows with gaps."""
        matrix = rows.reshape(directions, count, shape.row)[..., : gates * width]
        # A view: the last axis is cut in two.
        return np.lib.stride_tricks.as_strided(
            matrix,
            (directions, count, gates, units),
            (*matrix.strides[:2], width * matrix.itemsize, matrix.itemsize),
        )

    kernel = by_gate(parameters.kernel, shape.inputs + 1)
    recurrent = by_gate(parameters.recurrent_kernel, width)
    peephole = parameters.peephole.reshape(directions, shape.peepholes, width)[..., :units]
    gate_recurrent = parameters.gate_recurrent_kernel.reshape(
        directions, shape.recurrent_gates, width, shape.recurrent_gates, width
    )
    output = parameters.output_kernel.reshape(directions * width + 1, shape.output_width)
    views = []
    for direction in range(directions):
        views += [
            kernel[direction, :-1],
            recurrent[direction, :units],
            kernel[direction, -1],
        ]
        if shape.peepholes:
            views.append(peephole[direction])
        if shape.recurrent_gates:
            views.append(gate_recurrent[direction, :, :units, :, :units])
    rows = output[:-1].reshape(directions, width, shape.output_width)
    return [*views, rows[:, :units, : shape.outputs], output[-1, : shape.outputs]]


def pack(shape: Shape, weights: Sequence[np.ndarray]) -> Parameters:
    """Brings weights (or velocities), shaped as `keras_shapes` says, into the engine's memory."""
    parameters = empty(shape)
    for view, array in zip(_views(shape, parameters), weights, strict=True):
        view[...] = array.reshape(view.shape)
    return parameters


def unpack(shape: Shape, parameters: Parameters) -> Weights:
    """Copies weights (or velocities) into Keras' order; the inverse of `pack`."""
    return tuple(
        # A copy also where there is no padding: training goes on in the parameters.
        np.array(view).reshape(size)
        for view, size in zip(_views(shape, parameters), keras_shapes(shape), strict=True)
    )
