"""Trains all nine cells on one replica and on two logical CPUs; prints how much the weights differ.

Run as `python mirrored.py`. Prints JSON: the number of replicas, and for each variant the largest
difference between the weights of both, and the largest change by training.
"""

from __future__ import annotations

import contextlib
import json

import keras
import numpy as np
import tensorflow as tf

from tests.zoo import harness, reference

SAMPLES, BATCH = 8, 4


def make_model() -> keras.Model:
    """Makes one network of nine branches: their gradients are independent, and it compiles once."""
    inputs = keras.Input((harness.TIME, harness.FEATURES))
    branches = []
    for code in reference.CODES:
        layer = keras.layers.RNN(harness.CELLS[code](harness.UNITS), name=code)
        branches.append(layer(inputs))
        harness.set_weights(layer.cell, harness.make_problem(code).weights)
    model = keras.Model(inputs, keras.layers.Concatenate()(branches))
    model.compile(keras.optimizers.SGD(0.05 * len(branches)), "mse", jit_compile=False)
    return model


def train(scope: contextlib.AbstractContextManager) -> dict[str, list[np.ndarray]]:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(SAMPLES, harness.TIME, harness.FEATURES))
    targets = random.normal(size=(SAMPLES, len(reference.CODES) * harness.UNITS))
    with scope:
        model = make_model()
    model.fit(inputs, targets, batch_size=BATCH, shuffle=False, verbose=0)
    return {code: model.get_layer(code).get_weights() for code in reference.CODES}


def distance(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def main() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    one, two = train(contextlib.nullcontext()), train(strategy.scope())
    first = {code: list(harness.make_problem(code).weights.values()) for code in one}
    report = {
        "replicas": strategy.num_replicas_in_sync,
        "difference": {code: distance(one[code], two[code]) for code in one},
        "change": {code: distance(one[code], first[code]) for code in one},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
