"""What a sequence does in a network: the room in memory for one training step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tuner.training.native.compiling import compiled
from tuner.training.native.memory import Shape, zeros


class Activity(NamedTuple):
    """What a sequence does in the network; flat float32, for the longest sequence.

    Attributes:
        inputs: [frames, inputs + 1], the last always 1.
        gates: activations i f z o, [directions, frames, row]; a row is [gates, width] and a gap.
        cells: c, [directions, frames + 1, width]; row s is the cell before step s.
        squashed: h(c), [directions, frames, width].
        seen: activations i f o for the gate recurrence,
            [directions, frames, recurrent_gates, width].
        hidden: h, [frames, directions * width + 1], the last always 1.
        deltas: ∂loss/∂(net input) of the gates, as `gates`.
        hidden_slopes: ∂loss/∂h, [frames, directions * width].
        cell_slope: ∂loss/∂c of the step after, [width].
        gate_slopes: ∂loss/∂(i f o) through the step after, [3, width] and less without gates.
        logits: outputs and then ∂loss/∂outputs, [frames, output_width].
        transposed: the output kernel with rows and columns exchanged.
    """

    inputs: np.ndarray
    gates: np.ndarray
    cells: np.ndarray
    squashed: np.ndarray
    seen: np.ndarray
    hidden: np.ndarray
    deltas: np.ndarray
    hidden_slopes: np.ndarray
    cell_slope: np.ndarray
    gate_slopes: np.ndarray
    logits: np.ndarray
    transposed: np.ndarray


def room_for(shape: Shape, frames: int) -> Activity:
    """Makes room for sequences of up to `frames` frames."""
    directions, width = shape.directions, shape.width
    activity = Activity(
        inputs=zeros(frames * (shape.inputs + 1)),
        gates=zeros(directions * frames * shape.row),
        cells=zeros(directions * (frames + 1) * width),
        squashed=zeros(directions * frames * width),
        seen=zeros(directions * frames * shape.recurrent_gates * width),
        hidden=zeros(frames * (directions * width + 1)),
        deltas=zeros(directions * frames * shape.row),
        hidden_slopes=zeros(frames * directions * width),
        cell_slope=zeros(width),
        gate_slopes=zeros(3 * width),
        logits=zeros(frames * shape.output_width),
        transposed=zeros(directions * width * shape.output_width),
    )
    activity.inputs[shape.inputs :: shape.inputs + 1] = 1
    activity.hidden[directions * width :: directions * width + 1] = 1
    return activity


@compiled
def frame_rows(direction, length, row):
    """Returns place and stride of rows that are frames, in the order of reading."""
    return (0, row) if direction == 0 else ((length - 1) * row, -row)


@compiled
def peephole_at(shape, place, direction):
    """Returns where a peephole's weights begin, -1 for one that the variant lacks."""
    return (direction * shape.peepholes + place) * shape.width if place >= 0 else -1
