"""A network in the engine's memory: its shape, its weights, and where they are in Keras' order.

Everything is flat float32, padded with zeros to whole vectors: units to a multiple of `LANES`, so
that every gate has whole vectors, and outputs likewise. A padded unit has no weights in or out and
never gets any: its gradient is exactly zero. Biases are the last row of the matrix whose inputs
they follow, for a last input that is always 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tuner.tasks.task import Task
from tuner.training.native.simd.vectors import LANES
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
        forget_gate: likewise.
        block_input: likewise.
        output_gate: likewise.
        input_peephole: place among the peepholes; -1 without.
        forget_peephole: likewise.
        output_peephole: likewise.
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


def _padded(size: int) -> int:
    return -(-size // LANES) * LANES


def _stride(columns: int) -> int:
    """Returns a stride of an odd number of cache lines (of 16 numbers) for rows of `columns`.

    With a power of 2, the lines of a column would all claim the same few places of the cache.
    """
    lines = -(-columns // 16)
    return 16 * (lines + 1 - lines % 2)


def zeros(size: int) -> np.ndarray:
    """Makes zeros, float32 [size], that begin with a cache line."""
    room = np.zeros(size + 16, np.float32)
    start = -room.ctypes.data // 4 % 16
    return room[start : start + size]


def shape_of(task: Task, variant: Variant, units: int) -> Shape:
    """Makes the shape of a task's network with a variant's cells.

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
        width=_padded(units),
        gates=len(variant.gates),
        row=_stride(len(variant.gates) * _padded(units)),
        output_width=_padded(task.outputs),
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
    return Parameters(*(zeros(size) for size in sizes))


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
    """Brings weights (or velocities) from Keras' order into the engine's memory.

    Args:
        shape: the network's.
        weights: arrays as `keras_shapes` lists them.
    """
    parameters = empty(shape)
    for view, array in zip(_views(shape, parameters), weights, strict=True):
        view[...] = array.reshape(view.shape)
    return parameters


def unpack(shape: Shape, parameters: Parameters) -> Weights:
    """Copies weights (or velocities) into Keras' order; the inverse of `pack`."""
    views = _views(shape, parameters)
    return tuple(
        # A copy also where there is no padding: training goes on in the parameters.
        np.array(view).reshape(size)
        for view, size in zip(views, keras_shapes(shape), strict=True)
    )
