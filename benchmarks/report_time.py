"""How long the report of a study takes, from the start of its process to its end.

    python -m benchmarks.report_time

The trials are made up by formula with curves of realistic length; the report is written as users
write it, by `python -m tuner.report`. Each row is the median of several runs, after one that does
not count (it fills the caches of the disk).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import table
from benchmarks.remote import ROOT
from common import command_line

_RUNS = flags.DEFINE_integer("runs", 5, "Runs of each report that count.", lower_bound=1)
_SAVE = flags.DEFINE_bool("save", True, "Write the results to benchmarks/results.")

_PAPERS_TRIALS = 200
_SIZES = (20, _PAPERS_TRIALS)
"""Trials of each of the nine variants."""

_PACKAGES = ("matplotlib", "numpy", "optuna", "pandas", "pyarrow", "scikit-learn", "scipy")


def _run(*arguments: str) -> tuple[float, float, float]:
    """Runs the command; returns wall time and processor time in seconds, and peak memory in MiB."""
    command = [sys.executable, "-m", "tuner.report", *arguments]
    started = time.perf_counter()
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"python -m tuner.report ended with {process.returncode}: {printed}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**10


def _measure(study_directory: Path, trials: int, *arguments: str) -> dict[str, Any]:
    flag = f"--study_dir={study_directory}"
    measured = [_run(flag, *arguments) for _ in range(1 + _RUNS.value)][1:]
    walls, processors, memories = zip(*measured, strict=True)
    page = study_directory / "report" / "index.html"
    return {
        "trials": trials,
        "arguments": " ".join(arguments),
        "runs": len(measured),
        "seconds": round(statistics.median(walls), 2),
        "fastest_seconds": round(min(walls), 2),
        "slowest_seconds": round(max(walls), 2),
        "processor_seconds": round(statistics.median(processors), 2),
        "peak_mib": round(max(memories)),
        "page_mib": round(page.stat().st_size / 2**20, 2),
    }


def main() -> int:
    """Runs the command."""
    from tests.tuner.analysis import made_up

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in _SIZES:
            directory = made_up.write(Path(folder) / f"music-{size}", size)
            trials = size * len(made_up.VARIANTS)
            rows.append(_measure(directory, trials))
            if size == _PAPERS_TRIALS:
                rows.append(_measure(directory, trials, "--tensorboard"))
    table.show(rows)
    if _SAVE.value:
        print(f"results: {table.save('report_time', rows, _PACKAGES)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
