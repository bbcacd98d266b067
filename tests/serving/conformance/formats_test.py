"""ONNX Runtime and LiteRT against Keras: what converts, not what a variant computes."""

from __future__ import annotations

import json
import pathlib

import ai_edge_litert.interpreter
import numpy as np
import onnxruntime
import pytest

import zoo
from serving import sources
from serving.formats import conversion, litert, onnx
from tests.serving import made_up
from tests.serving.conformance.exported import STATES, Exported, after, by_keras

SHAPES = [(1, 1), (3, 9)]

# Two states and three; a single variant has no operation of its own.
CODES = [
    code if code in ("V", "FGR") else pytest.param(code, marks=pytest.mark.slow)
    for code in zoo.list_variants()
]


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


@pytest.mark.parametrize("code", CODES)
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

    sessions = {
        path.name.split(".")[1]: onnxruntime.InferenceSession(path)
        for path in tmp_path.glob("model.*.onnx")
    }
    assert set(sessions) == {"serving_default", "step", *(["chunk"] if chunks else [])}

    def run(name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        outputs = [output.name for output in sessions[name].get_outputs()]
        return dict(zip(outputs, sessions[name].run(outputs, inputs), strict=True))

    by_frame = by_keras(exported.model(code), sequence)
    for batch, time in SHAPES:
        check(run, by_frame, sequence[:batch, :time], chunks and time > 1)
    card = json.loads((tmp_path / "model.model_card.json").read_text())
    assert card["variant"] == code and card["validation"] == 9.0


@pytest.mark.parametrize("code", CODES)
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
    interpreter = ai_edge_litert.interpreter.Interpreter(str(path))
    runners = {
        name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()
    }
    assert set(runners) == {"serving_default", "step", "chunk"}

    def run(name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        return dict(runners[name](**inputs))

    by_frame = by_keras(exported.model(code), sequence[:1])
    for time in (1, 9):
        check(run, by_frame, sequence[:1, :time], time > 1)
