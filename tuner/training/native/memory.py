"""A network in the engine's memory: its shape, its weights, and the workspace of a training step.

Everything is flat float32, padded with zeros to whole vectors: units and outputs to multiples of
`LANES`. A padding unit has no weights in or out and never gets any: its gradient is exactly zero.
Biases are the last row of the matrix they belong to, for a last input that is always 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Task
from tuner.training.native.compiling import compiled
from tuner.training.native.ctc import CTCBuffers
from tuner.training.native.simd.tiles import Matrix
from tuner.training.native.simd.vectors import aligned_zeros, padded
from tuner.training.trial_state import Weights
from zoo.variants import Variant

HEADS = ("bernoulli", "softmax", "ctc")
"""The heads; compiled code identifies them by their index."""


class Shape(NamedTuple):
    """Sizes and switches of a network: what compiled code knows about task and variant.

    A place counts blocks of `width`, and is -1 for anything that the variant lacks.
    """

    inputs: int  # Features per frame.
    units: int  # LSTM blocks.
    outputs: int  # Outputs per frame.
    head: int  # Index in `HEADS`.
    directions: int  # 1, or 2 if the network also reads backward.
    width: int  # Units, padded.
    gates: int  # Number of blocks in a kernel.
    row: int  # Stride between the rows of kernels and of gate activations.
    output_width: int  # Outputs, padded.
    input_gate: int  # Place of the block in a kernel.
    forget_gate: int
    block_input: int  # Therefore also the number of gates before it.
    output_gate: int
    input_peephole: int  # Place among the peepholes.
    forget_peephole: int
    output_peephole: int
    peepholes: int  # Number of peepholes.
    recurrent_gates: int  # Number of gates that see the previous step's gates: all or none.
    coupled: bool  # The switches of `Variant`.
    input_activation: bool
    output_activation: bool


class Parameters(NamedTuple):
    """Weights of a network (or their velocities); the second direction's follow the first's.

    Shapes have D directions and W units, padded.
    """

    kernel: np.ndarray  # [D, inputs + 1, row], biases last; a row is [gates, W] and a gap.
    recurrent_kernel: np.ndarray  # [D, W, row].
    peephole: np.ndarray  # [D, peepholes, W].
    gate_recurrent_kernel: np.ndarray  # [D, recurrent_gates, W, recurrent_gates, W].
    output_kernel: np.ndarray  # [D W + 1, output_width], biases last.


class Workspace(NamedTuple):
    """All values of a sequence in the network; flat float32, with room for the longest sequence.

    Shapes have D directions, T frames and W units, padded.
    """

    max_frames: int  # Length of the longest sequence.
    inputs: np.ndarray  # [T, inputs + 1], the last always 1.
    noise: np.ndarray  # Standard normals, [T inputs] and up to four more.
    gates: np.ndarray  # Pre-activations, then activations i f z o, [D, T, row].
    cells: np.ndarray  # c, [D, T + 1, W]; row s is the cell before step s.
    tanh_cells: np.ndarray  # h(c), [D, T, W].
    gate_states: np.ndarray  # i f o for the gate recurrence, [D, T, recurrent_gates, W].
    hidden: np.ndarray  # h, [T, D W + 1], the last always 1.
    deltas: np.ndarray  # ∂loss/∂(pre-activations), as `gates`.
    hidden_grads: np.ndarray  # ∂loss/∂h, [T, D W].
    cell_grad: np.ndarray  # ∂loss/∂c through the next step, [W].
    gate_grads: np.ndarray  # ∂loss/∂(i f o) through the gate recurrence, [3, W]; 0 without.
    logits: np.ndarray  # Outputs and then ∂loss/∂outputs, [T, output_width].
    output_buffer: np.ndarray  # One number per output, [output_width].
    output_kernel: np.ndarray  # Transposed, [output_width, D W].
    ctc: CTCBuffers


def _stride(columns: int) -> int:
    """Returns a stride of an odd number of cache lines (of 16 numbers) for rows of `columns`.

    With a power of 2, the lines of a column would all compete for the same few sets of the cache.
    """
    lines = -(-columns // 16)
    return 16 * (lines + 1 - lines % 2)


def shape_of(task: Task, variant: Variant, units: int) -> Shape:
    """Makes the shape of a task's network.

    Args:
        task: provides inputs, outputs, head and direction.
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
        shape: shape of the network.
        max_frames: length of the longest sequence.
        max_labels: largest number of labels of a sequence; only used for head `ctc`.
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


def allocate_for(shape: Shape, splits: Sequence[Sequences]) -> Workspace:
    """Makes a workspace for all sequences of the given splits."""
    frames = max(int(split.lengths.max()) for split in splits)
    labels = max(len(target) for split in splits for target in split.targets)
    return allocate(shape, frames, labels)


@compiled
def frames_in_order(data, direction, length, row, offset):
    """Returns a `Matrix` whose rows are steps in reading order, from data whose rows are frames.

    The part of a row that the direction uses begins at `offset`.
    """
    if direction == 0:
        return Matrix(data, offset, row)
    return Matrix(data, (length - 1) * row + offset, -row)


@compiled
def peephole_at(shape, place, direction):
    """Returns where a peephole's weights begin, or -1 if the variant lacks it."""
    return (direction * shape.peepholes + place) * shape.width if place >= 0 else -1


def keras_shapes(shape: Shape) -> list[tuple[int, ...]]:
    """Lists the shapes of the weights in the order of `keras.Model.get_weights()`."""
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
    """Returns unpadded views of the parameters, each with as many elements as Keras' weight."""
    directions, width, units, gates = shape.directions, shape.width, shape.units, shape.gates

    def by_gate(rows: np.ndarray, count: int) -> np.ndarray:
        """Returns a view [directions, count, gates, units] of rows with gaps."""
        matrix = rows.reshape(directions, count, shape.row)[..., : gates * width]
        return matrix.reshape(directions, count, gates, width)[..., :units]

    kernel = by_gate(parameters.kernel, shape.inputs + 1)
    recurrent = by_gate(parameters.recurrent_kernel, width)
    peephole = parameters.peephole.reshape(directions, shape.peepholes, width)[..., :units]
    gate_recurrent = parameters.gate_recurrent_kernel.reshape(
        directions, shape.recurrent_gates, width, shape.recurrent_gates, width
    )
    output = parameters.output_kernel.reshape(directions * width + 1, shape.output_width)
    views = []
    for direction in range(directions):
        views += [kernel[direction, :-1], recurrent[direction, :units], kernel[direction, -1]]
        if shape.peepholes:
            views.append(peephole[direction])
        if shape.recurrent_gates:
            views.append(gate_recurrent[direction, :, :units, :, :units])
    rows = output[:-1].reshape(directions, width, shape.output_width)
    return [*views, rows[:, :units, : shape.outputs], output[-1, : shape.outputs]]


def pack(shape: Shape, weights: Sequence[np.ndarray]) -> Parameters:
    """Copies weights (or velocities) with the shapes of `keras_shapes` to the engine's layout."""
    parameters = empty(shape)
    for view, array in zip(_views(shape, parameters), weights, strict=True):
        view[...] = array.reshape(view.shape)
    return parameters


def unpack(shape: Shape, parameters: Parameters) -> Weights:
    """Copies weights (or velocities) into Keras' order; the inverse of `pack`."""
    return tuple(
        # Copied even if there is no padding, since training continues in the parameters.
        np.array(view).reshape(size)
        for view, size in zip(_views(shape, parameters), keras_shapes(shape), strict=True)
    )
