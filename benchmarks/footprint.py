"""What a worker of the native engine costs: time until it trains, memory trial after trial.

    python -m benchmarks.footprint --data=auto

`start` is with an empty cache of compiled code, and with the one that this has filled.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from absl import flags

from benchmarks import runner
from benchmarks.remote import Remote
from benchmarks.runner import Case, Row, Runner
from benchmarks.trial_throughput import engine
from tuner.search.samplers import SearchProblem
from tuner.search.samplers.random import RandomSampler
from tuner.search.space import PAPER
from zoo.variants import VARIANTS

_TRIALS = flags.DEFINE_integer("trials", 200, "Trials of the one process.", lower_bound=1)


def _start(code: str, path: str, cache: str) -> Row:
    """Times a process from its start to the end of its first trial."""
    started = time.perf_counter()
    environment = {"NUMBA_CACHE_DIR": cache}
    with Remote(engine("native").target, environment=environment, engine="native") as remote:
        remote.call("prepare", path=path)
        ready = time.perf_counter()
        measured = remote.call("run")
        return {
            "compiled_code": code,
            "import_seconds": round(ready - started, 2),
            "first_trial_seconds": round(time.perf_counter() - ready, 2),
            **{f"{kind}_mib": round(measured[kind], 1) for kind in ("resident", "unique")},
        }


def _cases(path: str, count: int) -> list[Case]:
    """Returns the first trials of each variant, with the variants in turn."""
    each = -(-count // len(VARIANTS))
    sampler = RandomSampler(SearchProblem(PAPER, 1, "music", tuple(VARIANTS), each))
    trials = [sampler.propose(code, place, ()) for place in range(each) for code in VARIANTS]
    peer, cases = engine("native"), []
    for place, trial in enumerate(trials[:count]):
        shape = {"variant": trial.variant, "units": trial.units}
        work = {"path": path, **shape, "seed": trial.seed}
        cases.append(Case({"trials": place + 1, **shape}, peer, work))
    return cases


def tables(bench: Runner) -> Iterator[tuple[str, list[Row]]]:
    """Yields the measured rows, with the names of their tables."""
    files = bench.work_files()
    small, cache = files.path("check", "V", 32), str(bench.folder)
    yield "start", [_start(code, small, cache) for code in ("compiled", "cached", "cached")]
    cases = _cases(files.path("corpus", "V", 32), _TRIALS.value)
    measured = bench.measure(cases, repeats=1, warm_up=False)
    kinds = ("resident", "unique")
    memory = [{f"{kind}_mib": round(one.median(kind), 1) for kind in kinds} for one in measured]
    yield "memory", [{**one.labels, **row} for one, row in zip(measured, memory, strict=True)]


if __name__ == "__main__":
    runner.run(tables)
