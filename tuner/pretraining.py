"""Trained models again, of trials of which only the table is left."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import files
from common.errors import InputError
from serving.sources import CARD, study_sha256
from tuner.analysis.trials.records import Records
from tuner.study.ledger import TrialRecord, best_first
from tuner.study.models import Models
from tuner.tasks.task import Corpus, Task
from tuner.training import engines
from tuner.training.protocol import Protocol, TrialResult

TOLERANCE = 0.01
"""Relative difference that rounding on another processor may make over a whole trial."""


def train_again(
    study: Records, task: Task, corpus: Corpus, out: Path
) -> Iterator[tuple[Path, TrialResult]]:
    """Trains the best trial of each variant and writes its model, unless it is there.

    Args:
        study: the trials.
        task: what they learned.
        corpus: the data that they learned from.
        out: folder of the models; `<task>-<code>` is added to it, with the files of
            `serving.sources.MODEL` and `CARD`.

    Yields:
        The folder of each new model and what came of its trial.

    Raises:
        InputError: if a trial ends with another validation score than the study recorded.
    """
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
        if not math.isclose(received, expected, rel_tol=TOLERANCE):
            raise InputError(
                f"{folder.name}: expected the validation score of the study, {expected:.4f}. "
                f"Received: {received:.4f}"
            )
        _keep(folder, outcome, task, corpus, protocol)
        _add_to_card(folder / CARD, study_sha256=study_sha256(study.facts))
        yield folder, outcome


def _is_of(folder: Path, entry: TrialRecord) -> bool:
    """Whether a folder holds the model of a trial."""
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
    folder: Path, outcome: TrialResult, task: Task, corpus: Corpus, protocol: Protocol
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "best.weights.h5"
        models = Models(task, corpus, protocol, folder, lambda _: weights)
        entry = TrialRecord(outcome.trial, outcome.result)
        models.save_weights(entry, outcome.weights, [])
        models.update([entry])


def _add_to_card(path: Path, **facts: str) -> None:
    card = json.loads(path.read_text(encoding="utf-8"))
    files.write_text(path, json.dumps({**card, **facts}, indent=2) + "\n")
