"""The engine `cuda` on a real GPU against the native engine: `pytest -m gpu`."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.tuner import tiny
from tests.tuner.tiny import changed
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask, turned
from tests.zoo import reference as equations
from tuner.tasks.task import Task
from tuner.training.cuda import device, engine
from tuner.training.native import engine as native
from tuner.training.protocol import Protocol, Trial

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(device.obstacle()), reason=f"no GPU: {device.obstacle()}"),
]

UNITS = (1, 20, 32, 45, 64, 77, 96, 128, 150, 200, 256, 300)


def trials() -> list[Trial]:
    """Every variant with every layout."""
    return [
        dataclasses.replace(changed(units=units, learning_rate=0.02), variant=code, index=index)
        for code in equations.CODES
        for index, units in enumerate(UNITS)
    ]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("task", [TinyTask, TinySpeech, TinyHandwriting])
def test_two_epochs_are_those_of_the_native_engine(task: type[Task], bidirectional: bool) -> None:
    chosen = turned(task, bidirectional)
    problem = tiny.problem(Protocol(max_epochs=2, patience=5, order_seed=5), chosen)
    found = {result.trial: result for result in engine.Trainer(problem).train(trials())}
    assert len(found) == len(trials())
    for expected in native.Trainer(problem).train(trials()):
        tiny.check_equal(found[expected.trial], expected, 1e-5)


def test_a_trial_is_the_same_alone_and_in_company() -> None:
    problem = tiny.problem()
    together = {result.trial: result for result in engine.Trainer(problem).train(trials())}
    for trial in trials()[::7]:
        (alone,) = engine.Trainer(problem).train([trial])
        assert alone.result.curve == together[trial].result.curve
        for one, other in zip(alone.weights, together[trial].weights, strict=True):
            np.testing.assert_array_equal(one, other)
