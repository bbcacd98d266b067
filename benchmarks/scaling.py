"""How the native engine's time grows: with the variant, units, length, and processes at once.

    python -m benchmarks.scaling --data=auto

The work is that of `benchmarks.trial_throughput` on all training sequences; repeats interleave.
Two tables. `scaling` has every variant and size, in one process and in two at the same time: `gain`
is what two workers get done to one, and a variant's time is compared with its arithmetic. `lengths`
has the vanilla LSTM on sequences that are repeated once, twice and four times.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from benchmarks import table
from benchmarks.implementations import native
from benchmarks.remote import Remote, cores
from common import command_line

if TYPE_CHECKING:
    from benchmarks.work_files import WorkFiles

_DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")
_UNITS = flags.DEFINE_list("units", ["32", "64", "128", "200"], "Sizes to measure.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Timed repeats.", lower_bound=1)

_SGEMM_SIZE = 768
_LENGTHS = (1, 2, 4)
_LENGTHS_UNITS = 64

Row = dict[str, Any]
Case = tuple[str, int]


def _seconds(processes: list[Remote], path: str) -> list[float]:
    """Times a pass in the first process alone, then in all at once, the mean of all."""
    for remote in processes:
        remote.call("prepare", path=path)
        remote.call("run")
    alone = processes[0].call("run")["seconds"]
    for remote in processes:
        remote.start("run")
    return [alone, statistics.fmean(remote.result()["seconds"] for remote in processes)]


def _variants(processes: list[Remote], sgemm: Remote, files: WorkFiles) -> list[Row]:
    """Times every variant and size, in one process and in all at once."""
    from zoo.variants import VARIANTS

    cases = [(code, int(units)) for units in _UNITS.value for code in VARIANTS]
    times: dict[Case, list[list[float]]] = {case: [] for case in cases}
    rates = []
    for _ in range(_REPEATS.value):
        for variant, units in cases:
            rates.append(sgemm.call("gigaflops", size=_SGEMM_SIZE))
            path = files.path("corpus", variant, units)
            times[variant, units].append(_seconds(processes, path))
    rate = statistics.median(rates)
    rows = []
    for variant, units in cases:
        medians = [statistics.median(column) for column in zip(*times[variant, units], strict=True)]
        vanilla = statistics.median(seconds[0] for seconds in times["V", units])
        count = files.operations("corpus", variant, units)
        rows.append(
            {
                "variant": variant,
                "units": units,
                "milliseconds": round(1e3 * medians[0] / files.sequences("corpus"), 4),
                "processes": len(processes),
                "milliseconds_at_once": round(1e3 * medians[1] / files.sequences("corpus"), 4),
                "gain": round(len(processes) * medians[0] / medians[1], 3),
                "gigaflops": round(count / medians[0] / 1e9, 2),
                "sgemm_gigaflops": round(rate, 1),
                "sgemm_share": round(count / medians[0] / 1e9 / rate, 3),
                "time_to_vanilla": round(medians[0] / vanilla, 3),
                "arithmetic_to_vanilla": round(count / files.operations("corpus", "V", units), 3),
            }
        )
    return rows


def _lengths(remote: Remote, files: WorkFiles) -> list[Row]:
    """Times sequences of several lengths."""
    times: dict[int, list[float]] = {factor: [] for factor in _LENGTHS}
    for _ in range(_REPEATS.value):
        for factor, measured in times.items():
            path = files.path("corpus", "V", _LENGTHS_UNITS, longer=factor)
            remote.call("prepare", path=path)
            remote.call("run")
            measured.append(remote.call("run")["seconds"])
    return [
        {
            "variant": "V",
            "units": _LENGTHS_UNITS,
            "mean_length": round(factor * files.mean_length, 1),
            "milliseconds": round(
                1e3 * statistics.median(measured) / files.sequences("corpus"), 4
            ),
            "time_to_shortest": round(statistics.median(measured) / statistics.median(times[1]), 3),
        }
        for factor, measured in times.items()
    ]


def main() -> int:
    """Runs the command."""
    command_line.start_tensorflow()
    from benchmarks.work_files import WorkFiles
    from tuner.tasks.task import find_task

    corpus = find_task("music").load(_DATA.value)
    print(f"data: {corpus.dataset}")
    processes = [native("V").start(core) for core in cores()[:2]]
    with tempfile.TemporaryDirectory() as folder, Remote("benchmarks.peers.sgemm:Sgemm") as sgemm:
        files = WorkFiles(Path(folder), corpus.train)
        try:
            variants = _variants(processes, sgemm, files)
            lengths = _lengths(processes[0], files)
        finally:
            for remote in processes:
                remote.close()
    table.show(variants)
    table.show(lengths)
    print(f"results: {table.save('scaling', variants)}, {table.save('lengths', lengths)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
