"""Every cell saved and loaded: `.keras`, weights alone, and SavedModel, the last without `zoo`."""

from __future__ import annotations

import pathlib

import keras
import numpy as np

from tests.zoo import harness, reference

RELOAD = pathlib.Path(__file__).with_name("reload.py")


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


def test_models_in_a_fresh_process(tmp_path: pathlib.Path) -> None:
    # One process for all: it takes longer to start TensorFlow than to load nine models.
    random = np.random.default_rng(0)
    inputs = random.normal(size=(2, harness.TIME, harness.FEATURES)).astype("float32")
    expected = {}
    for code in reference.CODES:
        model = make_model(code, seed=1)
        expected[code] = harness.numpy_of(model(inputs))
        model.save(tmp_path / f"{code}.keras")
        model.export(tmp_path / code, verbose=False)
    np.savez(tmp_path / "expected.npz", inputs=inputs, **expected)
    printed = harness.run_python(str(RELOAD), str(tmp_path)).splitlines()
    codes = list(reference.CODES)
    assert printed == [*(f"SavedModel {code}" for code in codes), *(f"keras {c}" for c in codes)]
