"""Writes all trials of studies as one tidy table, also while they are running.

    python -m tuner.export --study_dir=studies/music --out=music.parquet --out=music.csv

`docs/trial_table.md` explains the columns. `tuner.load_trials` reads the table into pandas, and
`python -m tuner.report --study_dir=music.parquet` makes the report of it.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from common import command_line
from common.errors import InputError

_STUDY_DIR = flags.DEFINE_multi_string(
    "study_dir", [], "Directory of a study, or a table of trials; repeat it for several."
)
_OUT = flags.DEFINE_multi_string("out", [], "File to write, .csv or .parquet; repeat it for both.")


def main() -> int:
    """Runs the command."""
    if not _STUDY_DIR.value:
        raise InputError("--study_dir: expected a study directory. Received: nothing")
    if not _OUT.value:
        raise InputError("--out: expected a file .csv or .parquet. Received: nothing")
    from tuner.analysis.trials import sources, table
    from zoo.registry import list_variants

    studies = sources.load_all([Path(name) for name in _STUDY_DIR.value], list_variants())
    for name in _OUT.value:
        table.write(studies, Path(name))
        print(f"trials: {name}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
