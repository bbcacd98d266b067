"""Damaged files of a study and its data: a reader takes them, or refuses them in one line.

`python -m pytest -m slow tests/tuner/damaged_files_test.py` reads ten thousand.
"""

from __future__ import annotations

import functools
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import InputError
from tests.damage import read_damaged
from tests.tuner.analysis import made_up
from tests.tuner.tiny import SPACE, TRIAL
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask
from tuner.analysis.trials import records, table
from tuner.search.hypermodel import VariantHyperModel
from tuner.search.oracle import StudyTuner
from tuner.tasks import arrays, files
from tuner.tasks.arrays import ArraysTask
from tuner.tasks.handwriting import lines
from tuner.tasks.music import formats
from tuner.tasks.task import Task, load_corpus
from tuner.training.protocol import Score
from tuner.training.trial_state import Checkpoint, TrialState

Border = tuple[bytes, Callable[[bytes], Any]]
"""A file that is right, and its reader."""

MUSIC: dict[str, Any] = {
    "train": [[[60, 64], [62.0, -1], []], [[30], [31]]],
    "valid": [[[40, 44], [], [45]]],
    "test": [[[50], [51, 55]]],
}


def of_arrays(task: Task, folder: Path) -> Border:
    path = folder / "x.npz"
    corpus = task.load("a")
    splits = {name: getattr(corpus, name) for name in arrays.SPLITS}
    optional = {"labels": list(task.labels)} if task.labels else {}
    arrays.save(path, task.head, splits, bidirectional=True, name="mine", **optional)

    def read(content: bytes) -> None:
        path.write_bytes(content)
        load_corpus(ArraysTask(), str(path))

    return path.read_bytes(), read


def of_plain_arrays(folder: Path) -> Border:
    """Not compressed: the damage reaches heads and values."""
    packed, read = of_arrays(TinySpeech(), folder)
    plain = io.BytesIO()
    np.savez(plain, **dict(np.load(io.BytesIO(packed))))
    return plain.getvalue(), read


def of_music(name: str, write: Callable[[Any], bytes], folder: Path) -> Border:
    return write(MUSIC), lambda content: formats.parse(name, content)


def of_rolls(folder: Path) -> Border:
    formats.write_npz(folder / "x.npz", formats.parse("x.json", json.dumps(MUSIC).encode()))
    return (folder / "x.npz").read_bytes(), lambda content: formats.parse("x.npz", content)


def of_lines(folder: Path) -> Border:
    points = np.array([[0, 0, 0, 0], [1, 1, 0.1, 1], [2, 0, 0.2, 0], [3, 2, 0.3, 1]])
    splits: dict[str, Any] = {}
    for split in ("train", "validation", "test"):
        splits |= {
            f"{split}_points": points,
            f"{split}_lengths": [2, 2],
            f"{split}_texts": ["a", "b"],
        }
    content = io.BytesIO()
    np.savez(content, **splits)
    return content.getvalue(), lambda content: files.parse("x", content, "an .npz", lines.read_npz)


def of_table(name: str, folder: Path) -> Border:
    path = folder / name
    table.write([made_up.records(2, ("V", "NP"), ended=0.5)], path)

    def read(content: bytes) -> None:
        path.write_bytes(content)
        # What is read can be written again.
        table.rows(table.read(path))

    return path.read_bytes(), read


def of_study(name: str, folder: Path) -> Border:
    made_up.write(folder, 3, ("V",), ended=0.7)
    path = folder / name

    def read(content: bytes) -> None:
        path.write_bytes(content)
        table.rows([records.load(folder)])

    return path.read_bytes(), read


def of_keras_tuner(name: str, folder: Path) -> Border:
    path = folder / "V" / name

    def read(content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        hypermodel = VariantHyperModel(TinyTask(), "V", space=SPACE)
        StudyTuner(hypermodel, SPACE, 11, [TRIAL], [], directory=folder, variant="V")

    read(b"{}")
    return path.read_bytes(), read


def of_checkpoint(folder: Path) -> Border:
    path = folder / "x.npz"
    weights = (np.zeros((2, 3), np.float32), np.ones(2, np.float32))
    state = TrialState.begin(Score(9.0, 9.0), weights)
    state.end_epoch(8.5, Score(8.0, 8.0), weights)
    Checkpoint(TRIAL, "native", state, 2, weights).save(path)

    def read(content: bytes) -> None:
        path.write_bytes(content)
        if Checkpoint.load(path, TRIAL, "native") is None:
            raise InputError("the trial starts again")

    return path.read_bytes(), read


BORDERS: dict[str, Callable[[Path], Border]] = {
    "arrays of bernoulli": functools.partial(of_arrays, TinyTask()),
    "arrays of ctc": functools.partial(of_arrays, TinyHandwriting()),
    "arrays, plain": of_plain_arrays,
    "chorales .json": functools.partial(
        of_music, "x.json", lambda content: json.dumps(content).encode()
    ),
    "chorales .pickle": functools.partial(of_music, "x.pickle", pickle.dumps),
    "chorales .pkl, text": functools.partial(
        of_music, "x.pkl", functools.partial(pickle.dumps, protocol=0)
    ),
    "chorales .npz": of_rolls,
    "lines of handwriting": of_lines,
    "trials .csv": functools.partial(of_table, "x.csv"),
    "trials .parquet": functools.partial(of_table, "x.parquet"),
    "study.json": functools.partial(of_study, "study.json"),
    "design": functools.partial(of_study, "designs/V.csv"),
    "ledger": functools.partial(of_study, "trials/V.jsonl"),
    "checkpoint": of_checkpoint,
}

REBUILT: dict[str, Callable[[Path], Border]] = {
    "KerasTuner's oracle": functools.partial(of_keras_tuner, "oracle.json"),
    "KerasTuner's trial": functools.partial(of_keras_tuner, "trial_00/trial.json"),
}
"""Written anew from ledger and design, whatever was there."""


@pytest.mark.parametrize("border", BORDERS)
def test_damaged_files_are_read_or_refused(border: str, tmp_path: Path) -> None:
    content, read = BORDERS[border](tmp_path)
    outcomes = read_damaged(read, content, files=25)
    assert outcomes["refused"] > 5


@pytest.mark.slow
@pytest.mark.parametrize("border", BORDERS)
def test_many_damaged_files_are_read_or_refused(border: str, tmp_path: Path) -> None:
    content, read = BORDERS[border](tmp_path)
    print(f"{border}: {dict(read_damaged(read, content, files=720, seed=1))}")


@pytest.mark.slow
@pytest.mark.parametrize("border", REBUILT)
def test_damaged_files_are_rebuilt(border: str, tmp_path: Path) -> None:
    content, read = REBUILT[border](tmp_path)
    assert read_damaged(read, content, files=40)["refused"] == 0
