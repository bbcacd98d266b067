"""What the outputs mean: loss and its slope, and the metric; the compiled `tuner.tasks.heads`.

Logits are replaced by ∂loss/∂logits in place. Every head follows the same three questions: the loss
of one sequence (float64, nats), its slope, and the score of one sequence (float64; for `softmax`
and `ctc` 100 times the number of errors).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tuner.native.compiling import compiled
from tuner.native.functions import exp, softplus_and_sigmoid
from tuner.native.layout import HEADS, Shape, zeros
from tuner.native.products import START
from tuner.native.vectors import LANES, load, spread, store
from tuner.tasks.sequences import Sequences

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
    """Room for sums over outputs, over the paths of CTC, and for edit distances.

    Attributes:
        columns: one number an output, float32 [output_width].
        log_probabilities: [frames, outputs].
        ahead: log of the sum over the paths that begin alike, [frames, 2 labels + 1].
        behind: log of the sum over the paths that end alike, two rows of [2 labels + 1].
        distances: a row of the edit distance's table, [frames + 1].
        decoded: int64, best path [frames].
    """

    columns: np.ndarray
    log_probabilities: np.ndarray
    ahead: np.ndarray
    behind: np.ndarray
    distances: np.ndarray
    decoded: np.ndarray


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
    states = 2 * labels + 1
    return Room(
        zeros(shape.output_width),
        np.zeros(frames * shape.outputs),
        np.zeros(frames * states),
        np.zeros(2 * states),
        np.zeros(frames + 1),
        np.zeros(frames, np.int64),
    )


@compiled
def _bernoulli_slope(shape, logits, length, targets, sequence, room):
    """-log p = Σ softplus(a) - y a; its slope is σ(a) - y. Returns the loss of a sequence."""
    width, columns = shape.output_width, room.columns
    first = targets.starts[sequence] * width
    # Over the frames of an output first, so that vectors are summed and not numbers.
    for place in range(0, width, LANES):
        total = spread(_ZERO)
        for row in range(place, length * width, width):
            a, y = load(logits, row), load(targets.rows, first + row)
            loss, mean = softplus_and_sigmoid(a)
            total = total + (loss - y * a)
            store(logits, row, mean - y)
        store(columns, place, total)
    return _sum(columns, shape.outputs)


@compiled
def _sum(columns, count):
    """Sums in float64."""
    total = 0.0
    for place in range(count):
        total += np.float64(columns[place])
    return total


@compiled
def _exp_minus(logits, at, width, number, out, to):
    """Writes eᵃ⁻ⁿ of a frame."""
    for place in range(0, width, LANES):
        store(out, to + place, exp(load(logits, at + place) - spread(number)))


@compiled
def _log_sum_exp(shape, logits, at, room):
    """Returns log Σ eᵃ of a frame, the largest taken out of the sum."""
    largest = logits[at + first_largest(logits[at : at + shape.outputs])]
    _exp_minus(logits, at, shape.output_width, largest, room.columns, START)
    return np.float64(largest) + math.log(_sum(room.columns, shape.outputs))


@compiled
def _softmax_slope(shape, logits, at, target, room):
    """-log p = log Σ eᵃ - a_k; its slope is softmax(a) - onehot(k). Returns the loss of a frame."""
    normalizer = _log_sum_exp(shape, logits, at, room)
    loss = normalizer - np.float64(logits[at + target])
    _exp_minus(logits, at, shape.output_width, np.float32(normalizer), logits, at)
    logits[at + target] -= _ONE
    return loss


@compiled
def _log_add(a, b):
    """Returns log(eᵃ + eᵇ)."""
    high, low = max(a, b), min(a, b)
    if low == -np.inf:
        return high
    return high + math.log1p(math.exp(low - high))


@compiled
def _may_skip(labels, state):
    """Whether a path may come to a state from two before: over a blank between unlike labels."""
    return state % 2 == 1 and state > 1 and labels[state // 2] != labels[state // 2 - 1]


@compiled
def _ctc_slope(shape, logits, length, labels, room):
    """Sums over all paths that are the labels, in log space (Graves et al. 2006, section 4.1).

    State s of 2 L + 1 is label s // 2 if s is odd, else a blank. With α the sum over beginnings and
    β over endings (both with frame t), -log p = -log Σ_s α_t(s) β_t(s) / y_t(s) for every t, and

        ∂loss/∂a_t(k) = y_t(k) - Σ_{s of k} α_t(s) β_t(s) / (y_t(s) p)

    Args:
        shape: outputs; the last is the blank.
        logits: [length, output_width]; replaced by the slope.
        length: frames.
        labels: int32 [L].
        room: room.

    Returns:
        -log p(labels).
    """
    width, outputs = shape.output_width, shape.outputs
    states, blank = 2 * len(labels) + 1, outputs - 1
    log_p, ahead = room.log_probabilities, room.ahead
    for t in range(length):
        normalizer = _log_sum_exp(shape, logits, t * width, room)
        for k in range(outputs):
            log_p[t * outputs + k] = np.float64(logits[t * width + k]) - normalizer

    for t in range(length):
        row = t * states
        for s in range(states):
            k = labels[s // 2] if s % 2 == 1 else blank
            if t == 0:
                total = 0.0 if s < 2 else -np.inf
            else:
                before = row - states + s
                total = ahead[before]
                if s > 0:
                    total = _log_add(total, ahead[before - 1])
                if _may_skip(labels, s):
                    total = _log_add(total, ahead[before - 2])
            ahead[row + s] = total + log_p[t * outputs + k]
    last = (length - 1) * states
    log_likelihood = _log_add(ahead[last + states - 1], ahead[last + states - 2])

    # `behind` leaves out y_t(s), so that α β is the sum over the paths through s at t.
    now, then = room.behind[:states], room.behind[states : 2 * states]
    for t in range(length - 1, -1, -1):
        for s in range(states):
            if t == length - 1:
                total = 0.0 if s >= states - 2 else -np.inf
            else:
                total = then[s]
                if s + 1 < states:
                    total = _log_add(total, then[s + 1])
                if s + 2 < states and _may_skip(labels, s + 2):
                    total = _log_add(total, then[s + 2])
            now[s] = total
        frame = logits[t * width : t * width + outputs]
        for k in range(outputs):
            frame[k] = np.float32(math.exp(log_p[t * outputs + k]))
        for s in range(states):
            k = labels[s // 2] if s % 2 == 1 else blank
            share = ahead[t * states + s] + now[s] - log_likelihood
            if share > -np.inf:
                frame[k] -= np.float32(math.exp(share))
            then[s] = now[s] + log_p[t * outputs + k]
    return -log_likelihood


@compiled
def first_largest(logits):
    """The first of the largest outputs."""
    best = 0
    for place in range(1, len(logits)):
        if logits[place] > logits[best]:
            best = place
    return best


@compiled
def _label_errors(logits, width, outputs, length, labels, room):
    """Edit distance between the labels and the best path without repeats and blanks."""
    count, previous = 0, outputs - 1
    for t in range(length):
        k = first_largest(logits[t * width : t * width + outputs])
        if k not in (previous, outputs - 1):
            room.decoded[count] = k
            count += 1
        previous = k
    row = room.distances
    for place in range(count + 1):
        row[place] = place
    for number, label in enumerate(labels):
        diagonal = row[0]
        row[0] = number + 1
        for place in range(count):
            replaced = diagonal + (0.0 if room.decoded[place] == label else 1.0)
            diagonal = row[place + 1]
            row[place + 1] = min(replaced, diagonal + 1.0, row[place] + 1.0)
    return row[count]


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
        loss = _ctc_slope(shape, logits, length, targets.indices[start : start + count], room)
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
        errors = _label_errors(logits, width, outputs, length, labels, room)
    return 100.0 * errors
