"""What of networks with a front end or with labels goes to ONNX Runtime and LiteRT."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import onnxruntime
import pytest

import zoo
from common.errors import InputError
from serving.convert import conversion, litert, onnx
from serving.graph import signatures
from serving.graph.inference import Network
from serving.publish import sources
from tests.serving import made_up


def _source(
    folder: pathlib.Path, frontend: keras.layers.Layer, head: str, *, bidirectional: bool = True
) -> sources.Source:
    cell = zoo.make_cell("V", units=made_up.UNITS, unit_forget_bias=False)
    labels = ["a", "é", "c"]
    inputs, outputs = (
        frontend.compute_output_spec(
            keras.KerasTensor((None, None, *frontend.raw_shape)), keras.KerasTensor((None,))
        )[0].shape[-1],
        len(labels) + (head == "ctc"),
    )
    model = zoo.networks.network(cell, inputs, outputs, bidirectional=bidirectional)
    generator = np.random.default_rng(8)
    model.set_weights([generator.normal(scale=0.4, size=w.shape) for w in model.weights])
    card = {
        "head": head,
        "labels": labels,
        "frontend": keras.saving.serialize_keras_object(frontend),
    }
    made_up.save(folder, model, card)
    return sources.from_folder(folder)


@pytest.fixture(autouse=True)
def little_to_convert(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops of a step, and no streams, which the conformance tests convert: tf2onnx is slow."""
    monkeypatch.setattr(conversion, "STEPS", 1)
    found = conversion.endpoints
    monkeypatch.setattr(
        conversion,
        "endpoints",
        lambda *arguments: {
            name: endpoint
            for name, endpoint in found(*arguments).items()
            if name not in ("step", "chunk")
        },
    )


def only(monkeypatch: pytest.MonkeyPatch, **names: str) -> None:
    """Leaves a network these signatures, each by the name of the one that it is in truth."""

    def endpoints(network: Network, *_: object) -> dict[str, signatures.Endpoint]:
        found = signatures.endpoints(network, signatures.Meaning())
        return {name: found[truth] for name, truth in names.items()}

    monkeypatch.setattr(conversion, "endpoints", endpoints)


def test_speech_in_onnx_has_classes_and_no_audio(tmp_path: pathlib.Path) -> None:
    source = _source(tmp_path / "best", zoo.frontends.MFCC(), "softmax", bidirectional=False)
    lines = onnx.convert(source, tmp_path / "speech.onnx")
    assert "left out: signature audio: ONNX has no operation Imag, RFFT, Real" in lines
    (path,) = tmp_path.glob("*.onnx")
    assert path.name == "speech.serving_default.onnx"
    session = onnxruntime.InferenceSession(path)
    outputs = [output.name for output in session.get_outputs()]
    sequence = np.random.default_rng(1).normal(size=(2, 5, 39)).astype(np.float32)
    lengths = np.array([5, 2], np.int32)
    found = session.run(outputs, {"sequence": sequence, "lengths": lengths})
    answer = dict(zip(outputs, found, strict=True))
    best = np.argmax(answer["logits"], -1)
    named = [["a", "é", "c"][label] for label in best[1, :2]]
    assert answer["classes"][1].tolist() == [*named, "", "", ""]


@pytest.mark.slow
def test_handwriting_in_onnx_has_strokes_and_no_text(tmp_path: pathlib.Path) -> None:
    source = _source(tmp_path / "best", zoo.frontends.PenStrokes(), "ctc")
    lines = onnx.convert(source, tmp_path / "ink.onnx")
    assert "left out: output text, strings that the format cannot make" in lines
    names = sorted(path.name for path in tmp_path.glob("*.onnx"))
    assert names == ["ink.serving_default.onnx", "ink.strokes.onnx"]


@pytest.mark.parametrize(
    ("frontend", "head", "left_out"),
    [
        # Each front end and each format once; the others are slow.
        pytest.param(
            zoo.frontends.MFCC(), "softmax", "classes", id="audio", marks=pytest.mark.slow
        ),
        pytest.param(zoo.frontends.PenStrokes(), "ctc", "text", id="strokes"),
    ],
)
def test_litert_takes_raw_input_and_makes_no_strings(
    tmp_path: pathlib.Path, frontend: keras.layers.Layer, head: str, left_out: str
) -> None:
    source = _source(tmp_path / "best", frontend, head)
    # It compares the answers to raw input with those of the layers.
    lines = litert.convert(source, tmp_path / "model.tflite")
    assert f"left out: output {left_out}, strings that the format cannot make" in lines
    assert sorted(path.name for path in tmp_path.glob("model.*")) == [
        "model.model_card.json",
        "model.tflite",
    ]


def test_what_differs_from_the_model_is_not_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up.save(tmp_path / "best", made_up.make_network("V", 1), {})
    source = sources.from_folder(tmp_path / "best")
    only(monkeypatch, step="step")
    true = onnx._runner

    def spoiled(content: bytes) -> conversion.Runner:
        run = true(content)
        return lambda request: {name: value + 1e-4 for name, value in run(request).items()}

    monkeypatch.setattr(onnx, "_runner", spoiled)
    with pytest.raises(InputError, match="step: at most 1e-05 .* Received: 0.0001"):
        onnx.convert(source, tmp_path / "model.onnx")
    assert not list(tmp_path.glob("model*"))


def test_a_model_that_does_not_convert_is_one_line(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up.save(tmp_path / "best", made_up.make_network("V", 1), {})
    source = sources.from_folder(tmp_path / "best")
    only(monkeypatch, serving_default="step")
    monkeypatch.setattr(onnx, "_unknown_operations", lambda proto: ["Odd"])
    with pytest.raises(InputError, match="serving_default: ONNX has no operation Odd"):
        onnx.convert(source, tmp_path / "model.onnx")
