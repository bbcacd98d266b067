"""What a worker of the native engine costs: time until it trains, memory trial after trial.

    python -m benchmarks.footprint --data=auto

Two tables. `start` is the time from the start of the process until its engine is imported, and that
of its first trial, two epochs of four sequences: with an empty cache of compiled code, and with the
one that this has filled. `memory` is that of one process that trains one trial after the other, two
epochs each, the paper's designs of all variants in turn; unique memory would be free again if the
process ended.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from benchmarks import table
from benchmarks.remote import Remote
from common import command_line

if TYPE_CHECKING:
    from tuner.training.protocol import Trial

_DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")
_TRIALS = flags.DEFINE_integer("trials", 200, "Trials of the one process.", lower_bound=1)

_ENGINE = "benchmarks.peers.engine_trial:EngineTrial"

Row = dict[str, Any]


def _start(code: str, path: str, cache: str) -> Row:
    """Times a process from its start."""
    started = time.perf_counter()
    with Remote(_ENGINE, environment={"NUMBA_CACHE_DIR": cache}, engine="native") as remote:
        remote.call("prepare", path=path)
        ready = time.perf_counter()
        remote.call("run")
        trained = time.perf_counter()
        memory = remote.call("memory")
    return {
        "compiled_code": code,
        "import_seconds": round(ready - started, 2),
        "first_trial_seconds": round(trained - ready, 2),
        **{f"{kind}_mib": value for kind, value in memory.items()},
    }


def _trials(count: int) -> list[Trial]:
    """Draws the first trials of each variant, the variants in turn."""
    from tuner.search.samplers import SearchProblem
    from tuner.search.samplers.random import RandomSampler
    from tuner.search.space import PAPER
    from zoo.variants import VARIANTS

    each = -(-count // len(VARIANTS))
    sampler = RandomSampler(SearchProblem(PAPER, 1, "music", tuple(VARIANTS), each))
    trials = [sampler.propose(code, place, ()) for place in range(each) for code in VARIANTS]
    return trials[:count]


def _memory(path: str, trials: list[Trial]) -> list[Row]:
    """Follows one process through many trials."""
    rows = []
    with Remote(_ENGINE, engine="native") as remote:
        remote.call("prepare", path=path)
        for place, trial in enumerate(trials):
            remote.call("change", variant=trial.variant, units=trial.units, seed=trial.seed)
            remote.call("run")
            memory = remote.call("memory")
            rows.append(
                {
                    "trials": place + 1,
                    "variant": trial.variant,
                    "units": trial.units,
                    **{f"{kind}_mib": value for kind, value in memory.items()},
                }
            )
    return rows


def main() -> int:
    """Runs the command."""
    command_line.start_tensorflow()
    from benchmarks.work_files import WorkFiles
    from tuner.tasks.task import find_task

    corpus = find_task("music").load(_DATA.value)
    print(f"data: {corpus.dataset}")
    with tempfile.TemporaryDirectory() as folder:
        files = WorkFiles(Path(folder), corpus.train)
        small = files.path("check", "V", 32)
        start = [_start(code, small, folder) for code in ("compiled", "cached", "cached")]
        table.show(start)
        memory = _memory(files.path("corpus", "V", 32), _trials(_TRIALS.value))
    largest = max(row["resident_mib"] for row in memory)
    print(f"memory: at most {largest} MiB resident over {len(memory)} trials")
    print(f"results: {table.save('start', start)}, {table.save('memory', memory)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
