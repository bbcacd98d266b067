"""Runs all benchmarks, one after the other; results are in benchmarks/results.

python -m benchmarks.run --data=auto --study_dir=studies/benchmark

The last step writes them into docs/performance.md. Timings want a machine that does nothing else.
"""

from __future__ import annotations

import subprocess
import sys

from absl import flags

from common import command_line

_DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")
_STUDY_DIR = flags.DEFINE_string("study_dir", "studies/benchmark", "Where the study is kept.")

_BENCHMARKS = (
    *("trial_throughput", "engines", "scaling", "layer", "footprint", "study"),
    *("epoch", "recognition", "yardstick", "comparisons", "report_time"),
    *("serving", "soak"),
)


def main() -> int:
    """Runs the command."""
    commands = {name: [f"--data={_DATA.value}"] for name in _BENCHMARKS}
    for name in ("layer", "recognition", "comparisons", "report_time", "serving", "soak"):
        commands[name] = []
    commands["study"].append(f"--study_dir={_STUDY_DIR.value}")
    commands["report"] = []
    for name, arguments in commands.items():
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        status = subprocess.run(command, check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    command_line.run(main)
