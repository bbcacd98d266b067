"""The weights that a trial starts from, the same for every engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner.tasks.task import Task
from tuner.training import random_streams
from tuner.training.protocol import Protocol, Trial
from tuner.training.trial_state import Weights
from zoo.registry import switches

# Of the weights of a cell: kernel, recurrent kernel, bias, and what else a variant has.
_BIAS = 2


def initial_weights(
    trial: Trial, shapes: Sequence[tuple[int, ...]], task: Task, protocol: Protocol
) -> Weights:
    """Draws a network's initial weights: N(0, std²) for every weight and bias.

    To the biases of the forget gate, where there is one, `Trial.forget_bias` is added.

    Args:
        trial: seed and hyperparameters.
        shapes: of the weights, in the order of `keras.Model.get_weights()`: those of the cell, of a
            bidirectional network once more for the backward cell, kernel and bias of the output.
        task: for its direction.
        protocol: has the standard deviation.

    Returns:
        One float32 array a shape.
    """
    weights = random_streams.initial_weights(trial.seed, shapes, protocol.weight_std)
    variant = switches(trial.variant)
    if trial.forget_bias and variant is not None and "f" in variant.gates:
        directions = 2 if task.bidirectional else 1
        cell = (len(shapes) - 2) // directions
        start = variant.gates.index("f") * trial.units
        for direction in range(directions):
            bias = weights[direction * cell + _BIAS]
            bias[start : start + trial.units] += np.float32(trial.forget_bias)
    return weights
