"""Connectionist temporal classification, compiled: the loss with its gradient, and the metric.

Graves et al. (2006), section 4.1, https://www.cs.toronto.edu/~graves/icml_2006.pdf. State s of
2 L + 1 is label s // 2 if s is odd, else a blank. With α the sum over the beginnings of paths that
are in state s at time t, and β over their endings after t,

    p = Σ_s α_t(s) β_t(s) for every t,
    ∂(-log p)/∂a_t(k) = y_t(k) - Σ_{s of k} α_t(s) β_t(s) / p.

The sums use numbers scaled to sum to 1 in every frame, which takes half as long as the network and
is exact unless a beginning is rarer than 1e-308 of the others and its ending makes up for it. Then,
and only then, frames disagree about p, and the sums are computed again in logarithms.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tuner.training.native.compiling import compiled
from tuner.training.native.simd.functions import argmax, exp_minus, log_sum_exp
from tuner.training.native.simd.vectors import START, aligned_zeros, padded

# Tolerance in nats for differences in log p between frames; those of float64 are about 1e-12.
_AGREEMENT = 1e-7


class CTCBuffers(NamedTuple):
    """Buffers for the sums over paths and the edit distance; float64 unless noted.

    Shapes have T frames and S = 2 labels + 1 states.
    """

    outputs: np.ndarray  # float32, one number per output, padded.
    probabilities: np.ndarray  # float32, y of a frame, padded.
    log_probabilities: np.ndarray  # [T, outputs].
    alpha: np.ndarray  # [T, S].
    beta: np.ndarray  # β of two frames, two rows of [S].
    emissions: np.ndarray  # y of the state's output, [T, S].
    skips: np.ndarray  # 1 where a path may come from two states before, else 0, [S].
    log_scales: np.ndarray  # Logarithm of the total scale of α up to each frame, [T].
    normalizers: np.ndarray  # log Σ eᵃ of each frame, [T].
    distances: np.ndarray  # A row of the edit distance's table, [T + 1].
    decoded: np.ndarray  # int64, best path [T].

    @classmethod
    def allocate(cls, outputs: int, max_frames: int, max_labels: int) -> CTCBuffers:
        """Makes buffers for sequences of up to `max_frames` frames and `max_labels` labels."""
        states = 2 * max_labels + 1
        return cls(
            outputs=aligned_zeros(padded(outputs)),
            probabilities=aligned_zeros(padded(outputs)),
            log_probabilities=np.zeros(max_frames * outputs),
            alpha=np.zeros(max_frames * states),
            beta=np.zeros(2 * states),
            emissions=np.zeros(max_frames * states),
            skips=np.zeros(states),
            log_scales=np.zeros(max_frames),
            normalizers=np.zeros(max_frames),
            distances=np.zeros(max_frames + 1),
            decoded=np.zeros(max_frames, np.int64),
        )


@compiled
def loss_and_gradient(logits, width, outputs, length, labels, buffers):
    """Replaces the logits of a sequence with ∂loss/∂logits.

    Args:
        logits: float32 [length, width].
        width: number of outputs, padded.
        outputs: number of outputs without padding; the last one is the blank.
        length: number of frames.
        labels: int32 [L].
        buffers: `CTCBuffers`.

    Returns:
        The loss -log p(labels) in nats, float64.
    """
    states = 2 * len(labels) + 1
    for s in range(states):
        buffers.skips[s] = 1.0 if _may_skip(labels, s) else 0.0
    log_likelihood = _sum_alpha(logits, width, outputs, length, labels, buffers)
    if log_likelihood > -np.inf and _sum_beta(outputs, length, labels, log_likelihood, buffers):
        _write_gradient(logits, width, outputs, length, labels, buffers)
        return -log_likelihood
    return _in_logarithms(logits, width, outputs, length, labels, buffers)


@compiled
def _may_skip(labels, state):
    """Returns whether a path may skip to a state, over the blank between two different labels."""
    return state % 2 == 1 and state > 1 and labels[state // 2] != labels[state // 2 - 1]


@compiled
def _normalize(numbers):
    """Divides numbers by their sum, unless it is 0 or NaN. Returns the sum."""
    together = 0.0
    for number in numbers:
        together += number
    if together > 0.0:
        for place in range(len(numbers)):
            numbers[place] /= together
    return together


@compiled
def _sum_alpha(logits, width, outputs, length, labels, buffers):
    """Computes emissions and α, scaled to sum to 1 in every frame. Returns log p."""
    states, skips = 2 * len(labels) + 1, buffers.skips
    log_scale = 0.0
    for t in range(length):
        normalizer = log_sum_exp(logits, t * width, width, outputs, buffers.outputs)
        buffers.normalizers[t] = normalizer
        exp_minus(logits, t * width, width, np.float32(normalizer), buffers.probabilities, START)
        emissions = buffers.emissions[t * states : (t + 1) * states]
        blank = np.float64(buffers.probabilities[outputs - 1])
        for place, label in enumerate(labels):
            emissions[2 * place] = blank
            emissions[2 * place + 1] = np.float64(buffers.probabilities[label])
        emissions[states - 1] = blank

        now = buffers.alpha[t * states : (t + 1) * states]
        if t == 0:
            for s in range(states):
                now[s] = emissions[s] if s < 2 else 0.0
        else:
            before = buffers.alpha[(t - 1) * states : t * states]
            now[0] = before[0] * emissions[0]
            now[1] = (before[1] + before[0]) * emissions[1]
            for s in range(2, states):
                now[s] = (before[s] + before[s - 1] + skips[s] * before[s - 2]) * emissions[s]
        # States that can no longer reach the end would only push the others toward zero.
        for s in range(states - 2 - 2 * (length - 1 - t)):
            now[s] = 0.0
        scale = _normalize(now)
        if not scale > 0.0:
            return -np.inf
        log_scale += math.log(scale)
        buffers.log_scales[t] = log_scale
    return log_scale


@compiled
def _sum_beta(outputs, length, labels, log_likelihood, buffers):
    """Computes β and turns α into the shares α β / p. Returns whether all frames agree about p."""
    states, skips = 2 * len(labels) + 1, buffers.skips
    now, through = buffers.beta[:states], buffers.beta[states : 2 * states]
    log_scale = 0.0
    for t in range(length - 1, -1, -1):
        if t == length - 1:
            for s in range(states):
                now[s] = 1.0 if s >= states - 2 else 0.0
        else:
            scale = _normalize(through)
            if not scale > 0.0:
                return False
            log_scale += math.log(scale)
            for s in range(states - 2):
                now[s] = through[s] + through[s + 1] + skips[s + 2] * through[s + 2]
            now[states - 2] = through[states - 2] + through[states - 1]
            now[states - 1] = through[states - 1]
        shares = buffers.alpha[t * states : (t + 1) * states]
        emissions = buffers.emissions[t * states : (t + 1) * states]
        for s in range(states):
            through[s] = now[s] * emissions[s]
            shares[s] *= now[s]
        together = _normalize(shares)
        if not together > 0.0:
            return False
        found = buffers.log_scales[t] + log_scale + math.log(together)
        if not abs(found - log_likelihood) < _AGREEMENT:
            return False
    return True


@compiled
def _write_gradient(logits, width, outputs, length, labels, buffers):
    """Writes y_t(k) minus the shares of the states of k."""
    states = 2 * len(labels) + 1
    for t in range(length):
        normalizer = np.float32(buffers.normalizers[t])
        exp_minus(logits, t * width, width, normalizer, logits, t * width)
        frame = logits[t * width : t * width + outputs]
        shares = buffers.alpha[t * states : (t + 1) * states]
        blanks = shares[states - 1]
        for place, label in enumerate(labels):
            blanks += shares[2 * place]
            frame[label] -= np.float32(shares[2 * place + 1])
        frame[outputs - 1] -= np.float32(blanks)


@compiled
def _log_add(a, b):
    """Returns log(eᵃ + eᵇ)."""
    high, low = max(a, b), min(a, b)
    if low == -np.inf:
        return high
    return high + math.log1p(math.exp(low - high))


@compiled
def _in_logarithms(logits, width, outputs, length, labels, buffers):
    """Does the work of `loss_and_gradient` for numbers of any size; ten times slower."""
    states, blank = 2 * len(labels) + 1, outputs - 1
    log_p, alpha = buffers.log_probabilities, buffers.alpha
    for t in range(length):
        normalizer = log_sum_exp(logits, t * width, width, outputs, buffers.outputs)
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
                total = alpha[before]
                if s > 0:
                    total = _log_add(total, alpha[before - 1])
                if _may_skip(labels, s):
                    total = _log_add(total, alpha[before - 2])
            alpha[row + s] = total + log_p[t * outputs + k]
    last = (length - 1) * states
    log_likelihood = _log_add(alpha[last + states - 1], alpha[last + states - 2])

    now, then = buffers.beta[:states], buffers.beta[states : 2 * states]
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
            share = alpha[t * states + s] + now[s] - log_likelihood
            if share > -np.inf:
                frame[k] -= np.float32(math.exp(share))
            then[s] = now[s] + log_p[t * outputs + k]
    return -log_likelihood


@compiled
def label_errors(logits, width, outputs, length, labels, buffers):
    """Computes the edit distance from the best path, without repeats and blanks, to the labels.

    The arguments are those of `loss_and_gradient`.
    """
    count, previous = 0, outputs - 1
    for t in range(length):
        k = argmax(logits[t * width : t * width + outputs])
        if k not in (previous, outputs - 1):
            buffers.decoded[count] = k
            count += 1
        previous = k
    row = buffers.distances
    for place in range(count + 1):
        row[place] = place
    for number, label in enumerate(labels):
        diagonal = row[0]
        row[0] = number + 1
        for place in range(count):
            replaced = diagonal + (0.0 if buffers.decoded[place] == label else 1.0)
            diagonal = row[place + 1]
            row[place + 1] = min(replaced, diagonal + 1.0, row[place] + 1.0)
    return row[count]
