"""Trains the best trial of every variant of a study again, and keeps the models.

    python -m tuner.pretrain --trial_table=docs/studies/music.parquet --data=JSB_Chorales.mat \
        --out=zoo/pretrained

A table of trials has no weights, but a trial's weights follow from its seed: this is how the models
of `zoo.list_pretrained()` are made. What is in `--out` already is not trained again.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from common import command_line
from common.errors import InputError

_TRIAL_TABLE = flags.DEFINE_string(
    "trial_table", None, "Table of trials (.csv, .parquet) or directory of the study."
)
_DATA = flags.DEFINE_string("data", "auto", "Data of the task: `auto` or a path.")
_OUT = flags.DEFINE_string("out", None, "Folder of the models; one is added for each variant.")


def main() -> int:
    """Runs the command."""
    trials, out = _path("trial_table", _TRIAL_TABLE.value), _path("out", _OUT.value)
    from tuner.analysis.trials import sources

    study = sources.load_one(trials)
    command_line.start_tensorflow()
    from tuner.study import facts
    from tuner.study.models import train_again

    problem = facts.load_problem(study.facts, _DATA.value)
    print(f"data: {problem.corpus.dataset}")
    out.mkdir(parents=True, exist_ok=True)
    finished = {code: entries for code, entries in study.entries.items() if entries}
    for folder, result in train_again(finished, study.facts, problem, out):
        scores = result.result
        print(f"{folder}: validation {scores.validation.mean:.4f}, test {scores.test.mean:.4f} "
              f"{problem.task.metric.unit}")
    return 0


def _path(flag: str, value: str | None) -> Path:
    if value is None:
        raise InputError(f"--{flag}: expected a path. Received: nothing")
    return Path(value)


if __name__ == "__main__":
    command_line.run(main)
