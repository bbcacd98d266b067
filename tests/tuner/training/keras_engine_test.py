"""The engine `keras` against the protocol written out in NumPy, and against itself."""

from __future__ import annotations

import dataclasses
import pathlib

import keras
import numpy as np
import pytest

import zoo
from tests.tuner import numpy_protocol, tiny
from tests.tuner.tiny import train_one
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask, turned
from tests.zoo import harness
from tests.zoo import reference as equations
from tuner.tasks.task import Task
from tuner.training import engines, network, random_streams
from tuner.training.native import engine as native
from tuner.training.protocol import Protocol, Trial, TrialResult
from zoo import registry

TASK = TinyTask()
CORPUS = TASK.load("a")


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trial trained by `model.fit`, which takes seconds to trace: the tests share it."""

    task: Task
    trial: Trial
    protocol: Protocol
    outcome: TrialResult

    @classmethod
    def train(
        cls,
        task: Task,
        variant: str,
        epochs: int,
        seed: int,
        checkpoint: pathlib.Path | None = None,
        **values: float,
    ) -> Trained:
        protocol = Protocol(max_epochs=epochs, patience=epochs, order_seed=5)
        trial = dataclasses.replace(tiny.changed(**values), variant=variant, seed=seed)
        return cls(task, trial, protocol, train_one(
            trial, protocol, task, checkpoint_path=lambda trial: checkpoint, checkpoint_seconds=0.0
        ))  # fmt: skip


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where two checkpoints of `whole` are: after epoch 1, and after update 5 of epoch 2."""
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def whole(checkpoints: pathlib.Path) -> Trained:
    """The tiny trial, at so high a rate that validation gets worse again."""
    with harness.small_blocks(), tiny.copied(checkpoints, [8, 13]):
        return Trained.train(TASK, "V", 5, 11, checkpoints / "last.npz", learning_rate=0.6)


@pytest.fixture(scope="module")
def framewise() -> Trained:
    """At so high a rate that the metric, a count of errors, falls in epoch 1 and rises again."""
    with harness.small_blocks():
        return Trained.train(TinySpeech(), "NIG", 2, seed=13, learning_rate=0.6)


@pytest.fixture(scope="module")
def transcribing() -> Trained:
    """Both directions."""
    with harness.small_blocks():
        task = turned(TinyHandwriting, True)
        return Trained.train(task, "CIFG", 3, seed=13, learning_rate=0.3, units=3)


def check_protocol(trained: Trained, epochs: int) -> None:
    """Compares the first epochs, and the weights of the last of them if it was the best."""
    task, trial, outcome = trained.task, trained.trial, trained.outcome
    result = outcome.result
    protocol = dataclasses.replace(trained.protocol, max_epochs=epochs)
    expected, weights = numpy_protocol.train(task, task.load("a"), trial, protocol)
    # float32 against float64 over 5 to 16 updates.
    for epoch, (loss, mean, _) in zip(result.curve[1 : epochs + 1], expected, strict=True):
        assert epoch.loss == pytest.approx(loss, rel=1e-5)
        assert epoch.validation == pytest.approx(mean, rel=1e-5)
    assert result.parameters == sum(part.size for part in weights.values())
    assert result.parameters == engines.count_params(tiny.problem(task=task), trial)
    if result.best_epoch == epochs:
        assert result.validation.sequence_mean == pytest.approx(expected[-1][2], rel=1e-5)
        for found, part in zip(outcome.weights, weights.values(), strict=True):
            np.testing.assert_allclose(found, part, atol=1e-5)


def test_training_follows_the_protocol(whole: Trained) -> None:
    """What differs from epoch to epoch depends on neither head nor variant."""
    check_protocol(whole, epochs=2)
    assert whole.outcome.result.curve[2].loss < 0.99 * whole.outcome.result.curve[1].loss


def test_framewise_training_follows_the_protocol(framewise: Trained) -> None:
    assert framewise.outcome.result.best_epoch == 1
    check_protocol(framewise, epochs=1)


def test_transcribing_training_follows_the_protocol(transcribing: Trained) -> None:
    check_protocol(transcribing, epochs=1)


@pytest.mark.slow
def test_training_of_both_directions_follows_the_protocol() -> None:
    check_protocol(Trained.train(turned(TinyTask, True), "NFG", 1, 13, learning_rate=0.3), epochs=1)


@pytest.mark.parametrize("name", ["whole", "framewise", "transcribing"])
def test_the_native_engine_has_the_same_numbers(
    name: str, request: pytest.FixtureRequest
) -> None:
    trained: Trained = request.getfixturevalue(name)
    ours = train_one(trained.trial, trained.protocol, trained.task, native.Trainer)
    tiny.check_equal(ours, trained.outcome, rel=1e-4)
    assert (ours.result.test_grouped is None) == (name != "framewise")


@pytest.mark.parametrize(
    ("variant", "task", "bidirectional"),
    [
        # All variants with all heads, and both with both directions. A head does not know which
        # variant is below it: each variant with one head, and V with all, are the first to look at.
        # The scores of NIG and CIFG are looked at epoch by epoch above.
        pytest.param(
            variant,
            task,
            (row + column) % 2 == 0,
            marks=()
            if variant == "V" or (row % 3 == column and variant not in ("NIG", "CIFG"))
            else pytest.mark.slow,
        )
        for row, variant in enumerate(equations.CODES)
        for column, task in enumerate([TinyTask, TinySpeech, TinyHandwriting])
    ],
)
@pytest.mark.usefixtures("small_blocks")
def test_scores_and_losses_of_every_network(
    variant: str, task: type[Task], bidirectional: bool
) -> None:
    chosen, units = turned(task, bidirectional), 3
    model = network.build_network(chosen, tiny.of_size(variant, units), weight_std=0.1)
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


def test_the_test_score_is_that_of_the_best_epochs_weights(whole: Trained) -> None:
    result, trial = whole.outcome.result, whole.trial
    validations = [epoch.validation for epoch in result.curve]
    assert 0 < result.best_epoch < 5
    assert result.validation.mean == min(validations) == validations[result.best_epoch]

    point = numpy_protocol.named(TASK, trial.variant, trial.units, whole.outcome.weights)
    for score, split in ((result.test, CORPUS.test), (result.validation, CORPUS.validation)):
        mean, sequence_mean = numpy_protocol.score(TASK, "V", point, split)
        assert score.mean == pytest.approx(mean, rel=1e-6)
        assert score.sequence_mean == pytest.approx(sequence_mean, rel=1e-6)


@pytest.mark.parametrize("engine", ["keras", "native"])
def test_the_grouped_score_is_that_of_the_best_epochs_weights(
    engine: str, framewise: Trained
) -> None:
    task, trial, outcome = framewise.task, framewise.trial, framewise.outcome
    if engine == "native":
        outcome = train_one(trial, framewise.protocol, task=task, trainer=native.Trainer)
    point = numpy_protocol.named(task, trial.variant, trial.units, outcome.weights)
    wrong, counted = 0, 0
    split = task.load("a").test
    for inputs, targets in zip(split.inputs, split.targets, strict=True):
        logits = numpy_protocol.logits(task, trial.variant, point, inputs.astype(float)).real
        for frame, target in zip(logits, targets, strict=True):
            if target != 3:  # The class without a group.
                counted += 1
                wrong += {0, 1}.isdisjoint({target}) != {0, 1}.isdisjoint({int(frame.argmax())})
                wrong += target == 2 and int(frame.argmax()) == 3
    assert 0 < wrong < counted < split.frames
    assert outcome.result.test_grouped == pytest.approx(100 * wrong / counted)
    assert outcome.result.test_grouped < outcome.result.test.mean


@pytest.mark.parametrize("number", [8, 13])
@pytest.mark.usefixtures("small_blocks")
def test_from_a_checkpoint_a_trial_goes_on_bit_for_bit(
    number: int, checkpoints: pathlib.Path, whole: Trained
) -> None:
    epochs: list[int] = []
    again = train_one(
        whole.trial,
        whole.protocol,
        checkpoint_path=lambda trial: checkpoints / f"{number}.npz",
        on_epoch_end=lambda trial, state: epochs.append(state.epoch),
    )
    assert epochs == [2, 3, 4, 5]
    tiny.check_same(again, whole.outcome)


@pytest.mark.usefixtures("small_blocks")
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


@pytest.mark.parametrize("code", ["DA-V", "V"])
def test_depth_has_a_price_in_the_loss_alone(code: str) -> None:
    task, price = turned(TinyTask, True), 0.25
    code = registry.find_variant(code)
    inputs, targets = (split[0][None] for split in (CORPUS.train.inputs, CORPUS.train.targets))
    models = []
    for values in ({}, {"ponder_price": price}):
        trial = dataclasses.replace(tiny.changed(max_depth=4, **values), variant=code)
        models.append(network.build_network(task, trial, 0.1))
        shapes = [tuple(weight.shape) for weight in models[-1].weights]
        models[-1].set_weights(random_streams.initial_weights(7, shapes, 0.5))
        models[-1].compile(loss=network.SummedLoss(task.head), run_eagerly=True)
    free, priced = (
        model.test_on_batch(inputs, targets, return_dict=True)["loss"] for model in models
    )
    np.testing.assert_array_equal(*(model(inputs) for model in models))
    ponder = 0.0
    if code != "V":
        registry.unregister(code)
        recurrent = models[0].get_layer(zoo.networks.RECURRENT)
        for layer in (recurrent.forward_layer, recurrent.backward_layer):
            assert layer.cell.max_depth == 4
            backwards = layer.go_backwards
            states = keras.layers.RNN(layer.cell, return_state=True, go_backwards=backwards)
            ponder += float(states(inputs)[-1][0, 0])
        # Each frame takes a step at least, and some of them more.
        assert ponder > 2 * (2 * inputs.shape[1])
    assert priced - free == pytest.approx(price * ponder, rel=1e-5)


def test_initial_weights_of_a_built_network_have_the_protocols_deviation() -> None:
    model = network.build_network(TASK, tiny.of_size("FGR", 60), weight_std=0.1)
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
        model = network.build_network(TinyTask(), tiny.of_size("V", 3), 0.1)
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}
        assert {weight.dtype for weight in model.weights} == {"float32"}
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
