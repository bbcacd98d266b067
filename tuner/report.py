"""Writes the report of a study again, also while the study is running.

python -m tuner.report --study_dir=studies/music
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from serving import command_line
from serving.command_line import InputError

_STUDY_DIR = flags.DEFINE_string("study_dir", None, "Directory of the study.")


def main() -> int:
    """Runs the command."""
    if _STUDY_DIR.value is None:
        raise InputError("--study_dir: expected a study directory. Received: nothing")
    command_line.start_tensorflow()
    from tuner.analysis import report
    from zoo.variants import VARIANTS

    print(f"report: {report.write(Path(_STUDY_DIR.value), list(VARIANTS))}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
