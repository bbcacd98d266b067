"""Training and measuring a network on the sequences of a split: the loops that Python calls."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tuner.tasks.sequences import Sequences
from tuner.training.native import heads
from tuner.training.native.backward import backward, descend
from tuner.training.native.compiling import compiled, entry
from tuner.training.native.forward import forward
from tuner.training.native.heads import Targets
from tuner.training.native.memory import Shape
from tuner.training.native.noise import standard_normal
from tuner.training.native.outputs import first_largest
from tuner.training.native.simd.products import (
    NEXT,
    START,
    assign_product,
    descend_product,
    transpose,
)


class Split(NamedTuple):
    """One split of a task, sequences one behind the other.

    Attributes:
        inputs: float32 [frames of all sequences * inputs].
        starts: int64 [sequences], first frame of each sequence.
        lengths: int64 [sequences], frames.
        targets: what is to be learned.
    """

    inputs: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    targets: Targets


def split_of(sequences: Sequences, shape: Shape) -> Split:
    """Puts a split's sequences one behind the other."""
    lengths = sequences.lengths
    inputs = np.concatenate(sequences.inputs).astype(np.float32).reshape(-1)
    return Split(
        inputs, np.cumsum(lengths) - lengths, lengths, heads.targets_of(sequences, shape)
    )


@compiled
def _read(shape, activity, split, sequence):
    """Copies a sequence into the network's inputs."""
    inputs = shape.inputs
    start = split.starts[sequence] * inputs
    for frame in range(split.lengths[sequence]):
        row = activity.inputs[frame * (inputs + 1) : frame * (inputs + 1) + inputs]
        clean = split.inputs[start + frame * inputs : start + (frame + 1) * inputs]
        for feature in range(inputs):
            row[feature] = clean[feature]


@compiled
def _read_with_noise(shape, activity, split, sequence, noise, std):
    """Copies a sequence into the network's inputs and adds `std` times the drawn normals."""
    inputs = shape.inputs
    start = split.starts[sequence] * inputs
    for frame in range(split.lengths[sequence]):
        row = activity.inputs[frame * (inputs + 1) : frame * (inputs + 1) + inputs]
        clean = split.inputs[start + frame * inputs : start + (frame + 1) * inputs]
        drawn = noise[frame * inputs : (frame + 1) * inputs]
        for feature in range(inputs):
            row[feature] = clean[feature] + std * drawn[feature]


@compiled
def _predict(shape, parameters, activity, frames, length):
    """Computes the logits of the sequence in the network's inputs: all directions, then h K + b."""
    for direction in range(shape.directions):
        forward(shape, parameters, activity, direction, frames, length)
    row = shape.directions * shape.width + 1
    assign_product(
        activity.logits, START, shape.output_width, activity.hidden, START, row, NEXT,
        parameters.output_kernel, START, shape.output_width, length, shape.output_width, row,
    )  # fmt: skip


@compiled
def _learn(shape, parameters, velocities, activity, frames, length, momentum, rate):
    """Moves all weights by the gradient of the loss whose slope is in the logits' place."""
    hidden, outputs = shape.directions * shape.width, shape.output_width
    transpose(activity.transposed, parameters.output_kernel, hidden, outputs)
    assign_product(
        activity.hidden_slopes, START, hidden, activity.logits, START, outputs, NEXT,
        activity.transposed, START, hidden, length, hidden, outputs,
    )  # fmt: skip
    descend_product(
        parameters.output_kernel, velocities.output_kernel, momentum, rate, START,
        outputs, activity.hidden, START, NEXT, hidden + 1, activity.logits, START, outputs,
        hidden + 1, outputs, length,
    )  # fmt: skip
    for direction in range(shape.directions):
        backward(shape, parameters, activity, direction, frames, length)
        descend(
            shape, parameters, velocities, activity, direction, frames, length, momentum, rate
        )


@entry
def train(shape, parameters, velocities, activity, room, frames, split, order, start, stop, key, noise, noise_std, momentum, rate, losses): # noqa: E501
    """Trains on some visits of an epoch, one update a sequence.

    Args:
        shape: sizes and switches of the network.
        parameters: weights; they are moved.
        velocities: of the weights; they are moved.
        activity: room.
        room: more room, for the head.
        frames: the length that there is room for.
        split: training sequences.
        order: sequences in the order of the visits.
        start: first visit.
        stop: visit before which to stop.
        key: two words that name the epoch's noise.
        noise: room for the noise of a sequence.
        noise_std: standard deviation of the noise.
        momentum: Nesterov momentum.
        rate: learning rate, with the protocol's factor (1 - momentum).
        losses: float64 [visits]; the loss of each visit is written.

    Returns:
        The visit before which it stopped: earlier than `stop` if a loss was not finite.
    """
    for visit in range(start, stop):
        sequence = order[visit]
        length = split.lengths[sequence]
        if noise_std > 0:
            standard_normal(key[0], key[1], visit, length * shape.inputs, noise)
            _read_with_noise(shape, activity, split, sequence, noise, noise_std)
        else:
            _read(shape, activity, split, sequence)
        _predict(shape, parameters, activity, frames, length)
        loss = heads.slope(shape, activity.logits, length, split.targets, sequence, room)
        losses[visit] = loss
        if not np.isfinite(loss):
            return visit
        _learn(shape, parameters, velocities, activity, frames, length, momentum, rate)
    return stop


@entry
def measure(shape, parameters, activity, room, frames, split, scores):
    """Writes the score of every sequence of a split into `scores`, float64 [sequences]."""
    for sequence in range(len(split.lengths)):
        length = split.lengths[sequence]
        _read(shape, activity, split, sequence)
        _predict(shape, parameters, activity, frames, length)
        scores[sequence] = heads.score(
            shape, activity.logits, length, split.targets, sequence, room
        )


@entry
def decide(shape, parameters, activity, frames, split, classes):
    """Writes the largest output of every frame of a split into `classes`, int32 [frames]."""
    width, outputs = shape.output_width, shape.outputs
    for sequence in range(len(split.lengths)):
        start, length = split.starts[sequence], split.lengths[sequence]
        _read(shape, activity, split, sequence)
        _predict(shape, parameters, activity, frames, length)
        for t in range(length):
            frame = activity.logits[t * width : t * width + outputs]
            classes[start + t] = first_largest(frame)
