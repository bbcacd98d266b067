"""Loss, slope and update of the native engine against the paper's equations in float64."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.tuner import numpy_protocol
from tests.tuner.tiny import TRIAL
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask
from tests.zoo import reference as equations
from tuner import streams
from tuner.native import engine, training
from tuner.protocol import Protocol
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, Task

# More units than a vector has lanes, and not a multiple: the padding is in use.
UNITS = 9


def turned(task: type[Task], bidirectional: bool) -> Task:
    """A task with a network of one or two directions."""
    return type(task.__name__, (task,), {"bidirectional": bidirectional})()


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


@pytest.mark.parametrize(("variant", "task", "bidirectional"), CASES)
def test_the_gradient_of_every_weight(
    variant: str, task: type[Task], bidirectional: bool
) -> None:
    chosen = turned(task, bidirectional)
    corpus = one_sequence(chosen.load("a"), 1)
    # Without momentum and with rate 1 the velocities are minus the gradient.
    trial = dataclasses.replace(
        TRIAL, variant=variant, units=UNITS, learning_rate=1.0, momentum=0.0, noise_std=0.0
    )
    network = engine._Network(chosen, corpus, trial, Protocol())
    weights = streams.initial_weights(5, network.sizes, 0.4)
    network.weights = weights
    split = training.split_of(corpus.train, network.shape)
    losses = np.zeros(1)
    assert network.train(split, np.arange(1), 1, range(1), losses)
    found = [-array for array in network.state[len(weights) :]]

    point = numpy_protocol.named(chosen, variant, UNITS, weights)
    inputs, targets = corpus.train.inputs[0].astype(float), corpus.train.targets[0]

    def loss(at: numpy_protocol.Point) -> complex:
        logits = numpy_protocol.logits(chosen, variant, at, inputs)
        return numpy_protocol.LOSSES[chosen.head](targets, logits)

    assert losses[0] == pytest.approx(np.real(loss(point)), rel=1e-6)
    # A gradient along a direction is one complex step: some directions through all weights at once
    # see what a step for each of a thousand weights would see.
    generator = np.random.default_rng(3)
    size = sum(part.size for part in point.values())
    for _ in range(8):
        directions = {name: generator.standard_normal(part.shape) for name, part in point.items()}
        step = {name: part + 1e-30j * directions[name] for name, part in point.items()}
        expected = np.imag(loss(step)) / 1e-30
        along = sum(
            float(np.sum(part * direction))
            for part, direction in zip(found, directions.values(), strict=True)
        )
        scale = np.sqrt(sum(float(np.sum(part**2)) for part in found))
        assert along == pytest.approx(expected, abs=2e-6 * scale * np.sqrt(size))
    # Every weight array by itself, so that two wrongs do not make a right.
    for name, part in zip(point, found, strict=True):
        direction = generator.standard_normal(point[name].shape)
        step = {**point, name: point[name] + 1e-30j * direction}
        expected = np.imag(loss(step)) / 1e-30
        scale = np.sqrt(float(np.sum(part**2)))
        assert float(np.sum(part * direction)) == pytest.approx(
            expected, abs=2e-6 * scale * np.sqrt(part.size) + 1e-7
        ), name
    assert {name: part.shape for name, part in point.items()} == dict(
        zip(point, network.sizes, strict=True)
    )
