"""Keras models that guided evolutionary strategies train."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest

import zoo
from tests.zoo.harness import ON_JAX, assert_close, numpy_of

X = np.random.default_rng(1).normal(size=(8, 3)).astype("float32")
Y = (X @ [[1.0], [-2.0], [0.5]]).astype("float32")


def _dense(*layers: keras.layers.Layer, units: int = 1) -> keras.Model:
    keras.utils.set_random_seed(3)
    inputs = outputs = keras.Input((3,))
    for layer in (*layers, keras.layers.Dense(units)):
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def _weights(model: keras.Model) -> list[np.ndarray]:
    return [np.array(weight) for weight in model.get_weights()]


def _flat(arrays: Any) -> np.ndarray:
    return np.concatenate([np.ravel(array) for array in arrays])


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)
    return float(2 * np.arctan2(np.linalg.norm(one - other), np.linalg.norm(one + other)))


def test_fit_lowers_the_loss() -> None:
    model = zoo.GuidedESModel(_dense())
    guided = zoo.GuidedES(keras.optimizers.SGD(0.1), pairs=4, seed=1)
    model.compile(guided, loss="mse", metrics=["mae"])
    before = model.evaluate(X, Y, verbose=0)[0]
    logs = model.fit(X, Y, batch_size=8, verbose=0).history
    assert sorted(logs) == ["loss", "mae"]
    # The loss is that of the weights before each update, not of perturbed ones.
    assert logs["loss"][0] == pytest.approx(before, rel=1e-5)
    model.fit(np.tile(X, (100, 1)), np.tile(Y, (100, 1)), batch_size=8, shuffle=False, verbose=0)
    assert model.evaluate(X, Y, verbose=0)[0] < 0.02 * before


def test_saved_in_the_middle_it_goes_on_bit_for_bit(tmp_path: pathlib.Path) -> None:
    model = zoo.GuidedESModel(_dense(), surrogate_loss="mae")
    inner = keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(zoo.GuidedES(inner, subspace=3, pairs=2, seed=1), loss="mse")
    model.fit(X, Y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, again):
        each.fit(X, Y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    for one, other in zip(_weights(model), _weights(again), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(numpy_of(one), numpy_of(other))
    assert float(numpy_of(again.optimizer.iterations)) == 8


@pytest.mark.skipif(ON_JAX, reason="the same on every backend, and slow to compile")
def test_plain_strategy_takes_no_gradient() -> None:
    @keras.ops.custom_gradient
    def hard(x: Any) -> Any:
        def refuse(*_: Any, upstream: Any = None) -> Any:
            raise AssertionError("a gradient was taken")

        return keras.ops.sign(x), refuse

    model = zoo.GuidedESModel(_dense(keras.layers.Dense(2, hard)))
    guided = zoo.GuidedES("sgd", alpha=1, sigma=1, pairs=2, seed=1)
    model.compile(guided, loss="mse", run_eagerly=True)
    before = _weights(model)
    assert np.isfinite(model.train_on_batch(X, Y))
    assert 0 < np.linalg.norm(_flat(_weights(model)) - _flat(before)) < 100


@pytest.mark.skipif(ON_JAX, reason="the same on every backend, and slow to compile")
def test_dropout_is_the_same_on_both_sides() -> None:
    # Else the difference of two losses, divided by a tiny step, would be enormous.
    model = zoo.GuidedESModel(_dense(keras.layers.Dropout(0.5), keras.layers.BatchNormalization()))
    guided = zoo.GuidedES(keras.optimizers.SGD(1.0), sigma=1e-2, pairs=3, seed=1)
    model.compile(guided, loss="mse", run_eagerly=True)
    before = _weights(model)
    model.train_on_batch(X, Y)
    after = _weights(model)
    assert 0 < np.linalg.norm(_flat(after[:2]) - _flat(before[:2])) < 20
    # The moving mean moved once, by the pass at the weights themselves.
    means = [
        array
        for array, weight in zip(after, model.weights, strict=True)
        if weight.name == "moving_mean"
    ]
    assert np.all(np.abs(means[0]) > 0)


@pytest.mark.skipif(ON_JAX, reason="the same on every backend, and slow to compile")
def test_surrogate_loss_guides_where_the_loss_has_no_gradient() -> None:
    network = _dense(keras.layers.Dense(4, "tanh"))
    before = _weights(network)
    plain = keras.models.clone_model(network)
    plain.set_weights(before)
    plain.compile(keras.optimizers.SGD(1.0), loss="mae", run_eagerly=True)
    plain.train_on_batch(X, Y)
    direction = _flat(_weights(plain)) - _flat(before)

    def steps(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.floor(keras.ops.abs(y_true - y_pred) * 20)

    model = zoo.GuidedESModel(network, surrogate_loss="mae")
    guided = zoo.GuidedES(keras.optimizers.SGD(1e-3), guide="exact", sigma=0.3, seed=1)
    model.compile(guided, loss=steps, run_eagerly=True)
    model.train_on_batch(X, Y)
    moved = _flat(_weights(network)) - _flat(before)
    assert np.linalg.norm(moved) > 0
    assert _angle(moved, direction) < 1e-3


@pytest.mark.skipif(ON_JAX, reason="the same on every backend, and slow to compile")
def test_truncated_gradient_guides() -> None:
    keras.utils.set_random_seed(4)
    network = zoo.networks.network(zoo.VanillaCell(3), inputs=2, outputs=1)
    random = np.random.default_rng(2)
    x, y = (random.normal(size=(2, 6, size)).astype("float32") for size in (2, 1))
    before = _weights(network)
    directions = []
    for truncate in (1, None):
        layer = zoo.RNN(zoo.VanillaCell(3), return_sequences=True, truncate=truncate)
        inputs = keras.Input((None, 2))
        plain = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
        plain.set_weights(before)
        plain.compile(keras.optimizers.SGD(1.0), loss="mse", run_eagerly=True)
        plain.train_on_batch(x, y)
        directions.append(_flat(_weights(plain)) - _flat(before))
    assert _angle(*directions) > 0.02
    model = zoo.GuidedESModel(network, truncate=1)
    guided = zoo.GuidedES(keras.optimizers.SGD(1.0), guide="exact", vectorized=False, seed=1)
    model.compile(guided, loss="mse", run_eagerly=True)
    model.train_on_batch(x, y)
    assert _angle(_flat(_weights(network)) - _flat(before), directions[0]) < 1e-3


@pytest.mark.slow
def test_recurrent_network_in_one_batched_program() -> None:
    keras.utils.set_random_seed(4)
    network = zoo.networks.network(zoo.FullGateRecurrenceCell(3), inputs=2, outputs=1)
    random = np.random.default_rng(2)
    x, y = (random.normal(size=(2, 6, size)).astype("float32") for size in (2, 1))
    before, ends = _weights(network), []
    for vectorized in (True, False):
        network.set_weights(before)
        model = zoo.GuidedESModel(network, truncate=2)
        model.compile(zoo.GuidedES("sgd", pairs=4, vectorized=vectorized, seed=1), loss="mse")
        model.fit(x, y, epochs=3, verbose=0)
        ends.append(_flat(_weights(network)))
    assert_close(ends[0], ends[1], 1e-5)
    assert np.linalg.norm(ends[0] - _flat(before)) > 1e-3


def test_the_optimizer_is_for_this_model_and_this_model_for_it() -> None:
    plain = _dense()
    plain.compile(zoo.GuidedES("sgd"), loss="mse", run_eagerly=not ON_JAX)
    with pytest.raises(ValueError, match=r"compile a zoo\.GuidedESModel"):
        plain.train_on_batch(X, Y)
    model = zoo.GuidedESModel(plain)
    model.compile("sgd", loss="mse", run_eagerly=not ON_JAX)
    with pytest.raises(ValueError, match=r"expected a zoo\.GuidedES, got SGD"):
        model.train_on_batch(X, Y)
    with pytest.raises(ValueError, match="`truncate`, expected a positive integer or None, got 0"):
        zoo.GuidedESModel(plain, truncate=0)
