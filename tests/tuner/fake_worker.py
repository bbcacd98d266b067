"""A worker with an engine that trains nothing and misbehaves as it is told.

The environment variable FAKE_BEHAVIOR says for trials by index what happens, for example
`{"1": "dies"}`; all others go well. Everything but the engine is that of `tuner.parallel.worker`.
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
from collections.abc import Callable, Iterator

import numpy as np

from tests.tuner.tiny_task import TinyTask
from tuner.parallel import worker
from tuner.parallel.messages import Assignment, Event
from tuner.parallel.pool import WorkerPool
from tuner.training import engines
from tuner.training.protocol import Metrics, Protocol, Score, Trial, TrialResult
from tuner.training.trial_state import Checkpoint, TrialState

COMMAND = (sys.executable, "-m", "tests.tuner.fake_worker")


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
            time.sleep(100)


def _weights(trial: Trial, task: object) -> tuple[np.ndarray, ...]:
    inputs, units = task.inputs, trial.units
    shapes = [(inputs, 4 * units), (units, 4 * units), (4 * units,), (3 * units,)]
    shapes += [(units, task.outputs), (task.outputs,)]
    return tuple(np.full(shape, trial.index, np.float32) for shape in shapes)


def train(
    task: object,
    corpus: object,
    trials: list[Trial],
    protocol: object,
    *,
    checkpoint_path: Callable[[Trial], pathlib.Path],
    observe: Callable[[Trial, TrialState], None],
) -> object:
    """Has the signature of an engine."""
    for trial in trials:
        path = checkpoint_path(trial)
        behavior = json.loads(os.environ.get("FAKE_BEHAVIOR", "{}")).get(str(trial.index), "")
        checkpoint = Checkpoint.load(path, trial, "fake")
        score = Score(9.0 + trial.index, 9.0)
        course = checkpoint.course if checkpoint else TrialState.begin(score, _weights(trial, task))
        while not course.over(protocol):
            epoch = course.epoch + 1
            _behave(behavior, epoch, path)
            course.record(8.0, Score(score.mean - epoch, 8.0), _weights(trial, task))
            Checkpoint(trial, "fake", course, 0, ()).save(path)
            observe(trial, course)
        result = Metrics(
            best_epoch=course.best_epoch,
            validation=course.best_score,
            test=course.best_score,
            curve=tuple(course.curve),
            diverged=False,
            seconds=course.seconds,
            # Which process it was, and what it had imported.
            parameters=os.getpid(),
            engine=",".join(sorted({"keras", "tensorflow"} & set(sys.modules))),
        )
        yield TrialResult(trial, result, course.best_weights)


TASK = TinyTask()
TRIAL = Trial(0, "V", units=3, learning_rate=0.05, momentum=0.6, noise_std=0.3, seed=11)
PROTOCOL = Protocol(max_epochs=3)


def study(
    folder: pathlib.Path,
    trials: int,
    tell: Callable[[Event], None],
    command: tuple[str, ...] = COMMAND,
) -> None:
    """Trains some trials on two workers."""

    def assignments() -> Iterator[Assignment]:
        for index in range(trials):
            yield Assignment(dataclasses.replace(TRIAL, index=index), folder / f"{index}.npz")

    pool = WorkerPool("native", workers=2, command=command)
    pool.run(TASK, TASK.load("a"), PROTOCOL, assignments(), tell)


if __name__ == "__main__":
    engines.load = lambda name: train
    worker.main()
