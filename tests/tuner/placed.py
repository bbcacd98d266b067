"""Trains the tiny tasks under a strategy, in a process that does nothing else.

The chief prints curve, test score and weights of every trial as JSON.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from tests.tuner.tiny import TRIAL, killed_after, problem, train_one
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask
from tests.zoo import harness
from tuner.parallel import distribute
from tuner.parallel.messages import Assignment
from tuner.parallel.pool import ListedTrials
from tuner.tasks.task import Task
from tuner.training import keras_engine
from tuner.training.engines import ENGINES
from tuner.training.protocol import Protocol, Trial, TrialResult

CASES: list[tuple[Task, Trial]] = [
    (TinyTask(), TRIAL),
    (TinySpeech(), dataclasses.replace(TRIAL, variant="NP")),
    (TinyHandwriting(), dataclasses.replace(TRIAL, variant="CIFG")),
]
"""Two devices train the first, four all of them."""
AFTER = 5
"""Updates of the first after which there is a checkpoint, in the middle of an epoch."""
SECOND = (TinyTask(), dataclasses.replace(TRIAL, index=1, variant="NP"))
"""What a cluster trains after the first of these."""


PROTOCOL = Protocol(max_epochs=2, patience=2, order_seed=5)
train = functools.partial(train_one, protocol=PROTOCOL)
"""Trains one trial."""


def numbers(outcome: TrialResult) -> dict[str, Any]:
    """What must not depend on the strategy."""
    result = outcome.result
    return {
        "curve": [[epoch.loss, epoch.validation] for epoch in result.curve],
        "test": [result.test.mean, result.test.sequence_mean],
        "weights": [weight.ravel().tolist() for weight in outcome.weights],
    }


def on(strategy: Any) -> Any:
    """The engine under a strategy."""
    return functools.partial(keras_engine.Trainer, strategy=strategy)


def report(outcomes: Iterable[TrialResult]) -> None:
    """Prints what must not depend on the strategy, in a line."""
    print(json.dumps([numbers(outcome) for outcome in outcomes]))


@harness.small_blocks()
def run_mirrored(devices: int, checkpoint: pathlib.Path) -> None:
    """Trains the first case on logical CPUs, from a checkpoint; four make it, and do the rest."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, devices * [tf.config.LogicalDeviceConfiguration()]
    )
    strategy = distribute.make_strategy("mirrored")
    assert strategy.num_replicas_in_sync == devices
    print(distribute.describe(strategy))
    options = {"checkpoint_path": lambda trial: checkpoint, "checkpoint_seconds": 0.0}
    alone, others = functools.partial(train, trainer=on(strategy)), []
    if devices == 4:
        with killed_after(AFTER):
            alone(TRIAL, **options)
        others = [alone(trial, task=task) for task, trial in CASES[1:]]
    report([alone(TRIAL, **options), *others])


@harness.small_blocks()
def run_multiworker(count: int, checkpoint: pathlib.Path) -> None:
    """Trains one or two trials in one of the processes that `TF_CONFIG` names.

    The chief goes on with the first from a checkpoint.
    """
    strategy = distribute.make_strategy("multiworker")
    if not distribute.is_chief(strategy):
        distribute.follow(strategy, problem(PROTOCOL))
        return
    outcomes = []
    trials = [(TRIAL, checkpoint), (SECOND[1], checkpoint.with_name("second.npz"))]
    assignments = [
        Assignment(trial, ENGINES["keras"], path, "tiny") for trial, path in trials[:count]
    ]
    problems = {"tiny": problem(PROTOCOL)}
    distribute.Chief(strategy).run(problems, ListedTrials(assignments), outcomes.append)
    report(outcome for outcome in outcomes if isinstance(outcome, TrialResult))
