"""What the pool takes a trial as its workers grow: trials that sleep, on processes and on Ray.

    .venv-ray/bin/python -m benchmarks.ray_scaling     # after make bench-ray

`driver_ms` is the processor time of the study's process a trial; `wait_ms` is how long a worker
waits from a result to its next trial. What takes part is started before anything counts.
"""

from __future__ import annotations

import dataclasses
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from benchmarks import runner
from benchmarks.runner import Row, Runner
from benchmarks.sleeper import GATE
from tuner.parallel.messages import Assignment, Event, Started
from tuner.parallel.pool import Accept, Pool, WorkerPool
from tuner.tasks.task import find_task
from tuner.training.engines import ENGINES, Engine
from tuner.training.protocol import Problem, Protocol, Trial, TrialResult

_WORKERS = flags.DEFINE_list("workers", ["4", "16", "64", "256"], "How many workers to measure.")
_MEAN = flags.DEFINE_float("trial_seconds", 8.0, "Mean length of a trial.")
_EACH = flags.DEFINE_integer("trials_each", 6, "Trials of each worker.")
_A_NODE = 64


class _Queue:
    """Queue of one trial for every worker to start with, and then those that count."""

    def __init__(self, engine: Engine, workers: int, folder: Path, task: str) -> None:
        generator = random.Random(workers)
        self._left: list[Assignment] = []
        for number in range(workers * (1 + _EACH.value)):
            seconds = _MEAN.value * generator.uniform(0.5, 1.5)
            index = number if number >= workers else 0
            trial = Trial(index, "V", {"units": 60, "learning_rate": seconds}, number)
            self._left.append(Assignment(trial, engine, folder / f"{number}.npz", task))

    def take(self, accept: Accept) -> Assignment | None:
        """Removes and returns the next trial, if there is one and it is accepted."""
        return self._left.pop(0) if self._left and accept(self._left[0]) else None

    @property
    def exhausted(self) -> bool:
        """Whether no trial is left."""
        return not self._left


def _measure(pool: Pool, engine: Engine, workers: int, name: str) -> Row:
    task = find_task("tuner.tasks.examples.python_help:PythonHelp")
    gate, started = Path(os.environ[GATE]), 0
    waits: list[float] = []
    clocks: list[tuple[float, float]] = []

    def notice(event: Event) -> None:
        nonlocal started
        if isinstance(event, Started):
            started += 1
            if started == workers:
                gate.touch()
                clocks.append((time.monotonic(), time.process_time()))
        elif isinstance(event, TrialResult) and event.trial.index:
            waits.append(event.result.seconds)
            clocks[1:] = [(time.monotonic(), time.process_time())]

    with tempfile.TemporaryDirectory() as folder:
        queue = _Queue(engine, workers, Path(folder), task.name)
        pool.run({task.name: Problem(task, task.load("auto"), Protocol())}, queue, notice)
    gate.unlink()
    (begin, busy), (end, done) = clocks
    waits.sort()
    return {
        "pool": name,
        "workers": workers,
        "trials": len(waits),
        "trials_a_second": round(len(waits) / (end - begin), 2),
        "driver_ms": round(1e3 * (done - busy) / len(waits), 2),
        "wait_ms": round(1e3 * statistics.median(waits), 1),
        "wait_ms_99": round(1e3 * waits[int(0.99 * len(waits))], 1),
    }


def tables(bench: Runner) -> Iterator[tuple[str, list[Row]]]:
    """Yields the measured rows, with the name of their table."""
    from ray.cluster_utils import Cluster

    from tuner.parallel.ray_pool import RayPool

    engine = dataclasses.replace(ENGINES["native"], module="benchmarks.sleeper")
    os.environ[GATE] = str(bench.folder / "gate")
    head = {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    bench.callback(cluster.shutdown)
    nodes = 0
    for workers in map(int, _WORKERS.value):
        yield "ray_scaling", [_measure(WorkerPool(workers), engine, workers, "processes")]
        while nodes * _A_NODE < workers:
            cluster.add_node(num_cpus=_A_NODE)
            nodes += 1
        pool = RayPool.connect(cluster.address, [engine], workers)
        yield "ray_scaling", [_measure(pool, engine, workers, "ray")]
        pool.ray.shutdown()


if __name__ == "__main__":
    runner.run(tables, ("numpy", "ray"))
