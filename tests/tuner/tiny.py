"""Plans, trials and commands on the tiny task."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest

from tests.commands import Forked
from tests.tuner.tiny_task import TinyTask
from tuner.search.space import PAPER
from tuner.study.presets import StudyConfig
from tuner.tasks.task import Task
from tuner.training.engines import Trainer
from tuner.training.protocol import Problem, Problems, Protocol, Trial, TrialResult
from tuner.training.trial_state import Checkpoint, TrialState

SPACE = PAPER.with_ranges(
    {"units": (3, 8), "learning_rate": (1e-3, 3e-2), "noise_std": (0.0, 0.5)}
)
PROTOCOL = Protocol(max_epochs=3, patience=2, order_seed=5)
TRIAL = Trial(
    0, "V", {"units": 3, "learning_rate": 0.05, "momentum": 0.6, "noise_std": 0.3}, seed=11
)


def changed(trial: Trial = TRIAL, **values: float) -> Trial:
    """A trial with other hyperparameters."""
    return dataclasses.replace(trial, values={**trial.values, **values})


def of_size(variant: str, units: int) -> Trial:
    """A trial of which only the network matters."""
    return Trial(0, variant, {"units": units}, seed=0)


def problem(
    protocol: Protocol = PROTOCOL, task: Task | None = None, data: str = "a"
) -> Problem:
    """The tiny task with its data."""
    task = task or TinyTask()
    return Problem(task, task.load(data), protocol)


def problems(task: Task | None = None) -> Problems:
    """The same for a pool."""
    made = problem(task=task)
    return {made.task.name: made}


def config(
    variants: tuple[str, ...] = ("V",), trials: int = 3, data: str = "a", **changes: object
) -> StudyConfig:
    """A study of a few tiny trials."""
    made = problem(changes.pop("protocol", PROTOCOL), changes.pop("task", None), data)
    return dataclasses.replace(StudyConfig(made, variants, trials, SPACE, seed=3), **changes)


def by_keras(problem: Problem) -> Trainer:
    """Makes the trainer of the engine `keras`; TensorFlow is imported when it is wanted."""
    from tuner.training import keras_engine

    return keras_engine.Trainer(problem)


def train_one(
    trial: Trial = TRIAL,
    protocol: Protocol = PROTOCOL,
    task: Task | None = None,
    trainer: Callable[[Problem], Trainer] = by_keras,
    **options: object,
) -> TrialResult:
    """Trains one trial."""
    (result,) = trainer(problem(protocol, task)).train([trial], **options)
    return result


class Killed(Exception):
    """Ends a trial in place of a signal."""


@contextmanager
def killed_after(checkpoints: int) -> Iterator[None]:
    """Ends what is trained inside right after a number of checkpoints."""
    count = 0
    save = Checkpoint.save

    def save_and_die(self: Checkpoint, to: pathlib.Path) -> None:
        nonlocal count
        save(self, to)
        count += 1
        if count == checkpoints:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoint, "save", save_and_die)
        yield


@contextmanager
def copied(folder: pathlib.Path, checkpoints: Sequence[int]) -> Iterator[None]:
    """Copies checkpoints of what is trained inside, by their number, such as `8.npz`."""
    numbers = itertools.count(1)
    save = Checkpoint.save

    def save_and_copy(self: Checkpoint, to: pathlib.Path) -> None:
        save(self, to)
        if (number := next(numbers)) in checkpoints:
            shutil.copy(to, folder / f"{number}.npz")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_copy)
        yield


def check_going_on(
    train: Callable[..., TrialResult],
    whole: TrialResult,
    path: pathlib.Path,
    checkpoints: Sequence[int],
) -> None:
    """Kills a trial after checkpoints; going on gives the whole trial's numbers, bit for bit."""
    options = {"checkpoint_path": lambda trial: path, "checkpoint_seconds": 0.0}
    for before, after in itertools.pairwise([0, *checkpoints]):
        with killed_after(after - before):
            train(**options)
    check_same(train(**options), whole)


def check_same(ours: TrialResult, theirs: TrialResult) -> None:
    """Compares two results of the same engine, bit for bit."""
    assert dataclasses.replace(ours.result, seconds=0) == dataclasses.replace(
        theirs.result, seconds=0
    )
    for one, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def check_equal(ours: TrialResult, theirs: TrialResult, rel: float = 1e-6) -> None:
    """Compares a result with that of another engine, up to rounding."""
    assert len(ours.result.curve) == len(theirs.result.curve)
    for one, other in zip(ours.result.curve, theirs.result.curve, strict=True):
        assert one.epoch == other.epoch
        assert one.validation == pytest.approx(other.validation, rel=rel)
        if one.epoch:
            assert one.loss == pytest.approx(other.loss, rel=rel)
    for name in ("best_epoch", "diverged", "parameters", "test_grouped"):
        assert getattr(ours.result, name) == getattr(theirs.result, name), name
    for name in ("validation", "test"):
        one, other = getattr(ours.result, name), getattr(theirs.result, name)
        assert one.mean == pytest.approx(other.mean, rel=rel)
        assert one.sequence_mean == pytest.approx(other.sequence_mean, rel=rel)
    for one, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=10 * rel, strict=True)


def check_divergence(train: Callable[..., TrialResult], task: Task) -> None:
    """Trains a trial that diverges; it ends with finite scores."""
    # Without the output activation nothing bounds the block output.
    trial = dataclasses.replace(changed(learning_rate=1e38, momentum=0.0), variant="NOAF")
    seen: list[TrialState] = []
    result = train(trial, task=task, on_epoch_end=lambda trial, state: seen.append(state)).result
    assert result.diverged
    assert result.best_epoch == 0 and len(result.curve) == 1
    assert result.validation.finite and result.test.finite
    assert result.validation.mean == result.curve[0].validation
    assert len(seen) == 1


def study_command(directory: pathlib.Path, *arguments: str) -> list[str]:
    """Module and arguments of the command that runs a tiny study."""
    task = "--task=tests.tuner.tiny_task:TinyTask"
    return ["tuner.run", task, f"--study_dir={directory}", *arguments]


def kill_when(process: Forked, seen: Callable[[], bool], number: int = signal.SIGKILL) -> str:
    """Sends a process a signal as soon as something has happened, returns its output."""
    while process.poll() is None and not seen():
        time.sleep(0.01)
    if process.poll() is None:
        process.send_signal(number)
    done = process.wait()
    return done.stdout + done.stderr
