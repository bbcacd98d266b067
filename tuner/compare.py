"""Compares samplers: which finds better trials with as many trainings, or in as much time?

    python -m tuner.compare --trials=docs/studies/music.parquet --out=comparison
    python -m tuner.compare --study_dir=studies/random-1 --study_dir=studies/tpe-1 ... --out=live

By replay on a table of finished trials, which takes minutes; or of real studies, one a sampler and
seed, that `python -m tuner.run --sampler=... --seed=...` has trained.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from common import command_line
from common.errors import InputError
from tuner.search import samplers
from tuner.search.samplers import SAMPLERS

if TYPE_CHECKING:
    from tuner.analysis.trials.records import Records
    from tuner.comparison.runs import Run

_TRIALS = flags.DEFINE_string(
    "trials", None, "Study directory or table of trials that stands for training."
)
_STUDY_DIR = flags.DEFINE_multi_string(
    "study_dir", [], "Instead of --trials: studies to compare; may be given several times."
)
_GRADE = flags.DEFINE_enum(
    "grade",
    "surrogate",
    ["surrogate", "tabular"],
    "surrogate: a forest that has learned the trials; tabular: trials of all combinations of some "
    "values.",
)
_SAMPLERS = flags.DEFINE_list(
    "samplers",
    ["random", "qmc", "evolution", "reinforce", "graphnas", "tpe", "cmaes", "nsga2"],
    "Samplers, what the others are compared with first.",
)
_BUDGETS = flags.DEFINE_list("budgets", ["20", "50", "100", "200", "500"], "Numbers of trainings.")
_SEEDS = flags.DEFINE_integer("seeds", 30, "Runs of each sampler.", lower_bound=1)
_LAG = flags.DEFINE_integer("lag", 1, "See `python -m tuner.run --lag`.", lower_bound=1)
# The standard deviation over seeds of one trial's test score on the JSB Chorales.
_SMALLEST = flags.DEFINE_float(
    "smallest", 0.014, "The smallest difference worth naming, in the metric's unit.", lower_bound=0
)
_RETRAIN = flags.DEFINE_integer(
    "retrain", 0, "Of --study_dir: trainings of each winner with fresh seeds.", lower_bound=0
)
_DATA = flags.DEFINE_string("data", "auto", "Of --retrain: data of the task, auto or a path.")
_WORKERS = flags.DEFINE_string("workers", "auto", "Of --retrain: trainings at a time.")
_OUT = flags.DEFINE_string("out", None, "Folder of the page and of the CSV file.")


def _budgets() -> tuple[int, ...]:
    try:
        budgets = sorted({int(budget) for budget in _BUDGETS.value})
    except ValueError:
        budgets = []
    if not budgets or budgets[0] < 1:
        raise InputError(
            "--budgets: expected numbers of trainings such as 20,50,100. Received: "
            f"{','.join(_BUDGETS.value)!r}"
        )
    return tuple(budgets)


def _retrain(studies: Sequence[Records], budget: int) -> Sequence[Run]:
    """Retrains the winners, except for trainings that are already in OUT/winners.csv."""
    from tuner.comparison import winners
    from tuner.parallel.pool import WorkerPool, parse_workers
    from tuner.training import engines

    workers = parse_workers(_WORKERS.value) or engines.candidates()[0].workers()
    out = Path(_OUT.value or "")
    out.mkdir(parents=True, exist_ok=True)
    return winners.again(
        studies, budget, _RETRAIN.value, _DATA.value, WorkerPool(workers), out / "winners.csv",
        lambda line: print(line, flush=True),
    )  # fmt: skip


def main() -> int:
    """Runs the command."""
    budgets = _budgets()
    if _OUT.value is None:
        raise InputError("--out: expected a folder. Received: nothing")
    if bool(_TRIALS.value) == bool(_STUDY_DIR.value):
        raise InputError(
            "--trials: expected either it, for a replay, or --study_dir. Received: "
            f"{'both' if _TRIALS.value else 'neither'}"
        )
    if not _STUDY_DIR.value:
        for name in _SAMPLERS.value:
            if name not in SAMPLERS:
                raise InputError(
                    f"--samplers: expected names of {', '.join(SAMPLERS)}. Received: {name!r}"
                )
            samplers.require(name)

    from tuner.comparison import comparison, page

    if _STUDY_DIR.value:
        paths = [Path(path) for path in _STUDY_DIR.value]
        retrain = _retrain if _RETRAIN.value else None
        found = comparison.of_studies(paths, budgets, _SMALLEST.value, retrain)
    else:
        found = comparison.by_replay(
            Path(str(_TRIALS.value)), _GRADE.value, list(dict.fromkeys(_SAMPLERS.value)), budgets,
            _SEEDS.value, _LAG.value, _SMALLEST.value, lambda line: print(line, flush=True),
        )  # fmt: skip
    command = shlex.join(["python", "-m", "tuner.compare", *sys.argv[1:]])
    print(f"comparison: {page.write(found, Path(_OUT.value), command)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
