"""The engine `keras` against the protocol written out in NumPy, and against itself."""

from __future__ import annotations

import dataclasses
import functools
import pathlib

import keras
import numpy as np
import pytest

from tests.tuner.tiny import TRIAL, TinyTask, train_one
from tests.zoo import reference as equations
from tuner import network, reference, streams
from tuner.course import Course
from tuner.protocol import Outcome, Protocol, Trial
from tuner.tasks.sequences import Sequences

TASK = TinyTask()
CORPUS = TASK.load("a")
CELL_WEIGHTS = ("kernel", "recurrent_kernel", "bias", "peephole")


def loss_in_numpy(point: dict[str, np.ndarray], inputs: np.ndarray, targets: np.ndarray) -> complex:
    """Total negative log-likelihood of one sequence, from the paper's equations."""
    units = point["recurrent_kernel"].shape[0]
    start = [np.zeros((1, units)), np.zeros((1, units))]
    hidden, _ = equations.forward("V", point, inputs[np.newaxis], start)
    probability = equations.sigmoid(hidden[0] @ point["output_kernel"] + point["output_bias"])
    return -np.sum(targets * np.log(probability) + (1 - targets) * np.log(1 - probability))


def score_in_numpy(point: dict[str, np.ndarray], split: Sequences) -> tuple[float, float]:
    totals = np.array(
        [
            np.real(loss_in_numpy(point, x.astype(float), y))
            for x, y in zip(split.inputs, split.targets, strict=True)
        ]
    )
    return totals.sum() / split.lengths.sum(), np.mean(totals / split.lengths)


def train_in_numpy(trial: Trial, protocol: Protocol) -> list[tuple[float, float, float]]:
    """The protocol of the paper: loss and both validation means after every epoch, in float64."""
    units, size = trial.units, TASK.inputs
    shapes = [
        (size, 4 * units),
        (units, 4 * units),
        (4 * units,),
        (3 * units,),
        (units, size),
        (size,),
    ]
    names = (*CELL_WEIGHTS, "output_kernel", "output_bias")
    drawn = streams.initial_weights(trial.seed, shapes, protocol.weight_std)
    point = {name: part.astype(float) for name, part in zip(names, drawn, strict=True)}
    velocity = {name: np.zeros(part.shape) for name, part in point.items()}
    rate, momentum = trial.learning_rate * (1 - trial.momentum), trial.momentum
    train = CORPUS.train

    course = []
    for epoch in range(1, protocol.max_epochs + 1):
        order = streams.order(protocol.order_seed, epoch, len(train))
        noise = streams.noise(trial.seed, epoch, [train.inputs[i].shape for i in order], 0)
        total = 0.0
        for index, drawn_noise in zip(order, noise, strict=True):
            inputs = train.inputs[index] + trial.noise_std * drawn_noise.astype(float)
            targets = train.targets[index]
            total += np.real(loss_in_numpy(point, inputs, targets))
            slope = equations.gradient(
                functools.partial(loss_in_numpy, inputs=inputs, targets=targets), point
            )
            for name, part in slope.items():
                # Sutskever's form of Nesterov's step, at the point that looks ahead.
                velocity[name] = momentum * velocity[name] - rate * part
                point[name] = point[name] + momentum * velocity[name] - rate * part
        course.append((total / train.lengths.sum(), *score_in_numpy(point, CORPUS.validation)))
    return course


def test_training_follows_the_protocol() -> None:
    protocol = Protocol(max_epochs=3, patience=3, order_seed=5)
    result = train_one(TRIAL, protocol).result
    expected = train_in_numpy(TRIAL, protocol)
    # float32 against float64 over 24 updates.
    for epoch, (loss, mean, _) in zip(result.curve[1:], expected, strict=True):
        assert epoch.loss == pytest.approx(loss, rel=2e-6)
        assert epoch.validation == pytest.approx(mean, rel=2e-6)
    # It does learn, so the last epoch is the best one and all numbers above matter.
    assert result.best_epoch == 3
    assert result.curve[3].validation < 0.97 * result.curve[0].validation
    assert result.validation.mean == result.curve[3].validation
    assert result.validation.sequence_mean == pytest.approx(expected[-1][2], rel=2e-6)
    assert result.parameters == sum(
        np.prod(shape) for shape in [(5, 12), (3, 12), (12,), (9,), (3, 5), (5,)]
    )


def test_the_test_score_is_that_of_the_best_epochs_weights() -> None:
    # So high a rate that validation gets worse again.
    trial = dataclasses.replace(TRIAL, learning_rate=0.6, momentum=0.9, units=8)
    outcome = train_one(trial, Protocol(max_epochs=12, patience=12, order_seed=5))
    result = outcome.result
    validations = [epoch.validation for epoch in result.curve]
    assert 0 < result.best_epoch < 12
    assert result.validation.mean == min(validations) == validations[result.best_epoch]

    names = (*CELL_WEIGHTS, "output_kernel", "output_bias")
    point = {name: part.astype(float) for name, part in zip(names, outcome.weights, strict=True)}
    for score, split in ((result.test, CORPUS.test), (result.validation, CORPUS.validation)):
        mean, sequence_mean = score_in_numpy(point, split)
        assert score.mean == pytest.approx(mean, rel=1e-6)
        assert score.sequence_mean == pytest.approx(sequence_mean, rel=1e-6)


@pytest.fixture(scope="module")
def whole() -> Outcome:
    """The tiny trial without interruption."""
    return train_one()


def test_the_same_trial_gives_the_same_curve(whole: Outcome) -> None:
    first, second = whole, train_one()
    assert first.result.curve == second.result.curve
    assert first.result.test == second.result.test
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert train_one(dataclasses.replace(TRIAL, seed=12)).result.curve != first.result.curve


class _Killed(Exception):
    pass


@pytest.mark.parametrize("after", [5, 8, 15])
def test_an_interrupted_trial_goes_on_bit_for_bit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, whole: Outcome, after: int
) -> None:
    """Dies right after a checkpoint: after update 5 of epoch 1, after epoch 1, in epoch 2."""
    path = tmp_path / "checkpoint.npz"
    save = reference.Checkpoint.save
    count = 0

    def save_and_die(self: reference.Checkpoint, to: pathlib.Path) -> None:
        nonlocal count
        save(self, to)
        count += 1
        if count == after:
            raise _Killed

    options = {"checkpoint_path": lambda trial: path, "checkpoint_seconds": 0.0}
    with monkeypatch.context() as patch:
        patch.setattr(reference.Checkpoint, "save", save_and_die)
        with pytest.raises(_Killed):
            train_one(**options)
    interrupted = train_one(**options)
    assert dataclasses.replace(interrupted.result, seconds=0) == dataclasses.replace(
        whole.result, seconds=0
    )
    for one, other in zip(interrupted.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_diverging_trial_ends_with_finite_scores() -> None:
    # Without the output activation nothing bounds the block output.
    trial = dataclasses.replace(TRIAL, variant="NOAF", learning_rate=1e38, momentum=0.0)
    seen: list[Course] = []
    result = train_one(trial, observe=lambda trial, course: seen.append(course)).result
    assert result.diverged
    assert result.best_epoch == 0 and len(result.curve) == 1
    assert result.validation.finite and result.test.finite
    assert result.validation.mean == result.curve[0].validation
    assert len(seen) == 1


def test_the_loss_is_a_sum_over_frames_and_outputs() -> None:
    loss = network.SummedLoss("bernoulli")
    targets = np.array([[[1, 0, 1], [0, 0, 1]]], np.float32)
    logits = np.array([[[0.5, -2.0, 3.0], [1.0, 0.0, -30.0]]], np.float32)
    probability = 1 / (1 + np.exp(-logits.astype(float)))
    expected = -np.sum(targets * np.log(probability) + (1 - targets) * np.log(1 - probability))
    assert float(loss(targets, logits)) == pytest.approx(expected, rel=1e-6)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(again(targets, logits)) == float(loss(targets, logits))


def test_initial_weights_of_a_built_network_have_the_protocols_spread() -> None:
    model = network.build_network(TASK, "FGR", 60, weight_std=0.1)
    for weight in model.weights:
        values = np.asarray(weight)
        if values.size > 100:
            # Six standard errors.
            assert abs(values.std() - 0.1) < 6 * 0.1 / np.sqrt(2 * values.size), weight.path
        assert np.all(values != 0), weight.path
