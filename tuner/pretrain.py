"""Trains the best trial of every variant of a study again, and keeps the models.

    python -m tuner.pretrain --trials=docs/studies/music.parquet --data=JSB_Chorales.mat \
        --out=zoo/pretrained

A table of trials has no weights, but a trial's weights follow from its seed: this is how the models
of `zoo.list_pretrained()` are made. What is in `--out` already is not trained again.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from serving import command_line
from serving.command_line import InputError

if TYPE_CHECKING:
    from tuner.analysis.records import Records
    from tuner.ledger import Entry
    from tuner.protocol import Outcome, Protocol
    from tuner.tasks.task import Corpus, Task

_TRIALS = flags.DEFINE_string(
    "trials", None, "Table of trials (.csv, .parquet) or directory of the study."
)
_DATA = flags.DEFINE_string("data", "auto", "Data of the task: `auto` or a path.")
_OUT = flags.DEFINE_string("out", None, "Folder of the models; one is added for each variant.")

_TOLERANCE = 0.01
"""Relative difference that rounding on another processor may make over a whole trial."""


def main() -> int:
    """Runs the command."""
    trials, out = _path("trials", _TRIALS.value), _path("out", _OUT.value)
    command_line.start_tensorflow()
    from tuner.analysis import sources
    from tuner.tasks.task import find_task, load_corpus
    from tuner.variants import CODES

    (study,) = sources.load_all([trials], CODES)
    task = find_task(study.facts["task"])
    corpus = load_corpus(task, _DATA.value)
    print(f"data: {corpus.edition}")
    expected, received = study.facts["data"]["sha256"], corpus.edition.sha256
    if received != expected:
        raise InputError(
            f"--data: expected the data of the trials, sha256 {expected}. Received: {received}"
        )
    out.mkdir(parents=True, exist_ok=True)
    for folder, outcome in train_again(study, task, corpus, out):
        print(f"{folder}: validation {outcome.result.validation.mean:.4f}, test "
              f"{outcome.result.test.mean:.4f} {task.metric.unit}")
    return 0


def _path(flag: str, value: str | None) -> Path:
    if value is None:
        raise InputError(f"--{flag}: expected a path. Received: nothing")
    return Path(value)


def train_again(
    study: Records, task: Task, corpus: Corpus, out: Path
) -> Iterator[tuple[Path, Outcome]]:
    """Trains the best trial of each variant and writes its model, unless it is there.

    Args:
        study: the trials.
        task: what they learnt.
        corpus: the data that they learnt from.
        out: folder of the models; `<task>-<code>` is added to it, with the files of
            `serving.sources.MODEL` and `CARD`.

    Yields:
        The folder of each new model and what came of its trial.

    Raises:
        InputError: if a trial ends with another validation score than the study recorded.
    """
    from tuner import engines
    from tuner.ledger import best_first
    from tuner.protocol import Protocol

    protocol = Protocol(**study.facts["protocol"])
    wanted = {}
    for code, entries in study.entries.items():
        best = best_first(entries)[0]
        folder = out / f"{task.name}-{code}"
        if not _is_of(folder, best):
            wanted[best.trial] = (folder, best)
    train = engines.load(engines.choose("auto").engine)
    for outcome in train(task, corpus, wanted, protocol):
        folder, best = wanted[outcome.trial]
        received, expected = outcome.result.validation.mean, best.result.validation.mean
        if not math.isclose(received, expected, rel_tol=_TOLERANCE):
            raise InputError(
                f"{folder.name}: expected the validation score of the study, {expected:.4f}. "
                f"Received: {received:.4f}"
            )
        _keep(folder, outcome, task, corpus, protocol)
        yield folder, outcome


def _is_of(folder: Path, entry: Entry) -> bool:
    """Whether a folder holds the model of a trial."""
    from serving.sources import CARD

    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    return (card["variant"], card["seed"], card["hyperparameters"]) == (
        entry.trial.variant,
        entry.trial.seed,
        entry.trial.hyperparameters,
    )


def _keep(
    folder: Path, outcome: Outcome, task: Task, corpus: Corpus, protocol: Protocol
) -> None:
    from tuner.ledger import Entry
    from tuner.models import Models

    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "best.weights.h5"
        models = Models(task, corpus, protocol, folder, lambda _: weights)
        entry = Entry(outcome.trial, outcome.result)
        models.save_weights(entry, outcome.weights, [])
        models.update([entry])


if __name__ == "__main__":
    command_line.run(main)
