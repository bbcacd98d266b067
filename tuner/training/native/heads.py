"""The heads of `tuner.tasks.heads`, compiled: the loss with its gradient, and the metric.

A loss is that of one sequence in nats, float64; so is a score, except that for `softmax` and `ctc`
it is 100 times the number of errors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tuner.tasks.sequences import Sequences
from tuner.training.native import ctc
from tuner.training.native.compiling import compiled
from tuner.training.native.memory import HEADS, Shape
from tuner.training.native.simd.functions import (
    argmax,
    exp_minus,
    log_sum_exp,
    softplus_and_sigmoid,
    total,
)
from tuner.training.native.simd.vectors import LANES, load, splat, store

_BERNOULLI, _SOFTMAX, _CTC = range(len(HEADS))
_ZERO, _ONE = np.float32(0), np.float32(1)


class Targets(NamedTuple):
    """The targets of a split, concatenated."""

    rows: np.ndarray  # float32 [frames of all sequences, output_width] for `bernoulli`, else empty.
    indices: np.ndarray  # int32 classes or labels of all sequences; empty for `bernoulli`.
    starts: np.ndarray  # int64 [sequences], index of each sequence's first frame or label.
    counts: np.ndarray  # int64 [sequences], number of its frames or labels.


def targets_of(split: Sequences, shape: Shape) -> Targets:
    """Concatenates the targets of a split."""
    counts = np.array([len(target) for target in split.targets], np.int64)
    starts = np.cumsum(counts) - counts
    joined = np.concatenate(split.targets)
    if shape.head != _BERNOULLI:
        return Targets(np.zeros(0, np.float32), joined.astype(np.int32), starts, counts)
    rows = np.zeros((len(joined), shape.output_width), np.float32)
    rows[:, : shape.outputs] = joined
    return Targets(rows.reshape(-1), np.zeros(0, np.int32), starts, counts)


@compiled
def _bernoulli(shape, workspace, length, targets, sequence):
    """-log p = Σ softplus(a) - y a, with gradient σ(a) - y; for a whole sequence."""
    width, logits, losses = shape.output_width, workspace.logits, workspace.output_buffer
    first = targets.starts[sequence] * width
    # Sums over the frames of an output first, so that vectors are added instead of numbers.
    for place in range(0, width, LANES):
        summed = splat(_ZERO)
        for row in range(place, length * width, width):
            a, y = load(logits, row), load(targets.rows, first + row)
            loss, mean = softplus_and_sigmoid(a)
            summed = summed + (loss - y * a)
            store(logits, row, mean - y)
        store(losses, place, summed)
    return total(losses[: shape.outputs])


@compiled
def _softmax(shape, workspace, at, target):
    """-log p = log Σ eᵃ - a_k, with gradient softmax(a) - onehot(k); for one frame."""
    width, logits = shape.output_width, workspace.logits
    normalizer = log_sum_exp(logits, at, width, shape.outputs, workspace.output_buffer)
    loss = normalizer - np.float64(logits[at + target])
    exp_minus(logits, at, width, np.float32(normalizer), logits, at)
    logits[at + target] -= _ONE
    return loss


@compiled
def loss_and_gradient(shape, workspace, length, targets, sequence):
    """Replaces the logits of a sequence with ∂loss/∂logits and returns the loss."""
    width, outputs, logits = shape.output_width, shape.outputs, workspace.logits
    start, count = targets.starts[sequence], targets.counts[sequence]
    loss = 0.0
    if shape.head == _BERNOULLI:
        loss = _bernoulli(shape, workspace, length, targets, sequence)
    elif shape.head == _SOFTMAX:
        for t in range(length):
            loss += _softmax(shape, workspace, t * width, targets.indices[start + t])
    else:
        labels = targets.indices[start : start + count]
        loss = ctc.loss_and_gradient(logits, width, outputs, length, labels, workspace.ctc)
    # Padding outputs do not contribute to the loss.
    for t in range(length):
        logits[t * width + outputs : (t + 1) * width] = _ZERO
    return loss


@compiled
def score(shape, workspace, length, targets, sequence):
    """Returns the score of a sequence, NaN if an output is not finite; may overwrite the logits."""
    width, outputs, logits = shape.output_width, shape.outputs, workspace.logits
    start, count = targets.starts[sequence], targets.counts[sequence]
    for t in range(length):
        # The sum in float64 is finite if and only if all of its float32 numbers are.
        if not np.isfinite(total(logits[t * width : t * width + outputs])):
            return np.nan
    if shape.head == _BERNOULLI:
        return _bernoulli(shape, workspace, length, targets, sequence)
    errors = 0.0
    if shape.head == _SOFTMAX:
        for t in range(length):
            frame = logits[t * width : t * width + outputs]
            if argmax(frame) != targets.indices[start + t]:
                errors += 1.0
    else:
        labels = targets.indices[start : start + count]
        errors = ctc.label_errors(logits, width, outputs, length, labels, workspace.ctc)
    return 100.0 * errors
