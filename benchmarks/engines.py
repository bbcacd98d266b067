"""Milliseconds a sequence: the engines on cells of the zoo and of Keras, in one run.

    python -m benchmarks.engines --data=auto

The work is that of `benchmarks.trial_throughput`: one sequence of the music task an update, one
trial a core. Every engine has a process of its own with one thread; repeats interleave; a number is
the median of its repeats, after an epoch that may compile.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import table
from benchmarks.remote import Remote
from common import command_line

_DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")
_CELLS = flags.DEFINE_list("cells", ["V", "FGR", "keras.layers:GRUCell"], "Cells to measure.")
_UNITS = flags.DEFINE_list("units", ["32", "64", "128", "200"], "Sizes to measure.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Timed repeats.", lower_bound=1)

_TRIAL = "benchmarks.peers.engine_trial:EngineTrial"
_ENGINES = {"native": ("corpus", 0.4), "jax": ("corpus", 0.4), "keras": ("sample", 0.0)}
"""For each engine the sequences that it is timed on, and how long a pass lasts at least."""


def _measure(remote: Remote, frames: float) -> float:
    done = remote.call("run")
    return float(1e3 * done["seconds"] * frames)


def main() -> int:
    """Runs the command."""
    from benchmarks.work_files import WorkFiles
    from tuner.tasks.task import find_task
    from zoo.registry import switches

    corpus = find_task("music").load(_DATA.value)
    print(f"data: {corpus.dataset}", flush=True)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        files = WorkFiles(Path(folder), corpus.train)
        running = {
            name: Remote(_TRIAL, engine=name, seconds=seconds)
            for name, (_, seconds) in _ENGINES.items()
        }
        try:
            for name, remote in running.items():
                remote.call("prepare", path=files.path(_ENGINES[name][0], "V", 1))
            for cell in _CELLS.value:
                able = {
                    name: remote
                    for name, remote in running.items()
                    if name != "native" or switches(cell) is not None
                }
                for units in map(int, _UNITS.value):
                    times: dict[str, list[float]] = {name: [] for name in able}
                    for remote in able.values():
                        remote.call("change", variant=cell, units=units, seed=1)
                        remote.call("run")
                    for _ in range(_REPEATS.value):
                        for name, remote in able.items():
                            per_frame = files.mean_length / files.frames(_ENGINES[name][0])
                            times[name].append(_measure(remote, per_frame))
                    medians = {name: statistics.median(own) for name, own in times.items()}
                    rows += [
                        {
                            "cell": cell,
                            "units": units,
                            "engine": name,
                            "milliseconds": round(value, 4),
                            "times_native": round(value / medians["native"], 2)
                            if "native" in medians
                            else "",
                            "keras_times": round(medians["keras"] / value, 2),
                        }
                        for name, value in medians.items()
                    ]
                    table.show(rows[-len(able) :])
        finally:
            for remote in running.values():
                remote.close()
    print(f"results: {table.save('engines', rows)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
