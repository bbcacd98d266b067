"""A study under a TensorFlow distribution strategy, where the `keras` engine trains.

A strategy gets a study onto a device (a TPU) or into a cluster that requires one; it does not make
updates faster (`tuner.training.replicas`). What can run in parallel is trials: `--workers`.

In a cluster, the chief runs the study, and the other processes train in lockstep with it. Only the
chief reads and writes the study directory. Before each trial, it sends the others the trial and its
checkpoint, so that only the data must be shared.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common.errors import InputError
from tuner.parallel import strategies
from tuner.parallel.messages import Assignment, Event
from tuner.parallel.pool import TrialQueue, assignments
from tuner.parallel.worker import run_trials
from tuner.training import keras_engine, replicas
from tuner.training.protocol import Problem, Problems, Trial


class _MultiWorkerMirroredStrategy(tf.distribute.MultiWorkerMirroredStrategy):
    """The strategy with a `reduce` that accepts what `keras.Model.fit` passes to it.

    TensorFlow's accepts neither a whole batch (inputs, targets, weights) nor a scalar, so Keras 3
    cannot fit under it: https://github.com/keras-team/keras/issues/20585.
    """

    def reduce(self, reduce_op: Any, value: Any, axis: int | None) -> Any:
        """Reduces values of replicas, which may be nested; see the base class."""
        reduce = super().reduce

        def one(part: Any) -> Any:
            rank = self.experimental_local_results(part)[0].shape.rank
            return reduce(reduce_op, part, axis if rank else None)

        return tf.nest.map_structure(one, value)


def make_strategy(
    name: str, tpu: str = "", environment: Mapping[str, str] = os.environ
) -> tf.distribute.Strategy:
    """Makes a distribution strategy; for a cluster or a TPU, before any other use of TensorFlow.

    Args:
        name: `one`; `mirrored` over all GPUs, or all logical CPUs if there are none;
            `multiworker` over the processes of `TF_CONFIG`, which is checked beforehand; or `tpu`.
        tpu: name or address of the TPU; by default the one in the environment, else `local`.
        environment: the process's environment variables.

    Raises:
        InputError: if the TPU cannot be reached.
    """
    if name != "one":
        # Keras does not know the length of an epoch of a distributed dataset.
        warnings.filterwarnings("ignore", "Your input ran out of data", module="keras")
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multiworker":
        return _MultiWorkerMirroredStrategy()
    if name == "tpu":
        return _make_tpu_strategy(tpu or strategies.tpu_name(environment) or "local")
    return tf.distribute.get_strategy()


def _make_tpu_strategy(tpu: str) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise InputError(
            f"--strategy=tpu: cannot reach the TPU {tpu!r}; name it by --tpu or TPU_NAME: "
            f"{_one_line(error)}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process is the one that writes: the only one, or a cluster's first.

    Args:
        strategy: the strategy returned by `make_strategy`.
    """
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def describe(strategy: tf.distribute.Strategy) -> str:
    """Describes in one line what a strategy does and what it does not do.

    Args:
        strategy: the strategy returned by `make_strategy`.
    """
    count = strategy.num_replicas_in_sync
    kind = type(strategy).__name__.removesuffix("V2").removeprefix("_")
    return (
        f"{kind}, {count} replica{'s' if count > 1 else ''}; updates take one sequence at a "
        "time, so replicas repeat each other's work: no faster than one device. Trials side by "
        "side are faster: --strategy=one with --workers"
    )


@dataclasses.dataclass(frozen=True)
class Chief:
    """Trains one trial at a time together with the other processes; a `tuner.parallel.pool.Pool`.

    Attributes:
        strategy: the strategy of the cluster.
    """

    strategy: tf.distribute.Strategy

    def run(
        self, problems: Problems, queue: TrialQueue, on_event: Callable[[Event], None]
    ) -> None:
        """Trains all trials one after another; see `tuner.parallel.pool.Pool.run`."""
        (problem,) = problems.values()
        rules = _rules(problem)

        def announced() -> Iterator[Assignment]:
            for assignment in assignments(queue):
                trial = dataclasses.asdict(assignment.trial)
                _share(json.dumps({"trial": trial, "rules": rules}).encode(), self.strategy)
                path = assignment.checkpoint
                _share(path.read_bytes() if path.exists() else b"", self.strategy)
                yield assignment
            _share(b"", self.strategy)

        with _explained():
            run_trials(keras_engine.Trainer(problem, self.strategy), announced(), on_event)


def follow(strategy: tf.distribute.Strategy, problem: Problem) -> None:
    """Trains what the chief trains, until it has no more trials.

    Args:
        strategy: the strategy of the cluster.
        problem: task, data and training rules, which must equal the chief's.

    Raises:
        InputError: if the chief has a different problem, or another process ends.
    """
    own = _rules(problem)
    trainer = keras_engine.Trainer(problem, strategy)
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
            trial = Trial(**announced["trial"])
            for _ in trainer.train([trial], checkpoint_path=lambda trial: checkpoint):
                pass


@contextmanager
def _explained() -> Iterator[None]:
    """Turns TensorFlow's error when a process of the cluster has ended into one line."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise InputError(
            "--strategy=multiworker: another process of the cluster has ended or cannot be "
            "reached; nothing finished is lost. To go on, start all of them again"
        ) from error


def _rules(problem: Problem) -> dict[str, Any]:
    """Returns what all processes must agree on."""
    return {
        "task": problem.task.name,
        "data": problem.corpus.dataset.sha256,
        "protocol": dataclasses.asdict(problem.protocol),
        "cells": list(problem.cells),
    }


def _share(message: bytes, strategy: tf.distribute.Strategy) -> bytes:
    """Returns the chief's message in all processes; the messages of the others are ignored."""
    length = int(replicas.of_chief(np.array([len(message)], np.float64), strategy)[0])
    if not length:
        # Collectives on empty arrays crash the process.
        return b""
    content = np.zeros(length)
    if is_chief(strategy):
        content[:] = np.frombuffer(message, np.uint8)
    return replicas.of_chief(content, strategy).astype(np.uint8).tobytes()
