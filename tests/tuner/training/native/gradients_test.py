"""Loss, slope and update of the native engine against the paper's equations in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from tests.tuner import numpy_protocol
from tests.tuner.tiny import TRIAL
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask, turned
from tests.zoo import reference as equations
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, Task
from tuner.training import network, random_streams
from tuner.training.native import engine, epoch
from tuner.training.protocol import Protocol

# More units than a vector has lanes, and not a multiple: the padding is in use.
UNITS = 9


def one_sequence(corpus: Corpus, index: int) -> Corpus:
    """A corpus whose training split is one sequence."""
    train = corpus.train
    return dataclasses.replace(
        corpus, train=Sequences((train.inputs[index],), (train.targets[index],))
    )


CASES = [
    (variant, task, bidirectional)
    for variant in equations.CODES
    for task in (TinyTask, TinySpeech, TinyHandwriting)
    for bidirectional in (False, True)
]


def loss_and_gradient(
    task: Task, corpus: Corpus, variant: str, weights: Sequence[np.ndarray]
) -> tuple[float, list[np.ndarray]]:
    """What the engine says of one sequence.

    Without momentum and with rate 1 the velocities after an update are minus the gradient.
    """
    trial = dataclasses.replace(
        TRIAL, variant=variant, units=UNITS, learning_rate=1.0, momentum=0.0, noise_std=0.0
    )
    network = engine._Network(task, corpus, trial, Protocol())
    network.weights = tuple(weights)
    split = epoch.split_of(corpus.train, network.shape)
    losses = np.zeros(1)
    assert network.train(split, np.arange(1), 1, range(1), losses)
    return losses[0], [-array for array in network.state[len(weights) :]]


def product(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    return sum(float(np.sum(a * b)) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("variant", "task", "bidirectional"), CASES)
def test_the_gradient_of_every_weight(
    variant: str, task: type[Task], bidirectional: bool
) -> None:
    chosen = turned(task, bidirectional)
    corpus = one_sequence(chosen.load("a"), 1)
    shapes = list(numpy_protocol.weight_shapes(chosen, variant, UNITS).values())
    weights = random_streams.initial_weights(5, shapes, 0.4)
    loss, found = loss_and_gradient(chosen, corpus, variant, weights)

    point = numpy_protocol.named(chosen, variant, UNITS, weights)
    inputs, targets = corpus.train.inputs[0].astype(float), corpus.train.targets[0]

    def in_numpy(at: numpy_protocol.Point) -> complex:
        logits = numpy_protocol.logits(chosen, variant, at, inputs)
        return numpy_protocol.LOSSES[chosen.head](targets, logits)

    assert loss == pytest.approx(np.real(in_numpy(point)), rel=1e-6)
    generator = np.random.default_rng(3)
    norm = np.sqrt(product(found, found))

    # A slope along a direction is one complex step. Every array of weights by itself:
    for name, part in zip(point, found, strict=True):
        for _ in range(3):
            direction = generator.standard_normal(point[name].shape)
            step = {**point, name: point[name] + 1e-30j * direction}
            expected = np.imag(in_numpy(step)) / 1e-30
            # Rounding adds up like a random walk over the weights.
            error = 3e-7 * norm * np.sqrt(part.size)
            assert product([part], [direction]) == pytest.approx(expected, abs=error), name

    # And the engine's own loss on both sides along a direction through all weights.
    direction = [generator.standard_normal(size).astype(np.float32) for size in shapes]
    ahead, behind = (
        loss_and_gradient(
            chosen,
            corpus,
            variant,
            [part + np.float32(step) * way for part, way in zip(weights, direction, strict=True)],
        )[0]
        for step in (3e-3, -3e-3)
    )
    expected = product(found, direction)
    assert (ahead - behind) / 6e-3 == pytest.approx(expected, abs=5e-3 * norm)


@pytest.mark.parametrize(("variant", "task", "bidirectional"), CASES[::2] + CASES[1::6])
def test_the_gradient_is_that_of_the_keras_network(
    variant: str, task: type[Task], bidirectional: bool
) -> None:
    chosen = turned(task, bidirectional)
    corpus = one_sequence(chosen.load("a"), 1)
    model = network.build_network(chosen, variant, UNITS, weight_std=0.4)
    weights = [np.asarray(weight) for weight in model.get_weights()]
    loss, found = loss_and_gradient(chosen, corpus, variant, weights)
    inputs, targets = corpus.train.inputs[0][np.newaxis], corpus.train.targets[0][np.newaxis]
    with tf.GradientTape() as tape:
        theirs = network.SummedLoss(chosen.head)(targets, model(inputs, training=True))
    assert loss == pytest.approx(float(theirs), rel=1e-5)
    expected = tape.gradient(theirs, model.trainable_variables)
    for weight, one, other in zip(model.weights, found, expected, strict=True):
        size = np.abs(other).max()
        np.testing.assert_allclose(one, other, atol=3e-5 * size, err_msg=weight.path)
