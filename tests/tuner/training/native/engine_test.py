"""The native engine against the `keras` engine, and against itself."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import subprocess
import sys

import pytest

from tests.commands import ROOT
from tests.tuner import tiny
from tests.tuner.tiny import TRIAL, changed, train_one
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask, turned
from tests.zoo import reference as equations
from tuner.tasks.task import Task
from tuner.training.native import engine
from tuner.training.protocol import Protocol
from tuner.training.trial_state import Checkpoint

TASKS = (TinyTask, TinySpeech, TinyHandwriting)


native_one = functools.partial(train_one, trainer=engine.Trainer)
"""Trains one trial with the native engine."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "task", "bidirectional"),
    # Every variant, head and direction; gradients_test has their combinations in NumPy.
    [(code, TASKS[row % 3], row % 2 == 0) for row, code in enumerate(equations.CODES)],
)
@pytest.mark.usefixtures("small_blocks")
def test_five_epochs_are_those_of_the_keras_engine(
    variant: str, task: type[Task], bidirectional: bool
) -> None:
    """Those of three networks are compared in keras_engine_test."""
    chosen = turned(task, bidirectional)
    trial = dataclasses.replace(changed(units=11), variant=variant)
    protocol = Protocol(max_epochs=5, patience=5, order_seed=5)
    ours = native_one(trial, protocol, chosen)
    tiny.check_equal(ours, train_one(trial, protocol, task=chosen), rel=1e-4)
    assert len(ours.result.curve) == 6
    assert (ours.result.test_grouped is None) == (task is not TinySpeech)
    # It has learned something that could have been different.
    assert ours.result.curve[-1].loss < 0.97 * ours.result.curve[1].loss


def test_an_interrupted_trial_goes_on_bit_for_bit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dies right after a checkpoint: in epoch 1, after it, in epoch 2."""
    monkeypatch.setattr(engine, "_CHUNK", 1.0)
    tiny.check_going_on(native_one, native_one(), tmp_path / "checkpoint.npz", [3, 8, 15])


def test_another_engines_checkpoint_is_not_gone_on_from(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "checkpoint.npz"
    with tiny.killed_after(1):
        native_one(checkpoint_path=lambda trial: path, checkpoint_seconds=0.0)
    assert Checkpoint.load(path, TRIAL, "native") is not None
    assert Checkpoint.load(path, TRIAL, "keras") is None


def test_chunks_and_neighbors_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = native_one()
    monkeypatch.setattr(engine, "_CHUNK", 1.0)
    trials = [dataclasses.replace(changed(units=20), seed=4), TRIAL]
    _, after_another = engine.Trainer(tiny.problem()).train(trials)
    assert after_another.result.curve == whole.result.curve
    assert after_another.result.test == whole.result.test


@pytest.mark.parametrize("task", TASKS)
def test_a_diverging_trial_ends_with_finite_scores(task: type[Task]) -> None:
    tiny.check_divergence(native_one, task())


@pytest.mark.slow  # It compiles the engine once more.
def test_a_process_that_trains_needs_no_tensorflow(tmp_path: pathlib.Path) -> None:
    program = """
import json, sys
from tests.tuner.tiny_task import TinyTask
from tuner.training.native import engine, epoch
from tuner.training.protocol import Problem, Protocol, Trial

task = TinyTask()
values = {"units": 3, "learning_rate": 0.05, "momentum": 0.6, "noise_std": 0.3}
problem = Problem(task, task.load("a"), Protocol(max_epochs=1))
(outcome,) = engine.Trainer(problem).train([Trial(0, "V", values, seed=11)])
print(json.dumps([
    "tensorflow" in sys.modules,
    sum(epoch.train.stats.cache_hits.values()),
    outcome.result.curve[1].loss,
]))
"""
    done = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PATH": "", "KERAS_BACKEND": "numpy", "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        for _ in range(2)
    ]
    for one in done:
        assert one.returncode == 0, one.stderr
    (tf_first, hits_first, loss_first), (tf_second, hits_second, loss_second) = (
        json.loads(one.stdout.splitlines()[-1]) for one in done
    )
    assert not tf_first and not tf_second
    # The second process found the machine code of the first.
    assert (hits_first, hits_second) == (0, 1)
    assert loss_first == loss_second
