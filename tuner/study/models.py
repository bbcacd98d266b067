"""A study's trained models on disk: the weights of the best trials, and `best/<code>`."""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from common import files
from common.errors import InputError, one_line, reason
from serving.publish.sources import CARD, MODEL, study_sha256
from tuner.study.ledger import best_first
from tuner.training import engines, network
from tuner.training.protocol import Problem, TrialRecord, TrialResult
from tuner.training.trial_state import Weights
from zoo import pretrained

MODELS = 10
"""Number of trials of each variant whose weights are kept: the best ones."""

_PARTS = {"config.json", "metadata.json", "model.weights.h5"}
"""The members of a `.keras` archive."""

TOLERANCE = 0.01
"""Relative difference that another processor's rounding can cause over a whole trial."""


def card(entry: TrialRecord, problem: Problem) -> dict[str, Any]:
    """Describes a model: its architecture, its inputs, its scores and its data.

    Args:
        entry: the trial that produced it.
        problem: the problem that it was trained for.
    """
    task, corpus = problem.task, problem.corpus
    trial, result = entry.trial, entry.result
    return {
        "task": task.name,
        "inputs": task.inputs,
        "outputs": task.outputs,
        "head": task.head,
        "bidirectional": task.bidirectional,
        "labels": list(task.labels),
        "frontend": None if corpus.frontend is None else dict(corpus.frontend),
        "metric": dataclasses.asdict(task.metric),
        # Without the detail: it names a path, and the same data may come from another.
        "data": {"name": corpus.dataset.name, "sha256": corpus.dataset.sha256},
        "variant": trial.variant,
        "trial": trial.index,
        "hyperparameters": dict(trial.values),
        "seed": trial.seed,
        "best_epoch": result.best_epoch,
        "validation": result.validation.mean,
        "test": result.test.mean,
        "validation_per_sequence": result.validation.sequence_mean,
        "test_per_sequence": result.test.sequence_mean,
        "test_grouped": result.test_grouped,
        "parameters": result.parameters,
    }


class Models:
    """The models of one variant of a study.

    The weights of a trial are written before its line in the ledger, and `best/<code>` after it, so
    that `update` can restore whatever a crash left out.
    """

    def __init__(
        self,
        problem: Problem,
        best_folder: Path,
        weights_path: Callable[[int], Path],
    ) -> None:
        """Sets the paths.

        Args:
            problem: the problem that the models were trained for.
            best_folder: `best/<code>` of the study directory.
            weights_path: returns the path of a trial's weights, given the trial's index.
        """
        self._problem = problem
        self._best_folder = best_folder
        self._weights_path = weights_path
        # The trial whose weights were written last, until it is known whether it is the best.
        self._latest: tuple[TrialRecord, keras.Model] | None = None

    def _network(self, entry: TrialRecord) -> keras.Model:
        return network.make_network(self._problem.task, entry.trial)

    def save_weights(
        self, entry: TrialRecord, weights: Weights, others: Iterable[TrialRecord]
    ) -> None:
        """Saves the weights of a trial's best epoch for KerasTuner, if the trial is among the best.

        Args:
            entry: the trial.
            weights: the weights of its best epoch.
            others: the trials of the variant that finished earlier.

        Raises:
            OSError: if the disk is full or the folder read-only.
        """
        if entry not in best_first([*others, entry])[:MODELS]:
            return
        model = self._network(entry)
        model.set_weights(weights)
        _save_weights(self._weights_path(entry.trial.index), model)
        self._latest = entry, model

    def update(self, entries: Iterable[TrialRecord]) -> None:
        """Updates `best/<code>` and deletes the weights of trials no longer among the best.

        Args:
            entries: all finished trials of the variant.

        Raises:
            InputError: if the best model is damaged or missing, and so are its weights.
            OSError: if the disk is full or the folder read-only.
        """
        latest, self._latest = self._latest, None
        ranked = best_first(entries)
        if not ranked:
            return
        for entry in ranked[MODELS:]:
            self._weights_path(entry.trial.index).unlink(missing_ok=True)
        best = ranked[0]
        wanted = card(best, self._problem)
        weights = self._weights_path(best.trial.index)
        if self._saved_card() != wanted:
            model = latest[1] if latest and latest[0] is best else self._load(best, weights)
            self._save_best(model, wanted)
        elif not weights.exists():
            model = keras.models.load_model(self._best_folder / MODEL)
            _save_weights(weights, model)

    def _saved_card(self) -> dict[str, Any] | None:
        """Returns the card of the saved model; None if the model is damaged or missing."""
        try:
            return check_best(self._best_folder)
        except InputError:
            return None

    def _load(self, entry: TrialRecord, weights: Path) -> keras.Model:
        model = self._network(entry)
        try:
            model.load_weights(weights)
        except Exception as error:
            # h5py and Keras raise various exceptions for a missing or damaged file.
            raise InputError(
                f"{self._best_folder}: expected the model of trial {entry.trial.index}, or its "
                f"weights in {weights}; both are damaged or missing. To train the trial again, "
                f"remove its line from the ledger"
            ) from error
        return model

    def _save_best(self, model: keras.Model, described: dict[str, Any]) -> None:
        def write(folder: Path) -> None:
            model.save(folder / MODEL)
            (folder / CARD).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")

        files.write_folder(self._best_folder, write, size=_size(model))


def check_best(folder: Path) -> dict[str, Any]:
    """Checks that `best/<code>` contains a model and its card, both intact.

    Returns:
        The card.

    Raises:
        InputError: if either is damaged or missing; the message names it in one line.
    """
    for path in (folder / CARD, folder / MODEL):
        if not path.is_file():
            raise InputError(f"{path}: expected a file of the study's best model")
    described = files.read_json(folder / CARD)
    score = described.get("validation")
    if not isinstance(score, float):
        raise InputError(f"{folder / CARD}: expected a validation score. Received: {score!r}")
    try:
        with zipfile.ZipFile(folder / MODEL) as archive:
            # If the archive's directory is damaged, members may be missing.
            missing = _PARTS - set(archive.namelist())
            damaged = min(missing, default=None) or archive.testzip()
    except Exception as error:
        # Various exceptions, depending on where the archive is damaged.
        raise InputError(f"{folder / MODEL}: expected a model of Keras: {reason(error)}") from error
    if damaged:
        raise InputError(
            f"{folder / MODEL}: expected a model of Keras: {one_line(damaged)} is damaged"
        )
    return described


def _save_weights(path: Path, model: keras.Model) -> None:
    files.write_file(path, model.save_weights, size=_size(model))


def _size(model: keras.Model) -> int:
    """Returns an upper bound on the size of a file of the model's weights, in bytes."""
    return 2**20 + 8 * int(model.count_params())


def train_again(
    entries: Mapping[str, Sequence[TrialRecord]],
    facts: Mapping[str, Any],
    problem: Problem,
    out: Path,
) -> Iterator[tuple[Path, TrialResult]]:
    """Retrains the best trial of each variant and writes its model, unless it exists already.

    Args:
        entries: finished trials of a study by variant.
        facts: the contents of that study's `study.json`.
        problem: the problem that they were trained for.
        out: folder of the models; each gets a subfolder `<task>-<code>` with the files
            `serving.publish.sources.MODEL` and `CARD`.

    Yields:
        The folder of each new model and its trial's result.

    Raises:
        InputError: if a trial's validation score differs from the one that the study recorded.
    """
    for code, finished in entries.items():
        best = best_first(finished)[0]
        folder = out / f"{problem.task.name}-{code}"
        if _is_of(folder, best, facts):
            continue
        # With the engine that trained it, if possible: other engines round differently.
        engine = engines.ENGINES.get(best.result.engine)
        if engine is None or engine.obstacle(problem, best.trial):
            engine = engines.choose("auto", problem, best.trial)
        trainer = engine.trainer(problem)
        (result,) = trainer.train([best.trial])
        received, expected = result.result.validation.mean, best.result.validation.mean
        if not math.isclose(received, expected, rel_tol=TOLERANCE):
            raise InputError(
                f"{folder.name}: expected the validation score of the study, {expected:.4f}. "
                f"Received: {received:.4f}"
            )
        _write(folder, result, problem, facts)
        yield folder, result


def _is_of(folder: Path, entry: TrialRecord, facts: Mapping[str, Any]) -> bool:
    """Returns whether a folder contains the model of a study's trial, and all of its files."""
    try:
        described = check_best(folder)
    except InputError:
        return False
    trial = entry.trial
    expected = {
        "variant": trial.variant,
        "seed": trial.seed,
        "hyperparameters": trial.values,
        "study_sha256": study_sha256(facts),
    }
    return {name: described.get(name) for name in expected} == expected


def _write(folder: Path, result: TrialResult, problem: Problem, facts: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "best.weights.h5"
        models = Models(problem, folder, lambda _: weights)
        record = TrialRecord(result.trial, result.result)
        models.save_weights(record, result.weights, [])
        models.update([record])
    path = folder / CARD
    card = files.read_json(path)
    card["study_sha256"] = study_sha256(facts)
    files.write_text(folder / pretrained.PAGE, pretrained.hub_page(card, folder.name))
    # Last: by its hash, the next run knows that the folder is complete.
    files.write_text(path, json.dumps(card, indent=2) + "\n")
