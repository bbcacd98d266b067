"""Training and measuring a network on the sequences of a split: the loops that Python calls."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tuner.tasks.sequences import Sequences
from tuner.training.native import heads
from tuner.training.native.backward import backward, update_weights
from tuner.training.native.compiling import compiled, entry
from tuner.training.native.forward import forward
from tuner.training.native.heads import Targets
from tuner.training.native.memory import Parameters, Shape, Workspace
from tuner.training.native.noise import standard_normal
from tuner.training.native.simd.functions import argmax
from tuner.training.native.simd.products import assign_product, nesterov_update, transpose
from tuner.training.native.simd.tiles import Matrix, Update
from tuner.training.native.simd.vectors import START
from tuner.training.protocol import Score


class Split(NamedTuple):
    """One split of a task, with its sequences concatenated."""

    inputs: np.ndarray  # float32 [frames of all sequences * inputs].
    starts: np.ndarray  # int64 [sequences], first frame of each sequence.
    lengths: np.ndarray  # int64 [sequences], frames.
    targets: Targets


def split_of(sequences: Sequences, shape: Shape) -> Split:
    """Concatenates the sequences of a split."""
    lengths = sequences.lengths
    inputs = np.concatenate(sequences.inputs).astype(np.float32).reshape(-1)
    return Split(
        inputs, np.cumsum(lengths) - lengths, lengths, heads.targets_of(sequences, shape)
    )


@compiled
def _read(shape, workspace, split, sequence, noise_std):
    """Copies a sequence into the network's inputs, plus `noise_std` times the drawn normals."""
    inputs = shape.inputs
    start = split.starts[sequence] * inputs
    for frame in range(split.lengths[sequence]):
        row = workspace.inputs[frame * (inputs + 1) : frame * (inputs + 1) + inputs]
        clean = split.inputs[start + frame * inputs : start + (frame + 1) * inputs]
        noise = workspace.noise[frame * inputs : (frame + 1) * inputs]
        if noise_std > 0:
            for feature in range(inputs):
                row[feature] = clean[feature] + noise_std * noise[feature]
        else:
            for feature in range(inputs):
                row[feature] = clean[feature]


@compiled
def _predict(shape, parameters, workspace, length):
    """Computes the logits of the sequence in the network's inputs: all directions, then h K + b."""
    for direction in range(shape.directions):
        forward(shape, parameters, workspace, direction, length)
    row, outputs = shape.directions * shape.width + 1, shape.output_width
    assign_product(
        Matrix(workspace.logits, START, outputs), Matrix(workspace.hidden, START, row),
        Matrix(parameters.output_kernel, START, outputs), length, outputs, row,
    )  # fmt: skip


@compiled
def _backward_and_update(shape, parameters, velocities, workspace, length, momentum, rate):
    """Updates all weights, given the gradient of the logits in place of the logits."""
    units, outputs = shape.directions * shape.width, shape.output_width
    logit_grads = Matrix(workspace.logits, START, outputs)
    transpose(workspace.output_kernel, parameters.output_kernel, units, outputs)
    assign_product(
        Matrix(workspace.hidden_grads, START, units), logit_grads,
        Matrix(workspace.output_kernel, START, units), length, units, outputs,
    )  # fmt: skip
    nesterov_update(
        Update(
            parameters.output_kernel, START, outputs, velocities.output_kernel, momentum, rate
        ),
        Matrix(workspace.hidden, START, units + 1), logit_grads, units + 1, outputs, length,
    )  # fmt: skip
    for direction in range(shape.directions):
        backward(shape, parameters, workspace, direction, length)
        update_weights(
            shape, parameters, velocities, workspace, direction, length, momentum, rate
        )


@entry
def train(shape, parameters, velocities, workspace, split, order, start, stop, key, noise_std, momentum, rate, losses): # noqa: E501
    """Trains on a range of visits of an epoch, with one update per sequence.

    Args:
        shape: sizes and switches of the network.
        parameters: weights, updated in place.
        velocities: velocities of the weights, updated in place.
        workspace: workspace of the network.
        split: training sequences.
        order: indices of the sequences in visiting order.
        start: first visit.
        stop: visit before which to stop.
        key: key of the epoch's noise, two words.
        noise_std: standard deviation of the noise, float32.
        momentum: Nesterov momentum, float32.
        rate: learning rate, with the protocol's factor (1 - momentum), float32.
        losses: float64 [visits]; the loss of each visit is written.

    Returns:
        The visit before which it stopped: earlier than `stop` if a loss was not finite.
    """
    for visit in range(start, stop):
        sequence = order[visit]
        length = split.lengths[sequence]
        if noise_std > 0:
            standard_normal(key[0], key[1], visit, length * shape.inputs, workspace.noise)
        _read(shape, workspace, split, sequence, noise_std)
        _predict(shape, parameters, workspace, length)
        loss = heads.loss_and_gradient(shape, workspace, length, split.targets, sequence)
        losses[visit] = loss
        if not np.isfinite(loss):
            return visit
        _backward_and_update(shape, parameters, velocities, workspace, length, momentum, rate)
    return stop


@entry
def measure(shape, parameters, workspace, split, scores):
    """Writes the score of every sequence of a split into `scores`, float64 [sequences]."""
    for sequence in range(len(split.lengths)):
        length = split.lengths[sequence]
        _read(shape, workspace, split, sequence, np.float32(0))
        _predict(shape, parameters, workspace, length)
        scores[sequence] = heads.score(shape, workspace, length, split.targets, sequence)


def score(shape: Shape, parameters: Parameters, workspace: Workspace, split: Split) -> Score:
    """Measures a network on a split.

    Args:
        shape: sizes and switches of the network.
        parameters: its weights.
        workspace: its workspace.
        split: the sequences.
    """
    scores = np.zeros(len(split.lengths))
    measure(shape, parameters, workspace, split, scores)
    return Score.of(scores, split.targets.counts)


@entry
def decide(shape, parameters, workspace, split, classes):
    """Writes the class with the largest output in every frame into `classes`, int32 [frames]."""
    width, outputs = shape.output_width, shape.outputs
    for sequence in range(len(split.lengths)):
        start, length = split.starts[sequence], split.lengths[sequence]
        _read(shape, workspace, split, sequence, np.float32(0))
        _predict(shape, parameters, workspace, length)
        for t in range(length):
            frame = workspace.logits[t * width : t * width + outputs]
            classes[start + t] = argmax(frame)
