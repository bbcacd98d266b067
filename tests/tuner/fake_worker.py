"""An engine that trains nothing and misbehaves as it is told.

The environment variable FAKE_BEHAVIOR says for trials by index what happens, for example
`{"1": "dies"}`; all others go well.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from tests.tuner.tiny_task import TinyTask
from tuner.parallel.messages import Assignment, Event
from tuner.parallel.pool import ListedTrials, WorkerPool
from tuner.training.engines import ENGINES, Engine
from tuner.training.protocol import Problem, Protocol, Score, Trial, TrialResult
from tuner.training.trial_state import Checkpoint, TrialState


def _once(epoch: int, path: pathlib.Path, number: signal.Signals) -> None:
    """Dies when this epoch begins, but only the first time."""
    marker = path.with_suffix(f".died-{epoch}")
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), number)


def _behave(behavior: str, epoch: int, path: pathlib.Path) -> None:
    match behavior:
        case "dies once" if epoch == 3:
            _once(epoch, path, signal.SIGKILL)
        case "dies every epoch":
            _once(epoch, path, signal.SIGTERM)
        case "dies" if epoch == 2:
            print("a library complains", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exits":
            sys.exit(3)
        case "needs memory":
            raise MemoryError("cannot allocate 9 TB")
        case "raises":
            raise ValueError("units too many")
        case "disk full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        case "chats":
            print("epoch!\n" * 1000)
            os.write(1, bytes(range(256)))
            os.write(2, bytes(range(256)))
        case "sleeps":
            # The name says it: a file could be seen before its content is there.
            path.with_suffix(f".pid-{os.getpid()}").touch()
            time.sleep(1000)


def _weights(trial: Trial, task: object) -> tuple[np.ndarray, ...]:
    inputs, units = task.inputs, trial.units
    shapes = [(inputs, 4 * units), (units, 4 * units), (4 * units,), (3 * units,)]
    shapes += [(units, task.outputs), (task.outputs,)]
    return tuple(np.full(shape, trial.index, np.float32) for shape in shapes)


class Trainer:
    """Has the interface of an engine's trainer."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def train(
        self,
        trials: Iterable[Trial],
        *,
        checkpoint_path: Callable[[Trial], pathlib.Path],
        on_epoch_end: Callable[[Trial, TrialState], None],
    ) -> Iterator[TrialResult]:
        for trial in trials:
            yield train_one(self._problem, trial, checkpoint_path(trial), on_epoch_end)


def train_one(
    problem: Problem,
    trial: Trial,
    path: pathlib.Path,
    on_epoch_end: Callable[[Trial, TrialState], None],
) -> TrialResult:
    behavior = json.loads(os.environ.get("FAKE_BEHAVIOR", "{}")).get(str(trial.index), "")
    checkpoint = Checkpoint.load(path, trial, "fake")
    score = Score(9.0 + trial.index, 9.0)
    weights = _weights(trial, problem.task)
    state = checkpoint.state if checkpoint else TrialState.begin(score, weights)
    while not state.should_stop(problem.protocol):
        epoch = state.epoch + 1
        _behave(behavior, epoch, path)
        state.end_epoch(8.0, Score(score.mean - epoch, 8.0), weights)
        Checkpoint(trial, "fake", state, 0, ()).save(path)
        on_epoch_end(trial, state)
    # Which process it was, and what it had imported.
    imported = ",".join(sorted({"keras", "tensorflow"} & set(sys.modules)))
    result = state.result(trial, state.best_score, None, imported)
    return dataclasses.replace(
        result, result=dataclasses.replace(result.result, parameters=os.getpid())
    )


TRIAL = Trial(
    0, "V", {"units": 3, "learning_rate": 0.05, "momentum": 0.6, "noise_std": 0.3}, seed=11
)
FAKE = dataclasses.replace(ENGINES["native"], module="tests.tuner.fake_worker")
"""The engine that trains nothing; in ledgers and failures it is called native."""


def study(
    folder: pathlib.Path,
    trials: int,
    on_event: Callable[[Event], None],
    command: tuple[str, ...] | None = None,
    engine: Engine = FAKE,
    workers: int = 2,
) -> None:
    """Trains some trials."""
    task = TinyTask()
    queue = ListedTrials(
        Assignment(
            dataclasses.replace(TRIAL, index=index),
            engine,
            folder / f"{index}.npz",
            task.name,
        )
        for index in range(trials)
    )
    pool = WorkerPool(workers, command) if command else WorkerPool(workers)
    problem = Problem(task, task.load("a"), Protocol(max_epochs=3))
    pool.run({task.name: problem}, queue, on_event)
