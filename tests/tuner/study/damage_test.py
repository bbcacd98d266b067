"""Damaged and foreign files in a study: repaired, or one line before anything trains."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import keras
import pytest

from common.errors import InputError
from tests.tuner import tiny
from tests.tuner.studies import HERE, Silence, lines, run
from tuner.parallel.pool import InProcess
from tuner.study import models
from tuner.training.native.engine import Trainer

BEST = "best/V"


class Idle:
    """A pool that must not be asked to train."""

    def run(self, problem: object, queue: Any, on_event: object) -> None:
        assert queue.exhausted


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A finished study of two trials of V and one of NP; not to be changed."""
    directory = tmp_path_factory.mktemp("study") / "tiny"
    run(directory, tiny.config(("V",), trials=2))
    run(directory, tiny.config(("NP",), trials=1))
    return directory


@pytest.fixture
def copied(finished: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(finished, tmp_path / "copy"))


def go_on(directory: pathlib.Path, trials: int = 2, pool: Any = None) -> Silence:
    """Goes on with the study of V; unless a pool is given, nothing may be left to train."""
    return run(directory, tiny.config(("V",), trials=trials), pool or Idle())


def best(directory: pathlib.Path, code: str = "V") -> int:
    """Which trial is the best."""
    ended = lines(directory)[code]
    return int(min(ended, key=lambda line: line["validation"])["trial"])


def weights(directory: pathlib.Path) -> pathlib.Path:
    """Those of the best trial of V."""
    folder = directory / "keras_tuner" / "V" / f"trial_{best(directory)}"
    return folder / "checkpoint.weights.h5"


def spoil(path: pathlib.Path) -> None:
    """Changes a byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[pathlib.Path], object]] = {
    "byte": spoil,
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("a model"),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_best_model_is_made_again_of_its_weights(
    copied: pathlib.Path, damage: str
) -> None:
    path = copied / BEST / "model.keras"
    before = keras.models.load_model(path).get_weights()
    DAMAGES[damage](path)
    go_on(copied)
    models.check_best(path.parent)
    after = keras.models.load_model(path).get_weights()
    assert all((one == other).all() for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("content", ["", "[]", "3", '{"validation": "low"}', "{"])
def test_a_damaged_card_is_written_again(copied: pathlib.Path, content: str) -> None:
    path = copied / BEST / "card.json"
    before = path.read_text()
    path.write_text(content)
    go_on(copied)
    assert path.read_text() == before


@pytest.mark.parametrize("damage", ["torn", "text", "missing"])
def test_a_best_model_without_weights_is_one_line_that_says_what_to_do(
    copied: pathlib.Path, damage: str
) -> None:
    DAMAGES[damage](weights(copied))
    spoil(copied / BEST / "model.keras")
    index = best(copied)
    with pytest.raises(InputError, match=rf"best/V: expected the model of trial {index}") as caught:
        go_on(copied, trials=3)
    assert str(caught.value).isprintable()

    # What it says helps.
    before = lines(copied)
    ledger = copied / "trials" / "V.jsonl"
    kept = [line for line in ledger.read_text().splitlines() if json.loads(line)["trial"] != index]
    ledger.write_text("".join(f"{line}\n" for line in kept))
    assert [record.trial.index for record in go_on(copied, pool=HERE).finished] == [index]
    assert lines(copied) == before
    models.check_best(copied / BEST)


@pytest.mark.parametrize(
    ("name", "damage", "named"),
    [
        ("trials/NP.jsonl", lambda path: path.write_text("{}\n"), "line 1"),
        ("trials/NP.jsonl", lambda path: path.write_text(path.read_text() * 2), "line 2"),
        ("trials/V.jsonl", lambda path: path.write_text(path.read_text() * 2), "line 3"),
        ("designs/NP.csv", lambda path: path.write_text("trial\n"), "expected the columns"),
        ("designs/V.csv", lambda path: path.write_bytes(b"\xff"), "line 1"),
        ("best/NP/card.json", lambda path: path.write_text("[]"), "JSON object"),
        ("best/NP/model.keras", spoil, "expected a model"),
        ("best/NP/model.keras", lambda path: path.unlink(), "expected a file"),
        ("keras_tuner/V", lambda path: shutil.rmtree(path) or path.touch(), "File exists"),
        ("running", lambda path: path.rmdir() or path.touch(), "File exists"),
    ],
)
def test_what_cannot_be_repaired_is_one_line_before_anything_trains(
    copied: pathlib.Path, name: str, damage: Callable[[pathlib.Path], object], named: str
) -> None:
    """Also of a variant that is not trained now, which report and export read at the end."""
    damage(copied / name)
    with pytest.raises((InputError, OSError), match=named) as caught:
        go_on(copied, trials=3)
    assert name in str(caught.value) and str(caught.value).isprintable()


def test_a_line_of_another_study_or_variant_is_one_line(copied: pathlib.Path) -> None:
    ledger = copied / "trials" / "V.jsonl"
    content = ledger.read_text()
    for foreign in (
        (copied / "trials" / "NP.jsonl").read_text(),
        json.dumps(json.loads(content.splitlines()[0]) | {"seed": 5}) + "\n",
        json.dumps(json.loads(content.splitlines()[0]) | {"trial": 99}) + "\n",
    ):
        ledger.write_text(foreign)
        with pytest.raises(InputError, match=r"V\.jsonl: "):
            go_on(copied, trials=3)


def test_what_others_put_into_kerastuners_folder_stays_and_does_no_harm(
    copied: pathlib.Path,
) -> None:
    project = copied / "keras_tuner" / "V"
    for name in ("trial_best", "trial_", "trial_1.old", "trial_²", "notes", "trial_0001"):
        (project / name).mkdir()
        (project / name / "mine.txt").touch()
    (project / "trial_7").write_text("a file where a folder belongs")
    (project / "notes.txt").touch()
    (project.parent / "else").mkdir()
    # Where something of KerasTuner's belongs.
    shutil.rmtree(project / "oracle.json", ignore_errors=True)
    (project / "oracle.json").unlink(missing_ok=True)
    (project / "oracle.json" / "folder").mkdir(parents=True)
    (project / "trial_0" / "trial.json").unlink()
    (project / "trial_0" / "trial.json").mkdir()

    kept = weights(copied).read_bytes()
    assert go_on(copied, trials=12, pool=HERE).failed == []
    assert (project / "trial_best" / "mine.txt").exists() and (project / "notes.txt").exists()
    assert (project / "oracle.json").is_file()
    assert kept in [path.read_bytes() for path in project.glob("trial_??/*.h5")] or best(copied) > 1


@pytest.mark.parametrize("damage", ["byte", "torn", "empty", "text"])
def test_a_trial_with_a_damaged_checkpoint_starts_again(
    copied: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    damage: str,
) -> None:
    expected = lines(copied)
    directory = tmp_path / "interrupted"
    checkpoints = directory / "running"

    class Often(Trainer):
        def train(self, trials: Any, **options: Any) -> Any:
            return super().train(trials, **{**options, "checkpoint_seconds": 0.0})

    with tiny.killed_after(2):
        go_on(directory, pool=InProcess(Often))
    (path,) = checkpoints.glob("*.npz")
    DAMAGES[damage](path)
    capsys.readouterr()
    go_on(directory, pool=HERE)
    assert lines(directory)["V"] == expected["V"]
    assert capsys.readouterr().err == (
        f"{path}: damaged, or of another release; its trial starts again\n"
    )
    assert list(checkpoints.iterdir()) == []


def test_kerastuners_distributed_mode_is_not_a_studys(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, finished: pathlib.Path
) -> None:
    for names in (
        {"KERASTUNER_TUNER_ID": "chief", "KERASTUNER_ORACLE_IP": "127.0.0.1"},
        {"KERASTUNER_TUNER_ID": "tuner3"},
    ):
        for name, value in names.items():
            monkeypatch.setenv(name, value)
        directory = tmp_path / names["KERASTUNER_TUNER_ID"]
        go_on(directory, pool=HERE)
        assert lines(directory)["V"] == lines(finished)["V"]
        assert not set(names) & set(os.environ)
        assert (directory / "keras_tuner" / "V" / "tuner0.json").exists()
