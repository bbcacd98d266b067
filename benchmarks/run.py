"""Runs benchmarks, one after the other, and writes their results into the docs.

    python -m benchmarks.run                               # all that can run here
    python -m benchmarks.run --names=layer,serving
    python -m benchmarks.run --data=JSB.mat

Timings want a machine that does nothing else. Each benchmark is a command with flags of its own
(`python -m benchmarks.layer --help`); `ray_scaling` wants .venv-ray, and `gpu` a GPU.
"""

from __future__ import annotations

import subprocess
import sys

from absl import flags

from common import command_line

_ALL = "trial_throughput engines scaling epoch layer footprint study report_time serving".split()
_NAMES = flags.DEFINE_list("names", _ALL, "Which.")
_DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")


def main() -> int:
    """Runs the command."""
    for name in _NAMES.value:
        command = [sys.executable, "-m", f"benchmarks.{name}", f"--data={_DATA.value}"]
        if status := subprocess.run(command, check=False).returncode:
            return status
    return subprocess.run([sys.executable, "-m", "benchmarks.report"], check=False).returncode


if __name__ == "__main__":
    command_line.run(main)
