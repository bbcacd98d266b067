"""The weights of every cell saved and loaded. Whole models: `fresh_process_test.py`."""

from __future__ import annotations

import pathlib

import keras
import numpy as np

from tests.zoo import harness


def make_model(code: str, seed: int) -> keras.Model:
    """Makes a network in both directions: a wrapper in a wrapper, as the paper's tasks need it."""
    keras.utils.set_random_seed(seed)
    # Not the defaults, so that a setting that is lost shows in the outputs.
    cell = harness.CELLS[code](
        harness.UNITS,
        activation="softsign",
        bias_initializer=keras.initializers.RandomNormal(),
        peephole_initializer=keras.initializers.RandomNormal(),
        dropout=0.25,
    )
    inputs = keras.Input((None, harness.FEATURES))
    hidden = keras.layers.Bidirectional(keras.layers.RNN(cell, return_sequences=True))(inputs)
    return keras.Model(inputs, keras.layers.Dense(2)(hidden))


@harness.some_variants
def test_weights_file(code: str, tmp_path: pathlib.Path) -> None:
    model, other = make_model(code, seed=1), make_model(code, seed=2)
    model.save_weights(tmp_path / "model.weights.h5")
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    assert any((ours != before).any() for ours, before in pairs)
    other.load_weights(tmp_path / "model.weights.h5")
    for ours, loaded in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, loaded)
