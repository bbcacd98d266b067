"""Trains the best trial of every variant of a study again, and keeps the models.

    python -m tuner.pretrain --trial_table=docs/studies/music.parquet --data=JSB_Chorales.mat \
        --out=zoo/pretrained

A table of trials has no weights, but a trial's weights follow from its seed: this is how the models
of `zoo.list_pretrained()` are made. What is in `--out` already is not trained again.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from common import command_line, files
from common.errors import InputError

if TYPE_CHECKING:
    from tuner.analysis.trials.records import Records
    from tuner.training.protocol import Problem, TrialRecord, TrialResult

TOLERANCE = 0.01
"""Relative difference that rounding on another processor may make over a whole trial."""

_TRIAL_TABLE = flags.DEFINE_string(
    "trial_table", None, "Table of trials (.csv, .parquet) or directory of the study."
)
_DATA = flags.DEFINE_string("data", "auto", "Data of the task: `auto` or a path.")
_OUT = flags.DEFINE_string("out", None, "Folder of the models; one is added for each variant.")


def main() -> int:
    """Runs the command."""
    trials, out = _path("trial_table", _TRIAL_TABLE.value), _path("out", _OUT.value)
    command_line.start_tensorflow()
    from tuner.analysis.trials import sources
    from tuner.tasks.task import find_task, load_corpus
    from tuner.training.protocol import Problem, Protocol

    (study,) = sources.load_all([trials])
    task = find_task(study.facts["task"])
    corpus = load_corpus(task, _DATA.value)
    print(f"data: {corpus.dataset}")
    expected, received = study.facts["data"]["sha256"], corpus.dataset.sha256
    if received != expected:
        raise InputError(
            f"--data: expected the data of the trials, sha256 {expected}. Received: {received}"
        )
    out.mkdir(parents=True, exist_ok=True)
    problem = Problem(task, corpus, Protocol(**study.facts["protocol"]))
    for folder, result in train_again(study, problem, out):
        scores = result.result
        print(f"{folder}: validation {scores.validation.mean:.4f}, test {scores.test.mean:.4f} "
              f"{task.metric.unit}")
    return 0


def _path(flag: str, value: str | None) -> Path:
    if value is None:
        raise InputError(f"--{flag}: expected a path. Received: nothing")
    return Path(value)


def train_again(
    study: Records, problem: Problem, out: Path
) -> Iterator[tuple[Path, TrialResult]]:
    """Trains the best trial of each variant and writes its model, unless it is there.

    Args:
        study: the trials.
        problem: what they were trained for.
        out: folder of the models; `<task>-<code>` is added to it, with the files of
            `serving.sources.MODEL` and `CARD`.

    Yields:
        The folder of each new model and its trial's result.

    Raises:
        InputError: if a trial ends with another validation score than the study recorded.
    """
    from tuner.study.ledger import best_first
    from tuner.training import engines

    for code, entries in study.entries.items():
        best = best_first(entries)[0]
        folder = out / f"{problem.task.name}-{code}"
        if _is_of(folder, best):
            continue
        trainer = engines.choose("auto", problem, best.trial).trainer(problem)
        (result,) = trainer.train([best.trial])
        received, expected = result.result.validation.mean, best.result.validation.mean
        if not math.isclose(received, expected, rel_tol=TOLERANCE):
            raise InputError(
                f"{folder.name}: expected the validation score of the study, {expected:.4f}. "
                f"Received: {received:.4f}"
            )
        _write(folder, result, problem, study.facts)
        yield folder, result


def _is_of(folder: Path, entry: TrialRecord) -> bool:
    """Whether a folder holds the model of a trial."""
    from serving.sources import CARD

    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    trial = entry.trial
    return (card["variant"], card["seed"], card["hyperparameters"]) == (
        trial.variant,
        trial.seed,
        dict(trial.values),
    )


def _write(
    folder: Path, result: TrialResult, problem: Problem, facts: Mapping[str, Any]
) -> None:
    from serving.sources import CARD, study_sha256
    from tuner.study.models import Models
    from tuner.training.protocol import TrialRecord

    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "best.weights.h5"
        models = Models(problem, folder, lambda _: weights)
        record = TrialRecord(result.trial, result.result)
        models.save_weights(record, result.weights, [])
        models.update([record])
    path = folder / CARD
    card = json.loads(path.read_text(encoding="utf-8"))
    card["study_sha256"] = study_sha256(facts)
    files.write_text(path, json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    command_line.run(main)
