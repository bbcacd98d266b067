"""The initial weights of a trial, the same for every engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner.tasks.task import Task
from tuner.training import random_streams
from tuner.training.protocol import Protocol, Trial
from tuner.training.trial_state import Weights
from zoo.registry import switches

# Index of the bias among a cell's weights: kernel, recurrent kernel, bias, then any others.
_BIAS = 2


def initial_weights(
    trial: Trial, shapes: Sequence[tuple[int, ...]], task: Task, protocol: Protocol
) -> Weights:
    """Draws a network's initial weights: N(0, std²) for every weight and bias.

    `Trial.forget_bias` is added to the biases of the forget gate, if there is one.

    Args:
        trial: provides the seed and the hyperparameters.
        shapes: shapes of the weights in the order of `keras.Model.get_weights()`: the cell's, the
            backward cell's if the network is bidirectional, then the output kernel and bias.
        task: provides the direction.
        protocol: provides the standard deviation.

    Returns:
        One float32 array per shape.
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
