"""Tests of engine `jax`; `tests/jax_test.py` runs them in a process with that backend of Keras."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import zoo
from common.errors import InputError
from tests.tuner import tiny
from tests.tuner.tiny import TRIAL, changed, train_one
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask, turned
from tuner.tasks import ctc
from tuner.tasks.task import Task
from tuner.training import random_streams
from tuner.training.jax import engine, losses, noise, program
from tuner.training.jax.blocks import BLOCK, rows, total
from tuner.training.jax.gradients import Sequence
from tuner.training.jax.padding import fit, padded_units
from tuner.training.jax.step import Step
from tuner.training.jax.updates import UPDATES
from tuner.training.native import engine as native
from tuner.training.optimizers import OPTIMIZERS
from tuner.training.protocol import Protocol, Trial, TrialResult
from tuner.training.trial_state import Checkpoint
from zoo.registry import cell_class, find_variant, unregister
from zoo.variants import VARIANTS

TWO_EPOCHS = Protocol(max_epochs=2, patience=2, order_seed=5)
jax_one = functools.partial(train_one, trainer=engine.Trainer)


@pytest.fixture(scope="module", autouse=True)
def single_precision() -> Iterator[None]:
    """The tests of the zoo, in the same process, want more."""
    before = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.slow
@pytest.mark.parametrize("code", VARIANTS)
@pytest.mark.parametrize("task", [TinyTask, TinySpeech, TinyHandwriting])
def test_two_epochs_are_those_of_native(code: str, task: type[Task]) -> None:
    """Units that fill no block, so that there are some in excess; both directions."""
    chosen = turned(task, task is not TinyTask)
    trial = dataclasses.replace(changed(units=11), variant=code)
    assert padded_units(code, 11) == 16
    theirs = train_one(trial, TWO_EPOCHS, chosen, native.Trainer)
    tiny.check_equal(jax_one(trial, TWO_EPOCHS, chosen), theirs, 1e-5)
    assert theirs.result.curve[2].loss < theirs.result.curve[1].loss


def test_a_cell_of_keras_is_trained_as_by_keras() -> None:
    """Both directions of a GRU, with another optimizer; `tests/jax_test.py` has trained it."""
    expected = np.load(os.environ["EXPECTED"])
    # As a user's environment may say.
    jax.config.update("jax_enable_x64", True)
    gru = dataclasses.replace(changed(units=6), variant=find_variant("keras.layers:GRUCell"))
    ours = jax_one(gru, dataclasses.replace(TWO_EPOCHS, optimizer="adam"), TinyHandwriting())
    curve = [[epoch.loss or 0, epoch.validation] for epoch in ours.result.curve]
    np.testing.assert_allclose(curve, expected["curve"], rtol=1e-4)
    assert ours.result.test.mean == pytest.approx(float(expected["test"]), rel=1e-4)
    for place, one in enumerate(ours.weights):
        np.testing.assert_allclose(one, expected[str(place)], atol=2e-5)


@pytest.fixture
def adaptive() -> Iterator[str]:
    code = find_variant("DA-V")
    yield code
    unregister(code)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "loss", "validation"),
    [
        ({}, 3.3948420, (3.4789446, 3.2988484)),
        ({"max_depth": 2, "ponder_price": 0.5}, 4.6759571, (3.5130210, 3.3077154)),
    ],
)
@pytest.mark.parametrize("size", [1, 2])
def test_a_depth_adaptive_cell_is_trained_as_by_keras(
    adaptive: str, values: dict[str, float], loss: float, validation: tuple[float, ...], size: int
) -> None:
    """Conditions and selections in the step; the numbers are those of engine `keras`."""
    trial = dataclasses.replace(changed(units=6, **values), variant=adaptive)
    trainer = engine.Trainer(tiny.problem(dataclasses.replace(TWO_EPOCHS, max_epochs=1)), size)
    ended = {one.trial: one.result.curve for one in trainer.train(
        dataclasses.replace(trial, index=row) for row in range(size)
    )}  # fmt: skip
    assert ended[trial][1].loss == pytest.approx(loss, rel=1e-5)
    assert [epoch.validation for epoch in ended[trial]] == pytest.approx(validation, rel=1e-5)


@pytest.mark.parametrize("halting", ["act", pytest.param("choice", marks=pytest.mark.slow)])
def test_gradients_with_a_price_of_depth(
    adaptive: str, halting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both directions, two steps beyond the sequence, against a scan that JAX differentiates."""
    cell_of = functools.partial(zoo.DepthAdaptiveCell, halting=halting)
    monkeypatch.setattr(program, "cell_class", lambda code: cell_of)
    task, frames, price = turned(TinyTask, True), 4, 0.7
    network, shapes = program.build(task, adaptive, 3, (("max_depth", 2),))
    weights = [2 * _bounded(shape, seed) for seed, shape in enumerate(shapes)]
    inputs, targets = np.zeros((2, 32, 5), np.float32)
    inputs[:], targets[:frames] = _bounded((32, 5), 50), _bounded((frames, 5), 51) > 0
    cell = cell_of(3, max_depth=2)
    cell.build((1, 5))
    kept = [variable.value for variable in cell.non_trainable_variables]
    each = (len(weights) - 2) // 2

    def total(weights):
        def step(own, states, frame):
            (output, states), _ = cell.stateless_call(own, kept, frame[None], states)
            return states, output[0]

        ways, ponder = [], 0.0
        for place, backwards in enumerate((False, True)):
            own = weights[place * each : (place + 1) * each]
            states, outputs = jax.lax.scan(
                functools.partial(step, own),
                [jnp.zeros((1, size)) for size in cell.state_size],
                inputs[:frames],
                reverse=backwards,
            )
            ways.append(outputs)
            ponder += states[-1][0, 0]
        logits = jnp.concatenate(ways, axis=1) @ weights[-2] + weights[-1]
        return jnp.sum(jax.nn.softplus(logits) - targets[:frames] * logits) + price * ponder

    sequence = Sequence(inputs, targets, frames, frames, frames + 2)
    (loss, ours), (expected, theirs) = jax.jit(
        lambda weights: (
            network.gradients(weights, sequence, price),
            jax.value_and_grad(total)(weights),
        )
    )(weights)
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    halting_bias = ours[each - 1]
    assert np.any(np.abs(halting_bias) > 1e-3)


def test_trials_side_by_side() -> None:
    """More trials than places, with fewer units; one diverges, one stops at once."""
    devices = len(jax.devices())
    size = max(4, devices)
    assert devices > 1
    base = dataclasses.replace(TRIAL, variant="FGR")
    trials = [
        dataclasses.replace(changed(base, units=9 + row % 3), index=row, seed=row)
        for row in range(size + 3)
    ]
    trials[1] = changed(trials[1], learning_rate=1e38, momentum=0.0)
    trials[2] = changed(trials[2], learning_rate=1e-30)
    protocol = Protocol(max_epochs=3, patience=1, order_seed=5)
    ended = []
    trainer = engine.Trainer(tiny.problem(protocol), size)
    results = {result.trial: result for result in trainer.train(
        iter(trials), on_epoch_end=lambda trial, state: ended.append((trial.index, state.epoch))
    )}  # fmt: skip
    group = trainer._make("FGR", 16, ())
    assert {len(array.sharding.device_set) for array in group.weights} == {devices}
    assert list(results) != trials and set(results) == set(trials)
    for trial in trials:
        theirs = train_one(trial, protocol, trainer=native.Trainer)
        tiny.check_equal(results[trial], theirs, 1e-5)
    assert results[trials[1]].result.diverged
    assert ended.index((0, 1)) < ended.index((size + 2, 1))


def test_an_interrupted_trial_goes_on_bit_for_bit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dies right after a checkpoint: in epoch 1, after it, in epoch 2."""
    monkeypatch.setattr(engine, "_CHUNK_SECONDS", 0.0)
    trainer = engine.Trainer(tiny.problem())
    again = functools.partial(train_one, trainer=lambda problem: trainer)
    tiny.check_going_on(again, again(), tmp_path / "checkpoint.npz", [3, 8, 15])


@pytest.mark.slow
def test_interrupted_trials_side_by_side_go_on_bit_for_bit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dies when some have a checkpoint of a later visit than others, one none, one in epoch 2."""
    monkeypatch.setattr(engine, "_CHUNK_SECONDS", 0.0)
    trials = [dataclasses.replace(TRIAL, index=row, seed=row) for row in range(4)]
    trainer = engine.Trainer(tiny.problem(), 4)

    def train(**options: Any) -> dict[int, TrialResult]:
        return {one.trial.index: one for one in trainer.train(iter(trials), **options)}

    def path(trial: Trial) -> pathlib.Path:
        return tmp_path / f"{trial.index}.npz"

    whole, options = train(), {"checkpoint_path": path, "checkpoint_seconds": 0.0}
    for checkpoints in (6, 29, 3):
        with tiny.killed_after(checkpoints):
            train(**options)
        places = [Checkpoint.load(path(trial), trial, "jax") for trial in trials]
        assert len({one.visited for one in places if one}) == 2
    interrupted = train(**options)
    for index, expected in whole.items():
        tiny.check_same(interrupted[index], expected)


@pytest.mark.slow
def test_divergence() -> None:
    tiny.check_divergence(jax_one, TinyTask())


def _bounded(shape: tuple[int, ...], seed: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32))


@pytest.mark.parametrize(
    ("make", "taps", "projected"),
    [
        pytest.param(lambda: keras.layers.GRUCell(4), 1, 3, marks=pytest.mark.slow),
        (lambda: keras.layers.GRUCell(4, reset_after=False), 2, None),
        (lambda: zoo.DepthAdaptiveCell(4), 5, None),
        pytest.param(lambda: cell_class("FGR")(4), None, None, marks=pytest.mark.slow),
        pytest.param(lambda: keras.layers.StackedRNNCells(
            [keras.layers.LSTMCell(4), keras.layers.SimpleRNNCell(3)]), None, None,
            marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_step_in_parts_is_the_step(make, taps, projected) -> None:
    """Values, and by the taps the gradients of all weights, against the whole cell's."""
    (cell := make()).build((1, 5))
    step = Step(cell, 5)
    assert taps in (None, len(step.taps)) and projected in (None, len(step.projected))
    variables, sizes = cell.trainable_variables, step.states
    weights = [_bounded(variable.shape, seed) for seed, variable in enumerate(variables)]
    states = [_bounded((size,), 20 + seed) for seed, size in enumerate(sizes)]
    frame = _bounded((5,), 40)
    kept = [variable.value for variable in cell.non_trainable_variables]

    def whole(weights):
        nested = keras.tree.pack_sequence_as(cell.state_size, [one[None] for one in states])
        (output, new), _ = cell.stateless_call(weights, kept, frame[None], nested)
        return [output[0], *(one[0] for one in keras.tree.flatten(new))]

    def parts(derived, tapped, known=None):
        looped = [derived[place] for place in step.looped]
        return step.advance(tapped, looped, step.project(derived, frame)[0], states, known)

    def total(outputs):
        return sum(jnp.sum(jnp.sin(k + 1 + one)) for k, one in enumerate(outputs))

    @jax.jit  # One program: of each operation alone JAX would compile one.
    def check(weights):
        def of_parts(weights):
            derived = step.derive(weights)
            outputs, kept = parts(derived, derived)
            return total(outputs), (outputs, kept)

        def of_whole(weights):
            outputs = whole(weights)
            return total(outputs), outputs

        derived = step.derive(weights)
        ours, (outputs, (factors, products)) = jax.grad(of_parts, has_aux=True)(weights)
        theirs, expected = jax.grad(of_whole, has_aux=True)(weights)
        by_weight = jax.grad(lambda tapped: total(parts(derived, tapped)[0]))(derived)
        known, of_products = jax.value_and_grad(
            lambda products: total(parts(derived, derived, products)[0])
        )(products)
        back = {place: 0.0 for place in range(len(derived))}
        for tap, factor, gradient in zip(step.taps, factors, of_products, strict=True):
            back[tap.weight] += tap.gradient(factor[None], gradient[None])
        return (
            ([*outputs, known], ours, back),
            ([*expected, total(expected)], theirs, dict(enumerate(by_weight))),
        )

    (outputs, *gradients), (expected, *others) = check(weights)
    for one, other in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
        *(jax.tree.map(np.asarray, one) for one in (gradients, others)),
    )


def test_optimized_loops_are_one_function() -> None:
    """XLA knows `common.machine.XLA_LOOP_FLAG`."""

    @jax.jit
    def run(matrix: jax.Array, state: jax.Array, count: int) -> jax.Array:
        return jax.lax.fori_loop(0, count, lambda _, state: jnp.tanh(state @ matrix), state)

    assert "xla_cpu_small_call" in run.lower(jnp.eye(9), jnp.ones(9), 3).compile().as_text()


@pytest.mark.parametrize(("blocks", "most"), [(1, 3), (3, 3), (7, 20), (8, 20), (19, 20)])
def test_products_over_many_frames_at_once(blocks: int, most: int) -> None:
    left, right = (np.random.default_rng(0).normal(size=(most * BLOCK, n)) for n in (3, 2))
    ours = jnp.asarray(left, np.float32), jnp.asarray(right, np.float32)

    def part(start: Any, *, count: int) -> Any:
        return rows(ours[0], start, count).T @ rows(ours[1], start, count)

    found = jax.jit(lambda blocks: total(blocks, most, part))(blocks)
    expected = left[: blocks * BLOCK].T @ right[: blocks * BLOCK]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


class Counting(keras.layers.SimpleRNNCell):
    """Counts its steps."""

    def build(self, shape):
        super().build(shape)
        self.count = self.add_weight(shape=(), trainable=False)

    def call(self, inputs, states, training=False):
        self.count.assign(self.count + 1)
        return super().call(inputs, states, training=training)


def test_cells_that_keep_more_than_weights_and_states_are_refused() -> None:
    counting = Counting(3)
    counting.build((1, 2))
    with pytest.raises(ValueError, match="weights and states alone"):
        Step(counting, 2)
    code = find_variant(f"{__name__}:Counting")
    with pytest.raises(InputError, match=f"--engine=jax: {code} cannot be traced") as caught:
        jax_one(dataclasses.replace(TRIAL, variant=code))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", [5, 1500])
def test_the_noise_is_that_of_the_host(count: int) -> None:
    drawn = noise.standard_normal(np.array([7, 9], np.uint32), 3, count, 1500)
    expected = random_streams.standard_normal((7, 9), 3, count)
    np.testing.assert_allclose(drawn[:count], expected, atol=1e-6)


@pytest.mark.slow  # The GRU above is trained with it.
@pytest.mark.parametrize(("frames", "labels"), [(5, 2), (9, 3), (4, 2), (12, 1)])
def test_the_loss_of_a_transcription(frames: int, labels: int) -> None:
    """Padded, against the sum over paths in the task's own code, differentiated by JAX."""
    logits = _bounded((12, 4), frames)
    targets = jnp.asarray([1, 1, 0][:labels] + [2] * (3 - labels), jnp.int32)
    loss, gradient = losses.ctc(logits, targets, frames, labels)

    def expected(logits):
        return ctc.loss(targets[None, :labels], logits[None, :frames])[0]

    assert float(loss) == pytest.approx(float(expected(logits)), rel=1e-6)
    np.testing.assert_allclose(gradient, jax.grad(expected)(logits), atol=2e-6)
    assert not np.any(gradient[frames:])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_those_of_keras(name: str) -> None:
    trial = changed(learning_rate=0.03, momentum=0.6)
    optimizer = OPTIMIZERS[name].make(trial)
    weight = keras.Variable(_bounded((3, 2), 1))
    optimizer.build([weight])
    ours, rule = weight.value, UPDATES[name]
    slots = [jnp.zeros_like(ours)] * rule.slots
    for number in range(1, 4):
        gradient = _bounded((3, 2), 10 + number)
        optimizer.apply([gradient], [weight])
        ours, slots = rule.step(
            *(ours, gradient, slots, np.float32(rule.rate(trial)), np.float32(0.6)),
            jnp.float32(number),
        )
        np.testing.assert_allclose(ours, weight.value, rtol=2e-6, atol=1e-7)


def test_units_in_excess() -> None:
    """Blocks of two gates grow and shrink on either axis."""
    array = np.arange(24.0).reshape(4, 6)
    grown = fit(array, (10, 15), units=2, wanted=5)
    assert grown.shape == (10, 15) and grown.sum() == array.sum()
    np.testing.assert_array_equal(grown[:2, :2], array[:2, :2])
    np.testing.assert_array_equal(grown[5:7, 10:12], array[2:, 4:])
    np.testing.assert_array_equal(fit(grown, (4, 6), units=5, wanted=2), array)


def test_only_known_cells_get_units_in_excess() -> None:
    assert padded_units(find_variant("keras.layers:GRUCell"), 11) == 16
    assert padded_units(find_variant(f"{__name__}:Counting"), 11) == 11
