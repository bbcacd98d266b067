"""Where a model comes from, and every way to name one that cannot be exported."""

from __future__ import annotations

import json
import pathlib

import keras
import pytest

import zoo
from common.errors import InputError
from serving.convert import conversion
from serving.graph.inference import Network
from serving.publish import sources, versions
from tests.serving import made_up


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("study")
    made_up.make_study(directory, {"V": 9.0, "NP": 8.5, "FGR": 8.75})
    # What a killed process may leave.
    (directory / "best" / ".tmp-x").mkdir()
    (directory / "best" / ".tmp-x" / "card.json").write_text('{"validation": 1.0}')
    return directory


def choose(**given: str | None) -> sources.Source:
    nothing = dict.fromkeys(("study_directory", "variant", "keras_file", "pretrained"))
    return sources.choose(**{**nothing, **given})


def test_the_best_of_a_study_is_chosen_by_validation(study: pathlib.Path) -> None:
    assert sources.find_best(study).name == "NP"
    assert sources.find_best(study, "FGR").name == "FGR"
    source = choose(study_directory=str(study), variant="V")
    assert source.keras_file == study / "best" / "V" / "model.keras"
    assert source.card["variant"] == "V" and source.origin == "study"
    assert source.study_sha256 == sources.study_sha256(made_up.STUDY)


def test_a_file_may_have_a_card(study: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "mine.keras"
    path.write_bytes((study / "best" / "V" / "model.keras").read_bytes())
    bare = choose(keras_file=str(path))
    assert (bare.card, bare.study_sha256, bare.origin) == ({}, "", "file")
    (tmp_path / "card.json").write_text('{"task": "mine"}')
    assert choose(keras_file=str(path)).card == {"task": "mine"}


def test_the_package_brings_models(study: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> pathlib.Path:
        if name != "made-up-V":
            raise ValueError(f"Expected made-up-V, got {name!r}.")
        return study / "best" / "V"

    monkeypatch.setattr(zoo.pretrained, "find", find)
    assert choose(pretrained="made-up-V").origin == "pretrained"
    with pytest.raises(InputError, match="--pretrained: Expected made-up-V, got 'x'"):
        choose(pretrained="x")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "expected exactly one of them. Received: none"),
        (
            {"study_directory": ".", "pretrained": "x"},
            "exactly one of them. Received: --study_dir and --pretrained",
        ),
        ({"keras_file": "nowhere.keras"}, "--keras_file: .*nowhere.keras .no such file"),
        ({"keras_file": "study.json"}, "--keras_file: .*study.json .a name that ends otherwise"),
        ({"keras_file": "x.keras", "variant": "V"}, "--variant: expected together with --study_d"),
        ({"study_directory": "nowhere"}, "nowhere"),
        (
            {"study_directory": "", "variant": "NIG"},
            "--variant: .* best or one of FGR, NP, V",
        ),
    ],
)
def test_what_is_not_there_is_one_line(
    study: pathlib.Path, given: dict[str, str], named: str
) -> None:
    paths = {k: str(study / v) for k, v in given.items() if k in ("study_directory", "keras_file")}
    with pytest.raises(InputError, match=named) as caught:
        choose(**{**given, **paths})
    assert "\n" not in str(caught.value)


def _named(recurrent: keras.layers.Layer, outputs: keras.layers.Layer) -> keras.Model:
    sequence = keras.Input((None, made_up.FEATURES))
    return keras.Model(sequence, outputs(recurrent(sequence)))


def _dense() -> keras.layers.Layer:
    return keras.layers.Dense(2, name="logits")


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (
            lambda: keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]),
            "expected the layers recurrent and logits .* Received: dense",
        ),
        (
            lambda: _named(keras.layers.LSTM(4, return_sequences=True, name="recurrent"), _dense()),
            "expected a cell of the zoo in `recurrent`. Received: LSTMCell",
        ),
        (
            lambda: _named(zoo.RNN(zoo.VanillaCell(4), name="recurrent"), _dense()),
            "expected a layer `recurrent` that returns sequences",
        ),
        (
            lambda: _named(
                zoo.RNN(
                    zoo.VanillaCell(4), return_sequences=True, go_backwards=True, name="recurrent"
                ),
                _dense(),
            ),
            "expected a layer `recurrent` that reads forward",
        ),
        (
            lambda: _named(
                keras.layers.Bidirectional(
                    zoo.RNN(zoo.VanillaCell(4), return_sequences=True),
                    merge_mode="sum",
                    name="recurrent",
                ),
                _dense(),
            ),
            'merge_mode="concat"',
        ),
        (
            lambda: _named(
                zoo.RNN(zoo.VanillaCell(4), return_sequences=True, name="recurrent"),
                keras.layers.Activation("tanh", name="logits"),
            ),
            "expected a dense layer `logits`. Received: Activation",
        ),
        (
            lambda: _named(
                zoo.RNN(
                    zoo.VanillaCell(4, dtype="float64"),
                    return_sequences=True,
                    dtype="float64",
                    name="recurrent",
                ),
                _dense(),
            ),
            "expected a model that computes in float32. Received: float64",
        ),
    ],
)
def test_another_model_is_refused_in_one_line(make, named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        Network.of(make(), "model.keras")
    assert str(caught.value).startswith("model.keras: ") and "\n" not in str(caught.value)


def test_a_file_that_keras_cannot_load_is_one_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / "model.keras").write_text("nothing")
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(InputError, match="model.keras: expected a model that Keras") as caught:
        versions.load(sources.from_folder(tmp_path))
    assert "\n" not in str(caught.value)
    (tmp_path / "card.json").write_text(json.dumps([]))
    with pytest.raises(InputError, match="expected a JSON object. Received: list"):
        sources.from_folder(tmp_path)
    (tmp_path / "card.json").unlink()
    with pytest.raises(InputError, match="No card.json"):
        sources.from_folder(tmp_path)


def test_a_format_whose_package_is_missing_is_one_line() -> None:
    with pytest.raises(InputError, match=r"--format=onnx: .*nowhere_at_all \(the extra \[onnx\]\)"):
        conversion.require("nowhere_at_all", "onnx")
