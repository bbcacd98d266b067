"""How long the report of a study takes, from the start of its process to its end.

    python -m benchmarks.report_time

The trials are made up with curves of realistic length; the report is written as users write it,
after once that does not count (it fills the caches of the disk).
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from absl import flags

from benchmarks import runner
from benchmarks.runner import Case, Measured, Peer, Row, Runner
from benchmarks.table import ROOT

_SIZES = flags.DEFINE_list("sizes", ["20", "200"], "Trials of each variant; the paper's: 200.")
_PACKAGES = ("matplotlib", "numpy", "optuna", "pandas", "pyarrow", "scikit-learn", "scipy")


def _run(arguments: list[str]) -> Row:
    """Runs the command; returns wall-clock time, processor time and peak memory."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "tuner.report", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    busy, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**10
    return {"seconds": seconds, "processor_seconds": busy, "peak_mib": peak}


def tables(bench: Runner) -> Iterator[tuple[str, list[Row]]]:
    """Yields the measured rows, with the name of their table."""
    # Not a library of this package: it belongs to the tests.
    made_up = importlib.import_module("tests.tuner.analysis.made_up")
    for size in map(int, _SIZES.value):
        directory = made_up.write(bench.folder / f"music-{size}", size)
        for flag in ["", "--tensorboard"][: 1 + (size == 200)]:
            labels = {"trials": size * len(made_up.VARIANTS), "arguments": flag}
            arguments = [f"--study_dir={directory}", *flag.split()]
            runs = [_run(arguments) for _ in range(1 + runner.REPEATS.value)][1:]
            one = Measured(Case(labels, Peer(""), {}), runs)
            page = (directory / "report" / "index.html").stat().st_size
            row = {
                **labels,
                "runs": len(runs),
                **one.spread("seconds", digits=2),
                "processor_seconds": round(one.median("processor_seconds"), 2),
                "peak_mib": round(max(run["peak_mib"] for run in runs)),
                "page_mib": round(page / 2**20, 2),
            }
            yield "report_time", [row]


if __name__ == "__main__":
    runner.run(tables, _PACKAGES)
