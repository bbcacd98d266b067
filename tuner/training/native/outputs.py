"""Sums and maxima over the outputs of one frame."""

from __future__ import annotations

import math

import numpy as np

from tuner.training.native.compiling import compiled
from tuner.training.native.simd.functions import exp
from tuner.training.native.simd.products import START
from tuner.training.native.simd.vectors import LANES, load, spread, store


@compiled
def total(columns, count):
    """Sums in float64."""
    result = 0.0
    for place in range(count):
        result += np.float64(columns[place])
    return result


@compiled
def exp_minus(logits, at, width, number, out, to):
    """Writes eᵃ⁻ⁿ of a frame.

    Args:
        logits: float32; the frame begins at `at`.
        at: where.
        width: outputs, padded.
        number: n, float32.
        out: float32; may be `logits`.
        to: where the result begins.
    """
    for place in range(0, width, LANES):
        store(out, to + place, exp(load(logits, at + place) - spread(number)))


@compiled
def log_sum_exp(logits, at, width, outputs, columns):
    """Computes log Σ eᵃ of a frame, the largest taken out of the sum.

    Args:
        logits: float32; the frame begins at `at`.
        at: where.
        width: outputs, padded.
        outputs: outputs that count.
        columns: room, float32 [width]; holds eᵃ over e to the largest afterward.

    Returns:
        float64.
    """
    largest = logits[at + first_largest(logits[at : at + outputs])]
    exp_minus(logits, at, width, largest, columns, START)
    return np.float64(largest) + math.log(total(columns, outputs))


@compiled
def first_largest(logits):
    """Finds the first of the largest outputs."""
    best = 0
    for place in range(1, len(logits)):
        if logits[place] > logits[best]:
            best = place
    return best
