"""What the pool takes a trial as its workers grow: trials that sleep, on processes and on Ray.

    .venv-ray/bin/python -m benchmarks.ray_scaling     # after make bench-ray

All is on one machine: Ray's nodes, each with 64 workers at most, and the processes of the pool
without Ray. `driver_ms` is the processor time of the study's process a trial; `wait_ms` is how long
a worker waits from a result to its next trial. What takes part is started before anything counts.
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
from typing import TYPE_CHECKING, Any

from absl import flags

from benchmarks import table
from benchmarks.sleeper import GATE
from common import command_line

if TYPE_CHECKING:
    from tuner.parallel.messages import Assignment, Event
    from tuner.parallel.pool import Accept, Pool
    from tuner.training.engines import Engine

_WORKERS = flags.DEFINE_list("workers", ["4", "16", "64", "256"], "How many workers to measure.")
_SECONDS = flags.DEFINE_float("seconds", 8.0, "Mean length of a trial.")
_TRIALS = flags.DEFINE_integer("trials", 6, "Trials of each worker.")

_A_NODE = 64

Row = dict[str, Any]


class _Queue:
    """A trial to start with for every worker, and then those that count."""

    def __init__(self, engine: Engine, workers: int, folder: Path, task: str) -> None:
        from tuner.parallel.messages import Assignment
        from tuner.training.protocol import Trial

        generator = random.Random(workers)

        def trials() -> Iterator[Assignment]:
            for number in range(workers * (1 + _TRIALS.value)):
                index = number if number >= workers else 0
                seconds = _SECONDS.value * generator.uniform(0.5, 1.5)
                values = {"units": 60, "learning_rate": seconds}
                trial = Trial(index, "V", values, number)
                yield Assignment(trial, engine, folder / f"{number}.npz", task)

        self._left = list(trials())

    def take(self, accept: Accept) -> Assignment | None:
        """Takes the next trial."""
        if not self._left or not accept(self._left[0]):
            return None
        return self._left.pop(0)

    @property
    def exhausted(self) -> bool:
        """Whether none is left."""
        return not self._left


def _measure(pool: Pool, engine: Engine, workers: int, name: str) -> Row:
    from tuner.parallel.messages import Started
    from tuner.tasks.task import find_task
    from tuner.training.protocol import Problem, Protocol, TrialResult

    task = find_task("tuner.tasks.examples.python_help:PythonHelp")
    waits: list[float] = []
    clocks: list[tuple[float, float]] = []
    started = 0
    with tempfile.TemporaryDirectory() as folder:
        gate = Path(os.environ[GATE])

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

        problem = Problem(task, task.load("auto"), Protocol())
        queue = _Queue(engine, workers, Path(folder), task.name)
        pool.run({task.name: problem}, queue, notice)
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


def main() -> int:
    """Runs the command."""
    from ray.cluster_utils import Cluster

    from tuner.parallel.pool import WorkerPool
    from tuner.parallel.ray_pool import RayPool
    from tuner.training.engines import ENGINES

    engine = dataclasses.replace(ENGINES["native"], module="benchmarks.sleeper")
    rows: list[Row] = []
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    nodes = 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ[GATE] = f"{folder}/gate"
            for workers in map(int, _WORKERS.value):
                rows.append(_measure(WorkerPool(workers), engine, workers, "processes"))
                while nodes * _A_NODE < workers:
                    cluster.add_node(num_cpus=_A_NODE)
                    nodes += 1
                pool = RayPool.connect(cluster.address, [engine], workers)
                rows.append(_measure(pool, engine, workers, "ray"))
                pool.ray.shutdown()
                table.show(rows[-2:])
    finally:
        cluster.shutdown()
    print(f"results: {table.save('ray_scaling', rows, ('numpy', 'ray'))}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
