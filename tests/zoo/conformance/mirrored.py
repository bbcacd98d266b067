"""Trains cells on one replica and on two logical CPUs: how much do the weights differ?

Part of `fresh_process.py`: logical devices must be made before TensorFlow starts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.zoo import harness

SAMPLES, BATCH = 8, 4


def make_model(codes: Sequence[str]) -> keras.Model:
    """Makes one network of many branches: their gradients are independent, it compiles once."""
    inputs = keras.Input((harness.TIME, harness.FEATURES))
    branches = []
    for code in codes:
        layer = keras.layers.RNN(harness.CELLS[code](harness.UNITS), name=code)
        branches.append(layer(inputs))
        harness.set_weights(layer.cell, harness.make_problem(code).weights)
    model = keras.Model(inputs, keras.layers.Concatenate()(branches))
    model.compile(keras.optimizers.SGD(0.05 * len(branches)), "mse", jit_compile=False)
    return model


def train(
    codes: Sequence[str], scope: contextlib.AbstractContextManager
) -> dict[str, list[np.ndarray]]:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(SAMPLES, harness.TIME, harness.FEATURES))
    targets = random.normal(size=(SAMPLES, len(codes) * harness.UNITS))
    with scope:
        model = make_model(codes)
    model.fit(inputs, targets, batch_size=BATCH, shuffle=False, verbose=0)
    return {code: model.get_layer(code).get_weights() for code in codes}


def distance(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def compare(codes: Sequence[str]) -> dict[str, Any]:
    """Trains twice.

    Returns:
        The number of replicas, and for each variant the largest difference between the weights of
        both, and the largest change by training.
    """
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    one, two = train(codes, contextlib.nullcontext()), train(codes, strategy.scope())
    first = {code: list(harness.make_problem(code).weights.values()) for code in codes}
    return {
        "replicas": strategy.num_replicas_in_sync,
        "difference": {code: distance(one[code], two[code]) for code in codes},
        "change": {code: distance(one[code], first[code]) for code in codes},
    }
