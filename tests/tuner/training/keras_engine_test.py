"""The engine `keras` against the protocol written out in NumPy, and against itself."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import pytest

from tests.tuner import numpy_protocol, tiny
from tests.tuner.tiny import TRIAL, train_one
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask, turned
from tests.zoo import reference as equations
from tuner.tasks.task import Task
from tuner.training import engines, keras_engine, network, random_streams
from tuner.training.engines import Trainer
from tuner.training.native import engine as native
from tuner.training.protocol import Problem, Protocol, TrialResult

TASK = TinyTask()
CORPUS = TASK.load("a")


class TinyMultilabel(TinyTask):
    """The tiny task read both ways."""

    name = "tiny multilabel"
    bidirectional = True


@pytest.mark.parametrize(
    ("task", "variant", "epochs"),
    [
        # What differs from epoch to epoch depends on neither head nor variant.
        (TinyTask(), "V", 2),
        pytest.param(TinyMultilabel(), "NIG", 1, marks=pytest.mark.slow),
        (TinySpeech(), "NFG", 1),
        (TinyHandwriting(), "CIFG", 1),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_training_follows_the_protocol(task: Task, variant: str, epochs: int) -> None:
    protocol = Protocol(max_epochs=epochs, patience=3, order_seed=5)
    # So high a rate that the metrics, which are counts of errors for two heads, change.
    trial = dataclasses.replace(tiny.changed(learning_rate=0.3), variant=variant)
    outcome = train_one(trial, protocol, task=task)
    result = outcome.result
    expected, weights = numpy_protocol.train(task, task.load("a"), trial, protocol)
    # float32 against float64 over 5 to 16 updates.
    for epoch, (loss, mean, _) in zip(result.curve[1:], expected, strict=True):
        assert epoch.loss == pytest.approx(loss, rel=1e-5)
        assert epoch.validation == pytest.approx(mean, rel=1e-5)
    if epochs == 2:
        assert result.curve[2].loss < 0.99 * result.curve[1].loss
    assert result.parameters == sum(part.size for part in weights.values())
    assert result.parameters == engines.count_params(
        tiny.problem(task=task), variant, trial.units
    )
    if result.best_epoch == epochs:
        assert result.validation.sequence_mean == pytest.approx(expected[-1][2], rel=1e-5)
        for found, part in zip(outcome.weights, weights.values(), strict=True):
            np.testing.assert_allclose(found, part, atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "task", "bidirectional"),
    [
        # All variants with all heads, and both with both directions. A head does not know which
        # variant is below it: each variant with one head, and V with all, are the first to look at.
        pytest.param(
            variant,
            task,
            (row + column) % 2 == 0,
            marks=() if row % 3 == column or variant == "V" else pytest.mark.slow,
        )
        for row, variant in enumerate(equations.CODES)
        for column, task in enumerate([TinyTask, TinySpeech, TinyHandwriting])
    ],
)
def test_scores_and_losses_of_every_network(
    variant: str, task: type[Task], bidirectional: bool
) -> None:
    chosen, units = turned(task, bidirectional), 3
    model = network.build_network(chosen, variant, units, weight_std=0.1)
    shapes = list(numpy_protocol.weight_shapes(chosen, variant, units).values())
    # Large weights: one sequence's padding, or a swap, would change every logit much.
    model.set_weights(random_streams.initial_weights(7, shapes, 1.0))
    point = numpy_protocol.named(chosen, variant, units, model.get_weights())

    # Of one batch of different lengths.
    split = chosen.load("a").train
    found = network.Scorer(model, chosen)(split)
    mean, sequence_mean = numpy_protocol.score(chosen, variant, point, split)
    assert found.mean == pytest.approx(mean, rel=1e-5)
    assert found.sequence_mean == pytest.approx(sequence_mean, rel=1e-5)

    longest = int(np.argmax(split.lengths))
    inputs, targets = split.inputs[longest], split.targets[longest]
    loss = network.SummedLoss(chosen.head)(targets[np.newaxis], model(inputs[np.newaxis]))
    logits = numpy_protocol.logits(chosen, variant, point, inputs.astype(float))
    expected = numpy_protocol.LOSSES[chosen.head](targets, logits)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_the_test_score_is_that_of_the_best_epochs_weights() -> None:
    # So high a rate that validation gets worse again.
    trial = tiny.changed(learning_rate=0.6, momentum=0.9, units=8)
    outcome = train_one(trial, Protocol(max_epochs=12, patience=12, order_seed=5))
    result = outcome.result
    validations = [epoch.validation for epoch in result.curve]
    assert 0 < result.best_epoch < 12
    assert result.validation.mean == min(validations) == validations[result.best_epoch]

    point = numpy_protocol.named(TASK, trial.variant, trial.units, outcome.weights)
    for score, split in ((result.test, CORPUS.test), (result.validation, CORPUS.validation)):
        mean, sequence_mean = numpy_protocol.score(TASK, "V", point, split)
        assert score.mean == pytest.approx(mean, rel=1e-6)
        assert score.sequence_mean == pytest.approx(sequence_mean, rel=1e-6)


@pytest.mark.parametrize("trainer", [keras_engine.Trainer, native.Trainer])
def test_the_grouped_score_is_that_of_the_best_epochs_weights(
    trainer: Callable[[Problem], Trainer],
) -> None:
    task = TinySpeech()
    outcome = train_one(tiny.changed(units=6), task=task, trainer=trainer)
    point = numpy_protocol.named(task, "V", 6, outcome.weights)
    wrong, counted = 0, 0
    split = task.load("a").test
    for inputs, targets in zip(split.inputs, split.targets, strict=True):
        logits = numpy_protocol.logits(task, "V", point, inputs.astype(float)).real
        for frame, target in zip(logits, targets, strict=True):
            if target != 3:  # The class without a group.
                counted += 1
                wrong += {0, 1}.isdisjoint({target}) != {0, 1}.isdisjoint({int(frame.argmax())})
                wrong += target == 2 and int(frame.argmax()) == 3
    assert 0 < wrong < counted < split.frames
    assert outcome.result.test_grouped == pytest.approx(100 * wrong / counted)
    assert outcome.result.test_grouped < outcome.result.test.mean


@pytest.fixture(scope="module")
def whole() -> TrialResult:
    """The tiny trial without interruption."""
    return train_one()


def test_the_same_trial_gives_the_same_curve(whole: TrialResult) -> None:
    first, second = whole, train_one()
    assert first.result.curve == second.result.curve
    assert first.result.test == second.result.test
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert train_one(dataclasses.replace(TRIAL, seed=12)).result.curve != first.result.curve


def test_an_interrupted_trial_goes_on_bit_for_bit(
    tmp_path: pathlib.Path, whole: TrialResult
) -> None:
    """Dies right after a checkpoint: after update 5 of epoch 1, after epoch 1, in epoch 2."""
    tiny.check_going_on(train_one, whole, tmp_path / "checkpoint.npz", [5, 8, 15])


def test_a_diverging_trial_ends_with_finite_scores() -> None:
    tiny.check_divergence(train_one, TASK)


def test_the_loss_is_a_sum_over_frames_and_outputs() -> None:
    loss = network.SummedLoss("bernoulli")
    targets = np.array([[[1, 0, 1], [0, 0, 1]]], np.float32)
    logits = np.array([[[0.5, -2.0, 3.0], [1.0, 0.0, -30.0]]], np.float32)
    probability = 1 / (1 + np.exp(-logits.astype(float)))
    expected = -np.sum(targets * np.log(probability) + (1 - targets) * np.log(1 - probability))
    assert float(loss(targets, logits)) == pytest.approx(expected, rel=1e-6)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(again(targets, logits)) == float(loss(targets, logits))


def test_initial_weights_of_a_built_network_have_the_protocols_deviation() -> None:
    model = network.build_network(TASK, "FGR", 60, weight_std=0.1)
    for weight in model.weights:
        values = np.asarray(weight)
        if values.size > 100:
            # Six standard errors.
            assert abs(values.std() - 0.1) < 6 * 0.1 / np.sqrt(2 * values.size), weight.path
        assert np.all(values != 0), weight.path


@pytest.mark.parametrize("floatx", ["float64", "float16"])
def test_a_network_computes_in_float32_whatever_a_machine_has_chosen(floatx: str) -> None:
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(floatx)
    try:
        model = network.build_network(TinyTask(), "V", 3, 0.1)
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}
        assert {weight.dtype for weight in model.weights} == {"float32"}
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
