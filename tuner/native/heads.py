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
from tuner.native.functions import exp, sigmoid, softplus
from tuner.native.layout import HEADS
from tuner.tasks.sequences import Sequences

_BERNOULLI, _SOFTMAX, _CTC = range(len(HEADS))
_ZERO = np.float32(0)


class Targets(NamedTuple):
    """The targets of a split, one behind the other.

    Attributes:
        rows: float32 [frames of all sequences * outputs] for `bernoulli`, else empty.
        indices: int32 classes or labels of all sequences, for `bernoulli` empty.
        starts: int64 [sequences], where each sequence's first frame or label is.
        counts: int64 [sequences], its frames or labels.
    """

    rows: np.ndarray
    indices: np.ndarray
    starts: np.ndarray
    counts: np.ndarray


class Paths(NamedTuple):
    """Room for the sums over the paths of CTC and for edit distances, float64.

    Attributes:
        log_probabilities: [frames, outputs].
        ahead: log of the sum over the paths that begin alike, [frames, 2 labels + 1].
        behind: log of the sum over the paths that end alike, two rows of [2 labels + 1].
        distances: a row of the edit distance's table, [frames + 1].
        decoded: int64, best path [frames].
    """

    log_probabilities: np.ndarray
    ahead: np.ndarray
    behind: np.ndarray
    distances: np.ndarray
    decoded: np.ndarray


def targets_of(split: Sequences, head: int) -> Targets:
    """Puts the targets of a split one behind the other."""
    counts = np.array([len(target) for target in split.targets], np.int64)
    starts = np.cumsum(counts) - counts
    joined = np.concatenate(split.targets)
    if head == _BERNOULLI:
        return Targets(joined.astype(np.float32).reshape(-1), np.zeros(0, np.int32), starts, counts)
    return Targets(np.zeros(0, np.float32), joined.astype(np.int32), starts, counts)


def room_for_paths(head: int, frames: int, labels: int, outputs: int) -> Paths:
    """Makes room for sequences of up to `frames` frames and `labels` labels."""
    if head != _CTC:
        frames = labels = 0
    states = 2 * labels + 1
    return Paths(
        np.zeros(frames * outputs),
        np.zeros(frames * states),
        np.zeros(2 * states),
        np.zeros(frames + 1),
        np.zeros(frames, np.int64),
    )


@compiled
def _bernoulli_slope(logits, target):  # type: ignore[no-untyped-def]
    """-log p = Σ softplus(a) - y a; its slope is σ(a) - y. Returns the loss of a frame."""
    loss = _ZERO
    for place in range(len(target)):
        a, y = logits[place], target[place]
        loss += softplus(a) - y * a
    for place in range(len(target)):
        logits[place] = sigmoid(logits[place]) - target[place]
    return np.float64(loss)


@compiled
def _bernoulli_score(logits, target):  # type: ignore[no-untyped-def]
    """-log p of a frame."""
    loss = _ZERO
    for place in range(len(target)):
        a, y = logits[place], target[place]
        loss += softplus(a) - y * a
    return np.float64(loss)


@compiled
def _log_sum_exp(logits):  # type: ignore[no-untyped-def]
    """log Σ eᵃ, the largest taken out of the sum."""
    largest = logits[0]
    for a in logits:
        largest = max(largest, a)
    total = 0.0
    for a in logits:
        total += np.float64(exp(a - largest))
    return np.float64(largest) + math.log(total)


@compiled
def _softmax_slope(logits, target):  # type: ignore[no-untyped-def]
    """-log p = log Σ eᵃ - a_k; its slope is softmax(a) - onehot(k). Returns the loss of a frame."""
    normalizer = _log_sum_exp(logits)
    loss = normalizer - np.float64(logits[target])
    for place in range(len(logits)):
        logits[place] = exp(np.float32(np.float64(logits[place]) - normalizer))
    logits[target] -= np.float32(1)
    return loss


@compiled
def _log_add(a, b):  # type: ignore[no-untyped-def]
    """log(eᵃ + eᵇ)."""
    high, low = max(a, b), min(a, b)
    if low == -np.inf:
        return high
    return high + math.log1p(math.exp(low - high))


@compiled
def _may_skip(labels, state):  # type: ignore[no-untyped-def]
    """Whether a path may come to a state from two before: over a blank between unlike labels."""
    return state % 2 == 1 and state > 1 and labels[state // 2] != labels[state // 2 - 1]


@compiled
def _ctc_slope(logits, width, outputs, length, labels, paths):  # type: ignore[no-untyped-def]
    """Sums over all paths that are the labels, in log space (Graves et al. 2006, section 4.1).

    State s of 2 L + 1 is label s // 2 if s is odd, else a blank. With α the sum over beginnings and
    β over endings (both with frame t), -log p = -log Σ_s α_t(s) β_t(s) / y_t(s) for every t, and

        ∂loss/∂a_t(k) = y_t(k) - Σ_{s of k} α_t(s) β_t(s) / (y_t(s) p)

    Args:
        logits: [length, width]; replaced by the slope.
        width: stride of a frame.
        outputs: outputs of a frame; the last is the blank.
        length: frames.
        labels: int32 [L].
        paths: room.

    Returns:
        -log p(labels).
    """
    states, blank = 2 * len(labels) + 1, outputs - 1
    log_p, ahead = paths.log_probabilities, paths.ahead
    for t in range(length):
        frame = logits[t * width : t * width + outputs]
        normalizer = _log_sum_exp(frame)
        for k in range(outputs):
            log_p[t * outputs + k] = np.float64(frame[k]) - normalizer

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
    now, then = paths.behind[:states], paths.behind[states : 2 * states]
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
def _largest(logits):  # type: ignore[no-untyped-def]
    """The first of the largest outputs."""
    best = 0
    for place in range(1, len(logits)):
        if logits[place] > logits[best]:
            best = place
    return best


@compiled
def _label_errors(logits, width, outputs, length, labels, paths):  # type: ignore[no-untyped-def]
    """Edit distance between the labels and the best path without repeats and blanks."""
    count, previous = 0, outputs - 1
    for t in range(length):
        k = _largest(logits[t * width : t * width + outputs])
        if k not in (previous, outputs - 1):
            paths.decoded[count] = k
            count += 1
        previous = k
    row = paths.distances
    for place in range(count + 1):
        row[place] = place
    for number, label in enumerate(labels):
        diagonal = row[0]
        row[0] = number + 1
        for place in range(count):
            replaced = diagonal + (0.0 if paths.decoded[place] == label else 1.0)
            diagonal = row[place + 1]
            row[place + 1] = min(replaced, diagonal + 1.0, row[place] + 1.0)
    return row[count]


@compiled
def _finite(logits, width, outputs, length):  # type: ignore[no-untyped-def]
    """Whether all outputs are finite."""
    for t in range(length):
        for a in logits[t * width : t * width + outputs]:
            if not np.isfinite(a):
                return False
    return True


@compiled
def slope(shape, logits, length, targets, sequence, paths):  # type: ignore[no-untyped-def]
    """Replaces the logits of a sequence by ∂loss/∂logits.

    Args:
        shape: for the head and the sizes.
        logits: float32 [length, output_width]; only `outputs` of a row count.
        length: frames of the sequence.
        targets: the split's.
        sequence: which of its sequences.
        paths: room for CTC.

    Returns:
        The loss of the sequence, nats, float64.
    """
    width, outputs = shape.output_width, shape.outputs
    start, count = targets.starts[sequence], targets.counts[sequence]
    loss = 0.0
    if shape.head == _CTC:
        labels = targets.indices[start : start + count]
        loss = _ctc_slope(logits, width, outputs, length, labels, paths)
    else:
        for t in range(length):
            frame = logits[t * width : t * width + outputs]
            if shape.head == _BERNOULLI:
                row = (start + t) * outputs
                loss += _bernoulli_slope(frame, targets.rows[row : row + outputs])
            else:
                loss += _softmax_slope(frame, targets.indices[start + t])
    # A padded output has no part in the loss.
    for t in range(length):
        logits[t * width + outputs : (t + 1) * width] = _ZERO
    return loss


@compiled
def score(shape, logits, length, targets, sequence, paths):  # type: ignore[no-untyped-def]
    """Measures the logits of a sequence; arguments as for `slope`.

    Returns:
        The metric summed over the sequence, float64; NaN if an output is not finite.
    """
    width, outputs = shape.output_width, shape.outputs
    start, count = targets.starts[sequence], targets.counts[sequence]
    if not _finite(logits, width, outputs, length):
        return np.nan
    if shape.head == _CTC:
        labels = targets.indices[start : start + count]
        return 100.0 * _label_errors(logits, width, outputs, length, labels, paths)
    total = 0.0
    for t in range(length):
        frame = logits[t * width : t * width + outputs]
        if shape.head == _BERNOULLI:
            row = (start + t) * outputs
            total += _bernoulli_score(frame, targets.rows[row : row + outputs])
        elif _largest(frame) != targets.indices[start + t]:
            total += 100.0
    return total
