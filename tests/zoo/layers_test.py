"""`zoo.RNN` beside `keras.layers.RNN` and the NumPy reference: values, gradients, options."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.zoo import harness, reference
from zoo import blocks, layers

FLOAT64 = 1e-10
FLOAT32 = 1e-5

TIME = 7  # More than one of the blocks of `small_blocks`, and the last one not full.

MASK = np.array(
    [
        [1] * 7,
        [1] * 4 + [0] * 3,
        [0] * 2 + [1] * 5,
        [1, 0, 1, 1, 0, 0, 1],
        [0, 1, 0, 0, 1, 1, 0],
        [0] * 7,
    ],
    bool,
)
"""Whole, masked on the right, on the left, scattered, at both ends, everywhere."""

MODES: dict[str, Callable[[Callable], Callable]] = {
    "eager": lambda function: function,
    "function": tf.function,
    "xla": lambda function: tf.function(function, jit_compile=True),
}


def slow(*values: Any) -> list[Any]:
    """Marks parameters that go ways which a fast test has gone."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


pytestmark = pytest.mark.usefixtures("small_blocks")
FULL_BLOCKS = blocks._BLOCK_STEPS

vanilla_first = pytest.mark.parametrize("code", ["V", *slow("FGR")])


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    """Lets a test fail that means the scan and gets Keras' loop."""
    layers._warn_once.cache_clear()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="zoo.RNN")
        yield
    layers._warn_once.cache_clear()


def differentiate(
    layer: keras.layers.RNN,
    problem: harness.Problem,
    mode: str = "eager",
    dtype: str = "float64",
    **arguments: Any,
) -> dict[str, np.ndarray]:
    """Outputs, final states, and the gradient of their random linear loss by everything."""
    upstream = [problem.output_gradient, *problem.state_gradients]

    def step(inputs: tf.Tensor, states: list[tf.Tensor]) -> tuple:
        with tf.GradientTape() as tape:
            tape.watch([inputs, *states])
            results = layer(inputs, initial_state=states, **arguments)
            pairs = zip(results, upstream, strict=True)
            loss = sum(tf.reduce_sum(tf.cast(result, dtype) * slope) for result, slope in pairs)
        values = [variable.value for variable in layer.trainable_variables]
        return results, tape.gradient(loss, [inputs, *states, *values])

    states = [tf.constant(state, dtype) for state in problem.states]
    results, gradient = MODES[mode](step)(tf.constant(problem.inputs, dtype), states)
    names = [f"state {index}" for index in range(len(states))]
    named = dict(zip(["outputs", *(f"final {name}" for name in names)], results, strict=True))
    weights = [variable.name for variable in layer.trainable_variables]
    named |= dict(zip(["inputs", *names, *weights], gradient, strict=True))
    assert all(tensor is not None for tensor in named.values())
    return {name: harness.numpy_of(tf.cast(tensor, dtype)) for name, tensor in named.items()}


def assert_same(
    problem: harness.Problem,
    mode: str = "eager",
    dtype: str = "float64",
    tolerance: float = FLOAT64,
    mask: np.ndarray | None = None,
    **options: Any,
) -> None:
    """Compares both layers, every number relative to the largest of its array."""
    call = {} if mask is None else {"mask": tf.constant(mask)}
    expected, found = (
        differentiate(
            harness.make_layer(problem, dtype, kind=kind, **options),
            problem,
            mode=which,
            dtype="float64" if dtype == "float64" else "float32",
            **call,
        )
        for kind, which in ((keras.layers.RNN, "eager"), (zoo.RNN, mode))
    )
    largest = {name: max(1.0, np.abs(array).max()) for name, array in expected.items()}
    harness.assert_all_close(
        {name: array / largest[name] for name, array in found.items()},
        {name: array / largest[name] for name, array in expected.items()},
        tolerance,
    )


@harness.each_variant
def test_follows_the_paper(code: str) -> None:
    problem = harness.make_problem(code)
    found = differentiate(harness.make_layer(problem, kind=zoo.RNN), problem)
    outputs, finals = reference.forward(code, problem.weights, problem.inputs, problem.states)
    harness.assert_close(found["outputs"], outputs, FLOAT64)
    for index, final in enumerate(finals):
        harness.assert_close(found[f"final state {index}"], final, FLOAT64)
    for name, slope in harness.exact_gradient(code).items():
        harness.assert_close(found[name], slope, FLOAT64, name)


@pytest.mark.parametrize("code", ["V", "FGR", *slow(*reference.CODES[1:-1])])
def test_equals_keras_under_a_mask(code: str) -> None:
    problem = harness.make_problem(code, batch=len(MASK), time=TIME)
    assert_same(problem, "function", mask=MASK)


@pytest.mark.parametrize(
    ("code", "mode", "mask"),
    [
        pytest.param("V", "eager", None, id="V-eager"),
        pytest.param("FGR", "eager", MASK, id="FGR-eager-masked"),
        pytest.param("V", "xla", MASK, id="V-xla-masked"),
        pytest.param("FGR", "xla", None, id="FGR-xla-whole", marks=pytest.mark.slow),
        *(
            pytest.param(code, "xla", MASK, id=f"{code}-xla-masked", marks=pytest.mark.slow)
            for code in reference.CODES[1:]
        ),
    ],
)
def test_equals_keras_in_other_modes(code: str, mode: str, mask: np.ndarray | None) -> None:
    assert_same(harness.make_problem(code, batch=len(MASK), time=TIME), mode, mask=mask)


@pytest.mark.parametrize("time", [1, 10, 61, *slow(2, 13, 300)])
@vanilla_first
def test_equals_keras_at_every_length(
    code: str, time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_BLOCK_STEPS", FULL_BLOCKS)
    assert_same(harness.make_problem(code, time=time))


@pytest.mark.parametrize("batch", [300, *slow(1)])
def test_equals_keras_at_every_batch(batch: int) -> None:
    assert_same(harness.make_problem("V", batch=batch, time=5, units=12))


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
@pytest.mark.parametrize("option", ["go_backwards", "zero_output_for_mask"])
@vanilla_first
def test_equals_keras_under_options(code: str, option: str, mask: np.ndarray | None) -> None:
    problem = harness.make_problem(code, batch=len(MASK), time=TIME)
    assert_same(problem, mask=mask, **{option: True})


@vanilla_first
def test_equals_keras_in_float32(code: str) -> None:
    problem = harness.make_problem(code, time=30)
    assert_same(problem, dtype="float32", tolerance=FLOAT32)


@vanilla_first
def test_equals_keras_in_bfloat16(code: str) -> None:
    assert_same(harness.make_problem(code), dtype="mixed_bfloat16", tolerance=0.06)


def test_types_in_mixed_precision() -> None:
    layer = harness.make_layer(harness.make_problem("V"), dtype="mixed_bfloat16", kind=zoo.RNN)
    results = layer(tf.zeros((2, 5, harness.FEATURES)))
    assert {result.dtype for result in results} == {tf.bfloat16}
    assert {variable.dtype for variable in layer.trainable_variables} == {"float32"}


@pytest.mark.parametrize("name", ["relu", *slow("softsign", "linear", "gelu")])
def test_equals_keras_with_other_activations(name: str) -> None:
    arguments = {"activation": name, "recurrent_activation": "hard_sigmoid"}
    assert_same(harness.make_problem("V"), cell_arguments=arguments)


def test_equals_keras_without_a_bias() -> None:
    problem = harness.make_problem("V")
    weights = {name: array for name, array in problem.weights.items() if name != "bias"}
    problem = dataclasses.replace(problem, weights=weights)
    assert_same(problem, cell_arguments={"use_bias": False})


@pytest.mark.parametrize(
    ("code", "mask"),
    [pytest.param("V", None, id="V-whole"), pytest.param("FGR", MASK, id="FGR-masked")],
)
def test_one_program_serves_every_batch_and_length(code: str, mask: np.ndarray | None) -> None:
    layer = harness.make_layer(harness.make_problem(code), kind=zoo.RNN)
    names = [variable.name for variable in layer.trainable_variables]
    shapes = [[None, None, harness.UNITS], *([None, size] for size in layer.cell.state_size)]
    traced = []

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, harness.FEATURES], tf.float64),
            tf.TensorSpec([None, None], tf.bool),
            [tf.TensorSpec(shape, tf.float64) for shape in shapes],
        ]
    )
    def run(inputs: tf.Tensor, keep: tf.Tensor, upstream: list[tf.Tensor]) -> tuple:
        traced.append(inputs.shape)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            results = layer(inputs, mask=None if mask is None else keep)
            loss = sum(tf.reduce_sum(a * b) for a, b in zip(results, upstream, strict=True))
        weights = [variable.value for variable in layer.trainable_variables]
        return results, tape.gradient(loss, [inputs, *weights])

    for batch, time in ((2, 7), (6, 5), (1, 1), (3, 40)):
        problem = harness.make_problem(code, batch=batch, time=time)
        problem = dataclasses.replace(problem, states=[0 * state for state in problem.states])
        keep = np.resize(MASK, (batch, time))
        chosen = None if mask is None else keep
        upstream = [problem.output_gradient, *problem.state_gradients]
        results, gradient = run(problem.inputs, keep, upstream)
        outputs, finals = reference.forward(
            code, problem.weights, problem.inputs, problem.states, mask=chosen
        )
        for result, wanted in zip(results, [outputs, *finals], strict=True):
            harness.assert_close(result, wanted, FLOAT64)
        if batch * time < 30:
            loss = functools.partial(problem.reference_loss, mask=chosen)
            expected = reference.gradient(loss, problem.point)
            for name, array in zip(["inputs", *names], gradient, strict=True):
                harness.assert_close(array, expected[name], FLOAT64, name)
    assert len(traced) == 1


@vanilla_first
def test_both_directions(code: str) -> None:
    problem = harness.make_problem(code, batch=len(MASK), time=TIME)
    results = []
    for kind in (keras.layers.RNN, zoo.RNN):
        inner = harness.make_layer(problem, kind=kind, return_state=False)
        layer = keras.layers.Bidirectional(inner, dtype="float64")
        layer.build(problem.inputs.shape)
        other = harness.make_problem(code, seed=2)
        harness.set_weights(layer.forward_layer.cell, problem.weights)
        harness.set_weights(layer.backward_layer.cell, other.weights)
        assert type(layer.backward_layer) is kind
        results.append(layer(tf.constant(problem.inputs), mask=tf.constant(MASK)))
    harness.assert_close(results[1], results[0], FLOAT64)


def test_stateful_layer_goes_on_where_it_stopped() -> None:
    problem = harness.make_problem("FGR")
    zeros = [np.zeros_like(state) for state in problem.states]
    whole, _ = reference.forward("FGR", problem.weights, problem.inputs, zeros)
    layer = harness.make_layer(problem, kind=zoo.RNN, stateful=True, return_state=False)
    for _ in range(2):
        parts = [layer(tf.constant(part)) for part in np.split(problem.inputs, [2], axis=1)]
        harness.assert_close(np.concatenate(parts, axis=1), whole, FLOAT64)
        layer.reset_state()


def test_last_output_behind_a_masking_layer() -> None:
    problem = harness.make_problem("V", batch=len(MASK), time=TIME)
    inputs = np.where(MASK[..., None], problem.inputs, -1.0)
    for zero in (False, True):
        options = {"return_sequences": False, "return_state": False, "zero_output_for_mask": zero}
        results = []
        for kind in (keras.layers.RNN, zoo.RNN):
            masked = keras.layers.Masking(-1.0, dtype="float64")(tf.constant(inputs))
            results.append(harness.make_layer(problem, kind=kind, **options)(masked))
        harness.assert_close(results[1], results[0], FLOAT64)


def test_input_dropout_draws_the_masks_of_keras() -> None:
    problem = harness.make_problem("V", batch=4)
    arguments = {"dropout": 0.4, "seed": 5}
    expected, found = (
        differentiate(
            harness.make_layer(problem, kind=kind, cell_arguments=arguments),
            problem,
            training=True,
        )
        for kind in (keras.layers.RNN, zoo.RNN)
    )
    harness.assert_all_close(found, expected, FLOAT64)
    assert (expected["inputs"] == 0).any()


class DoubledCell(zoo.VanillaCell):
    """A cell that does more than the zoo knows of."""

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        output, states = super().call(inputs, states, training)
        return 2 * output, states


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (keras.layers.GRUCell(4), "GRUCell"),
        (keras.layers.StackedRNNCells([zoo.VanillaCell(4)]), "StackedRNNCells"),
        (DoubledCell(4), "DoubledCell"),
        (zoo.VanillaCell(4, recurrent_dropout=0.5), "recurrent_dropout"),
        (zoo.VanillaCell(4, activation="softmax"), "softmax"),
        (zoo.VanillaCell(4, recurrent_activation=lambda x: x), "lambda"),
        (zoo.VanillaCell(4, dtype="float64"), "float64"),
    ],
)
def test_falls_back_and_says_so_once(cell: Any, reason: str) -> None:
    inputs = tf.constant(np.random.default_rng(0).normal(size=(2, 5, 3)), tf.float32)
    ours, stock = zoo.RNN(cell), keras.layers.RNN(cell)
    with pytest.warns(UserWarning, match=f"slower loop.*{reason}"):
        found = ours(inputs, training=True)
    assert found.shape == (2, 4)
    ours(inputs, training=True)
    harness.assert_close(ours(inputs), stock(inputs), FLOAT32)


def test_falls_back_to_the_unrolled_loop() -> None:
    problem = harness.make_problem("V")
    with pytest.warns(UserWarning, match="unroll"):
        harness.run(harness.make_layer(problem, kind=zoo.RNN, unroll=True), problem)


def test_file_with_the_layer_of_keras_loads(tmp_path: pathlib.Path) -> None:
    cell = zoo.VanillaCell(4)
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.RNN(cell)])
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    inputs = np.random.default_rng(0).normal(size=(2, 5, 3))
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    ours = keras.Sequential([keras.Input((None, 3)), zoo.RNN(zoo.VanillaCell(4))])
    ours.load_weights(tmp_path / "model.weights.h5")
    harness.assert_close(ours(inputs), model(inputs), FLOAT32)


def test_saves_and_exports_plain_operations_only(tmp_path: pathlib.Path) -> None:
    model = zoo.networks.network(zoo.FullGateRecurrenceCell(4), inputs=3, outputs=2)
    model.export(tmp_path / "model", verbose=False)
    graph = (tmp_path / "model" / "saved_model.pb").read_bytes()
    for name in (b"XlaLaunch", b"XlaCompile", b"PyFunc", b"PyCall"):
        assert name not in graph
    inputs = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    harness.assert_close(loaded.serve(inputs), model(inputs), FLOAT32)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(again.get_layer(zoo.networks.RECURRENT)) is zoo.RNN
    np.testing.assert_array_equal(again(inputs), model(inputs))
