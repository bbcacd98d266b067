"""Runs all benchmarks, one after the other; results are in benchmarks/results.

python -m benchmarks.run --data=auto --study_dir=studies/benchmark

The last step writes them into docs/performance.md. Timings want a machine that does nothing else.
"""

from __future__ import annotations

import subprocess
import sys

from absl import flags

from serving import command_line

_DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")


def main() -> int:
    """Runs the command."""
    for benchmark in ("epoch", "yardstick"):
        command = [sys.executable, "-m", f"benchmarks.{benchmark}", f"--data={_DATA.value}"]
        status = subprocess.run(command, check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    command_line.run(main)
