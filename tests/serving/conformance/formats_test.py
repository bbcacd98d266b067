"""ONNX Runtime and LiteRT against Keras: what converts, not what a variant computes."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

import zoo
from common.errors import InputError
from serving.clients.errors import ServingError
from serving.clients.local import opened
from serving.clients.ragged import predict_sequences
from serving.clients.streaming import Stream
from serving.convert import conversion, litert, onnx
from serving.publish import sources
from serving.runtime.litert import LiteRTModel
from serving.runtime.onnx import OnnxModel
from tests.serving import made_up
from tests.serving.conformance.exported import STATES, Exported, after, by_keras

SHAPES = [(1, 1), (3, 9)]


def variants(default: str) -> pytest.MarkDecorator:
    """All variants, one of them by default: no variant has an operation of its own."""
    return pytest.mark.parametrize(
        "code",
        [
            code if code == default else pytest.param(code, marks=pytest.mark.slow)
            for code in zoo.list_variants()
        ],
    )


@pytest.fixture(scope="module")
def sequence() -> np.ndarray:
    shape = (3, 9, made_up.FEATURES)
    return np.random.default_rng(2).normal(size=shape).astype(np.float32)


def check(run, by_frame: dict[str, np.ndarray], sequence: np.ndarray, chunks: bool) -> None:
    """Compares sequences, steps, and chunks with Keras."""
    batch, time = sequence.shape[:2]
    lengths = np.array([time, 0, time // 2], np.int32)[:batch]
    names = [name for name in STATES if name in by_frame]
    whole = run("serving_default", sequence=sequence, lengths=lengths)
    assert set(whole) == {"logits", *names}
    counted = np.arange(time)[None] < lengths[:, None]
    logits = by_frame["logits"][:batch, :time]
    np.testing.assert_allclose(whole["logits"][counted], logits[counted], atol=1e-6)
    for name in names:
        last = after(by_frame[name][:batch], lengths)
        np.testing.assert_allclose(whole[name], last, atol=2e-6)
    states = {name: np.zeros((batch, by_frame[name].shape[-1]), np.float32) for name in names}
    for frame in range(time):
        answer = run("step", frame=sequence[:, frame], **states)
        assert set(answer) == {"logits", *(f"next_{name}" for name in names)}
        np.testing.assert_allclose(answer["logits"], logits[:, frame], atol=1e-6)
        states = {name: answer[f"next_{name}"] for name in names}
    if chunks:
        states = {name: by_frame[name][:batch, 0] for name in names}
        lengths = np.maximum(lengths - 1, 0)
        answer = run("chunk", sequence=sequence[:, 1:], lengths=lengths, **states)
        np.testing.assert_allclose(answer["logits"][0], logits[0, 1:], atol=1e-6)
        np.testing.assert_allclose(answer["next_h"][0], by_frame["h"][0, time - 1], atol=1e-6)


def check_clients(
    model: OnnxModel | LiteRTModel, by_frame: dict[str, np.ndarray], sequence: np.ndarray
) -> None:
    """Sequences of several lengths, a stream, and what is refused."""
    lengths = (9, 4, 1)
    rows = [row[:length] for row, length in zip(sequence, lengths, strict=True)]
    for row, answer in enumerate(predict_sequences(model, rows)):
        logits = by_frame["logits"][row, : lengths[row]]
        np.testing.assert_allclose(answer["logits"], logits, atol=1e-6)
    stream = Stream(model)
    for time in range(3):
        logits = stream.step(sequence[:1, time])["logits"]
        np.testing.assert_allclose(logits, by_frame["logits"][:1, time], atol=1e-6)
    with pytest.raises(ServingError, match="one of the signatures") as caught:
        model.predict({}, "walk")
    assert caught.value.code == "INVALID_ARGUMENT"
    model.close()
    with pytest.raises(ServingError, match="the model is closed") as caught:
        stream.step(sequence[:1, 0])
    assert caught.value.code == "CANCELLED"


@variants("V")
def test_onnx_answers_as_keras_does(
    exported: Exported,
    sequence: np.ndarray,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
) -> None:
    # tf2onnx takes its time for large loops; and for chunks, which are the same loop.
    monkeypatch.setattr(conversion, "STEPS", 2 if code == "V" else 1)
    chunks = code == "V"
    if not chunks:
        found = conversion.endpoints
        monkeypatch.setattr(
            conversion,
            "endpoints",
            lambda *arguments: {n: e for n, e in found(*arguments).items() if n != "chunk"},
        )
    onnx.convert(sources.from_file(exported.keras_file(code)), tmp_path / "model.onnx")

    names = {"serving_default", "step", *(["chunk"] if chunks else [])}
    model = OnnxModel(tmp_path / "model.onnx")
    assert set(model.signatures()) == names
    assert set(OnnxModel(tmp_path / "model.step.onnx").signatures()) == names

    def run(name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        return model.predict(inputs, name)

    by_frame = by_keras(exported.model(code), sequence)
    for batch, time in SHAPES:
        check(run, by_frame, sequence[:batch, :time], chunks and time > 1)
    check_clients(model, by_frame, sequence)
    card = json.loads((tmp_path / "model.model_card.json").read_text())
    assert card["variant"] == code and card["validation"] == 9.0


@variants("FGR")  # Three states, where V has two.
def test_litert_answers_as_keras_does(
    exported: Exported,
    sequence: np.ndarray,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
) -> None:
    monkeypatch.setattr(conversion, "STEPS", 2 if code == "V" else 1)
    path = tmp_path / "model.tflite"
    litert.convert(sources.from_file(exported.keras_file(code)), path)
    model = LiteRTModel(path)
    assert set(model.signatures()) == {"serving_default", "step", "chunk"}

    def run(name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        return model.predict(inputs, name)

    by_frame = by_keras(exported.model(code), sequence)
    alone = {name: value[:1] for name, value in by_frame.items()}
    for time in (1, 9):
        check(run, alone, sequence[:1, :time], time > 1)
    check_clients(model, by_frame, sequence)


@pytest.mark.parametrize("name", ["model.onnx", "model.tflite"])
def test_a_file_that_is_none_is_one_line(name: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / name
    for content in (b"", b"\x00" * 99, b"version https://git-lfs.github.com/spec/v1"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="expected a file that .* loads. Rec") as caught:
            opened(path).__enter__()
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_not_there_are_one_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match=r"the files model\.serving_default\.onnx and so on"):
        OnnxModel(tmp_path / "model.onnx")


def test_a_file_of_keras_is_exported_first(exported: Exported, sequence: np.ndarray) -> None:
    inputs = {"sequence": sequence, "lengths": [9, 9, 9]}
    with opened(exported.keras_file("V")) as model, opened(exported.version("V")) as other:
        answer, wanted = model.predict(inputs), other.predict(inputs)
    for name, value in wanted.items():
        np.testing.assert_array_equal(answer[name], value)
