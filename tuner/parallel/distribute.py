"""A study under a strategy: the chief runs it, the others of a cluster train in step with it.

Only the chief reads and writes the study directory. Before each trial it tells the others which one
comes and gives them its checkpoint, so nothing needs to be shared but the data.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common.errors import InputError
from tuner.parallel.messages import Assignment, Event
from tuner.parallel.pool import InProcess
from tuner.tasks.task import Corpus, Task
from tuner.training import keras_engine, placement
from tuner.training.protocol import Protocol, Trial


@dataclasses.dataclass(frozen=True)
class Chief:
    """Trains one trial at a time together with the other processes; a `tuner.parallel.pool.Pool`.

    Attributes:
        strategy: of the cluster.
        engine: name of the engine.
    """

    strategy: tf.distribute.Strategy
    engine: str = "keras"

    @property
    def workers(self) -> int:
        """One trial at a time."""
        return 1

    def run(
        self,
        task: Task,
        corpus: Corpus,
        protocol: Protocol,
        assignments: Iterator[Assignment],
        tell: Callable[[Event], None],
    ) -> None:
        """Trains all trials one after the other; see `tuner.parallel.pool.Pool.run`."""
        rules = _rules(task, corpus, protocol)

        def announced() -> Iterator[Assignment]:
            for assignment in assignments:
                trial = dataclasses.asdict(assignment.trial)
                _share(json.dumps({"trial": trial, "rules": rules}).encode(), self.strategy)
                path = assignment.checkpoint
                _share(path.read_bytes() if path.exists() else b"", self.strategy)
                yield assignment
            _share(b"", self.strategy)

        train = functools.partial(keras_engine.train, strategy=self.strategy)
        with _explained():
            InProcess(train, self.engine).run(task, corpus, protocol, announced(), tell)


def follow(
    strategy: tf.distribute.Strategy, task: Task, corpus: Corpus, protocol: Protocol
) -> None:
    """Trains what the chief trains until it has no more trials.

    Args:
        strategy: of the cluster.
        task: what is learned.
        corpus: its data.
        protocol: training rules.

    Raises:
        InputError: if the chief has another task, other data or rules, or another process ends.
    """
    own = _rules(task, corpus, protocol)
    with tempfile.TemporaryDirectory() as folder, _explained():
        checkpoint = Path(folder) / "checkpoint.npz"
        while message := _share(b"", strategy):
            announced: dict[str, Any] = json.loads(message)
            checkpoint.write_bytes(_share(b"", strategy))
            if announced["rules"] != own:
                raise InputError(
                    "--strategy=multiworker: expected the chief's task, data and flags. Received: "
                    f"{json.dumps(own)} where the chief has {json.dumps(announced['rules'])}"
                )
            trials = [Trial(**announced["trial"])]
            for _ in keras_engine.train(
                task,
                corpus,
                trials,
                protocol,
                checkpoint_path=lambda trial: checkpoint,
                strategy=strategy,
            ):
                pass


@contextmanager
def _explained() -> Iterator[None]:
    """Turns what TensorFlow says when a process of the cluster has ended into a line."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise InputError(
            "--strategy=multiworker: another process of the cluster has ended or cannot be "
            "reached; nothing finished is lost. To go on, start all of them again"
        ) from error


def _rules(task: Task, corpus: Corpus, protocol: Protocol) -> dict[str, Any]:
    """What all processes must agree on."""
    return {
        "task": task.name,
        "data": corpus.dataset.sha256,
        "protocol": dataclasses.asdict(protocol),
    }


def _share(message: bytes, strategy: tf.distribute.Strategy) -> bytes:
    """Returns the chief's message in all processes; that of the others is not looked at."""
    length = int(placement.of_chief(np.array([len(message)], np.float64), strategy)[0])
    if not length:
        # Collectives of nothing end the process.
        return b""
    content = np.zeros(length)
    if placement.is_chief(strategy):
        content[:] = np.frombuffer(message, np.uint8)
    return placement.of_chief(content, strategy).astype(np.uint8).tobytes()
