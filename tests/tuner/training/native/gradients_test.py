"""Loss and gradient of the native engine against the paper's equations in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.tuner import numpy_protocol
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask, turned
from tests.tuner.training import gradients
from tests.zoo import reference as equations
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Task
from tuner.training import random_streams
from tuner.training.native import epoch, memory
from zoo.variants import VARIANTS, Variant

Array = np.ndarray

# More units than a vector has lanes, and not a multiple: the padding is in use.
UNITS = 9


def in_engine(
    task: Task, variant: Variant, weights: list[Array], sequence: Sequences
) -> tuple[float, list[Array]]:
    """What the engine says: the loss and its gradient.

    Without momentum and with rate 1 the velocities after an update are minus the gradient.
    """
    shape = memory.shape_of(task, variant, UNITS)
    parameters, velocities = memory.pack(shape, weights), memory.empty(shape)
    # More memory than this sequence needs, as every sequence but the longest has.
    workspace = memory.allocate(shape, sequence.frames + 2, len(sequence.targets[0]) + 1)
    losses, zero, one = np.zeros(1), np.float32(0), np.float32(1)
    visits = epoch.train(
        shape, parameters, velocities, workspace, epoch.split_of(sequence, shape), np.arange(1),
        0, 1, (np.uint32(0), np.uint32(0)), zero, zero, one, losses,
    )  # fmt: skip
    assert visits == 1
    return losses[0], [-array for array in memory.unpack(shape, velocities)]


def check(task: Task, variant: Variant, std: float = 0.4, directions: int = 3) -> None:
    """Compares the gradient of every array of weights along random directions."""
    train = task.load("a").train
    sequence = Sequences(train.inputs[1:2], train.targets[1:2])
    shapes = memory.keras_shapes(memory.shape_of(task, variant, UNITS))
    weights = list(random_streams.initial_weights(5, shapes, std))
    loss, found = in_engine(task, variant, weights, sequence)
    gradients.check(task, variant, sequence, weights, loss, found, directions)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("task", [TinyTask, TinySpeech, TinyHandwriting])
@pytest.mark.parametrize("variant", ["V", "FGR"])
def test_heads_and_directions(variant: str, task: type[Task], bidirectional: bool) -> None:
    check(turned(task, bidirectional), VARIANTS[variant])


BOTH = (False, True)


@pytest.mark.parametrize("output_gate", BOTH)
@pytest.mark.parametrize(
    ("input_gate", "forget_gate", "coupled"),
    [*((*gates, False) for gates in itertools.product(BOTH, BOTH)), (True, False, True)],
)
def test_any_switches(
    input_gate: bool, forget_gate: bool, coupled: bool, output_gate: bool
) -> None:
    """Every legal combination, the nine variants among them, in both directions of a network."""
    task = turned(TinyTask, True)
    for rest in itertools.product(BOTH, repeat=4):
        variant = Variant("any", "any", input_gate, forget_gate, output_gate, coupled, *rest)
        # Without gates and activations nothing bounds the block output.
        check(task, variant, std=0.2, directions=1)


@pytest.mark.parametrize("code", equations.CODES)
def test_the_judge_knows_the_nine_variants(code: str) -> None:
    weights = random_streams.initial_weights(
        1, list(numpy_protocol.weight_shapes(TinyTask(), code, UNITS).values())[:-2], 0.5
    )
    names = ["kernel", "recurrent_kernel", "bias"]
    names += ["peephole"] if code != "NP" else []
    names += ["gate_recurrent_kernel"] if code == "FGR" else []
    inputs = np.random.default_rng(2).normal(size=(6, TinyTask.inputs))
    states = [np.zeros((1, size * UNITS)) for size in ([1, 1, 3] if code == "FGR" else [1, 1])]
    named = dict(zip(names, weights, strict=True))
    (expected,), _ = equations.forward(code, named, inputs[np.newaxis], states)
    np.testing.assert_allclose(
        gradients.lstm(VARIANTS[code], list(weights), inputs), expected, rtol=1e-6
    )
