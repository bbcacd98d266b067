"""What the outputs mean: loss and its slope, and the metric; the compiled `tuner.tasks.heads`.

Logits are replaced by ∂loss/∂logits in place. Every head follows the same three questions: the loss
of one sequence (float64, nats), its slope, and the score of one sequence (float64; for `softmax`
and `ctc` 100 times the number of errors).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tuner.tasks.sequences import Sequences
from tuner.training.native import ctc
from tuner.training.native.compiling import compiled
from tuner.training.native.memory import HEADS, Shape, zeros
from tuner.training.native.outputs import exp_minus, first_largest, log_sum_exp, total
from tuner.training.native.simd.functions import softplus_and_sigmoid
from tuner.training.native.simd.vectors import LANES, load, spread, store

_BERNOULLI, _SOFTMAX, _CTC = range(len(HEADS))
_ZERO, _ONE = np.float32(0), np.float32(1)


class Targets(NamedTuple):
    """The targets of a split, one behind the other.

    Attributes:
        rows: float32 [frames of all sequences, output_width] for `bernoulli`, else empty.
        indices: int32 classes or labels of all sequences, for `bernoulli` empty.
        starts: int64 [sequences], where each sequence's first frame or label is.
        counts: int64 [sequences], its frames or labels.
    """

    rows: np.ndarray
    indices: np.ndarray
    starts: np.ndarray
    counts: np.ndarray


class Room(NamedTuple):
    """Room for a sequence's loss.

    Attributes:
        columns: one number an output, float32 [output_width].
        ctc: room for the sums over paths.
    """

    columns: np.ndarray
    ctc: ctc.Room


def targets_of(split: Sequences, shape: Shape) -> Targets:
    """Puts the targets of a split one behind the other."""
    counts = np.array([len(target) for target in split.targets], np.int64)
    starts = np.cumsum(counts) - counts
    joined = np.concatenate(split.targets)
    if shape.head != _BERNOULLI:
        return Targets(np.zeros(0, np.float32), joined.astype(np.int32), starts, counts)
    rows = np.zeros((len(joined), shape.output_width), np.float32)
    rows[:, : shape.outputs] = joined
    return Targets(rows.reshape(-1), np.zeros(0, np.int32), starts, counts)


def room_for_targets(shape: Shape, frames: int, labels: int) -> Room:
    """Makes room for sequences of up to `frames` frames and `labels` labels."""
    if shape.head != _CTC:
        frames = labels = 0
    return Room(zeros(shape.output_width), ctc.room_for(shape, frames, labels))


@compiled
def _bernoulli_slope(shape, logits, length, targets, sequence, room):
    """-log p = Σ softplus(a) - y a; its slope is σ(a) - y. Returns the loss of a sequence."""
    width, columns = shape.output_width, room.columns
    first = targets.starts[sequence] * width
    # Over the frames of an output first, so that vectors are summed and not numbers.
    for place in range(0, width, LANES):
        summed = spread(_ZERO)
        for row in range(place, length * width, width):
            a, y = load(logits, row), load(targets.rows, first + row)
            loss, mean = softplus_and_sigmoid(a)
            summed = summed + (loss - y * a)
            store(logits, row, mean - y)
        store(columns, place, summed)
    return total(columns, shape.outputs)


@compiled
def _softmax_slope(shape, logits, at, target, room):
    """-log p = log Σ eᵃ - a_k; its slope is softmax(a) - onehot(k). Returns the loss of a frame."""
    width, outputs = shape.output_width, shape.outputs
    normalizer = log_sum_exp(logits, at, width, outputs, room.columns)
    loss = normalizer - np.float64(logits[at + target])
    exp_minus(logits, at, width, np.float32(normalizer), logits, at)
    logits[at + target] -= _ONE
    return loss


@compiled
def _finite(logits, width, outputs, length):
    """Whether all outputs are finite."""
    for t in range(length):
        for a in logits[t * width : t * width + outputs]:
            if not np.isfinite(a):
                return False
    return True


@compiled
def slope(shape, logits, length, targets, sequence, room):
    """Replaces the logits of a sequence by ∂loss/∂logits.

    Args:
        shape: for the head and the sizes.
        logits: float32 [length, output_width]; only `outputs` of a row count.
        length: frames of the sequence.
        targets: the split's.
        sequence: which of its sequences.
        room: room.

    Returns:
        The loss of the sequence, nats, float64.
    """
    width, outputs = shape.output_width, shape.outputs
    start, count = targets.starts[sequence], targets.counts[sequence]
    loss = 0.0
    if shape.head == _BERNOULLI:
        loss = _bernoulli_slope(shape, logits, length, targets, sequence, room)
    elif shape.head == _SOFTMAX:
        for t in range(length):
            loss += _softmax_slope(shape, logits, t * width, targets.indices[start + t], room)
    else:
        labels = targets.indices[start : start + count]
        loss = ctc.slope(logits, width, outputs, length, labels, room.ctc)
    # A padded output has no part in the loss.
    for t in range(length):
        logits[t * width + outputs : (t + 1) * width] = _ZERO
    return loss


@compiled
def score(shape, logits, length, targets, sequence, room):
    """Measures the logits of a sequence, which may be overwritten; arguments as for `slope`.

    Returns:
        The metric summed over the sequence, float64; NaN if an output is not finite.
    """
    width, outputs = shape.output_width, shape.outputs
    start, count = targets.starts[sequence], targets.counts[sequence]
    if not _finite(logits, width, outputs, length):
        return np.nan
    if shape.head == _BERNOULLI:
        return _bernoulli_slope(shape, logits, length, targets, sequence, room)
    errors = 0.0
    if shape.head == _SOFTMAX:
        for t in range(length):
            frame = logits[t * width : t * width + outputs]
            if first_largest(frame) != targets.indices[start + t]:
                errors += 1.0
    else:
        labels = targets.indices[start : start + count]
        errors = ctc.label_errors(logits, width, outputs, length, labels, room.ctc)
    return 100.0 * errors
