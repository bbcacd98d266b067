"""Exports in 8 bits: how near they stay, what measures them, and what their card says."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import keras
import numpy as np
import onnx as onnx_format
import pytest
from ai_edge_litert.interpreter import Interpreter

import zoo
from common.errors import InputError
from serving.clients.local import opened
from serving.clients.streaming import Stream
from serving.convert import conversion, litert, onnx, quantization
from serving.convert.quantization import Quantization
from serving.publish import sources
from tests import commands
from tests.serving import made_up
from tuner.tasks import arrays
from tuner.tasks.measurement import Measurement
from tuner.tasks.sequences import Sequences

FEATURES, OUTPUTS, UNITS = 16, 8, 40
"""Large enough that converters bother: LiteRT leaves tensors below 1,024 numbers as they are."""

CARD = {
    "task": "arrays",
    "head": "bernoulli",
    "metric": {"name": "NLL", "unit": "nats per frame"},
    "validation": 5.25,
    "test": 5.5,
}


def split(seed: int, count: int) -> Sequences:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(5, 12, count)
    inputs = [generator.normal(size=(t, FEATURES)).astype(np.float32) for t in lengths]
    targets = [(generator.random((t, OUTPUTS)) < 0.3).astype(np.float32) for t in lengths]
    return Sequences(tuple(inputs), tuple(targets))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A file of the task `arrays`."""
    path = tmp_path_factory.mktemp("data") / "mine.npz"
    splits = {name: split(seed, 4) for seed, name in enumerate(arrays.SPLITS)}
    arrays.save(path, "bernoulli", splits)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A trained model."""
    folder = tmp_path_factory.mktemp("model") / "best"
    keras.utils.set_random_seed(3)
    cell = zoo.make_cell("V", units=UNITS, peephole_initializer="glorot_uniform")
    made_up.save(folder, zoo.networks.network(cell, FEATURES, OUTPUTS), CARD)
    return folder


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter loops convert sooner."""
    monkeypatch.setattr(conversion, "STEPS", 1)


def nll(sequences: Sequences, logits: list[np.ndarray]) -> float:
    """The metric as the paper writes it: -log p, summed over outputs, a frame."""
    total = 0.0
    for targets, answer in zip(sequences.targets, logits, strict=True):
        probability = 1 / (1 + np.exp(-answer.astype(float)))
        total -= np.log(np.where(targets == 1, probability, 1 - probability)).sum()
    return total / sum(map(len, sequences.targets))


@pytest.mark.parametrize(
    ("file_format", "mode"),
    [
        ("onnx", "dynamic"),
        ("litert", "int8"),
        pytest.param("litert", "dynamic", marks=pytest.mark.slow),
    ],
)
def test_it_is_smaller_stays_near_and_is_measured_again(
    folder: pathlib.Path, data: pathlib.Path, tmp_path: pathlib.Path, file_format: str, mode: str
) -> None:
    path = tmp_path / ("small.onnx" if file_format == "onnx" else "small.tflite")
    measurement = Measurement.of("arrays", str(data))
    if (file_format, mode) == ("litert", "int8"):
        lines = by_command(folder, data, path)
    else:
        convert = onnx.convert if file_format == "onnx" else litert.convert
        wanted = Quantization(mode, measurement)
        lines = convert(sources.from_file(folder / "model.keras"), path, quantization=wanted)

    model = keras.models.load_model(folder / "model.keras")
    test = split(2, 4)
    with opened(path) as small:
        logits = [
            small.predict({"sequence": row[None], "lengths": [len(row)]})["logits"][0]
            for row in test.inputs
        ]
        stream = Stream(small)
        steps = [stream.step(frame[None])["logits"][0] for frame in test.inputs[0]]
    for row, answer in zip(test.inputs, logits, strict=True):
        difference = np.abs(answer - np.asarray(model(row[None]))[0]).mean()
        # Not the trained model itself, and not another one.
        assert 1e-4 < difference < 0.02 < 0.1 < np.abs(answer).mean()
    assert np.abs(np.array(steps) - logits[0]).mean() < 0.02

    card = json.loads((tmp_path / "small.model_card.json").read_text())
    assert card["test"] == pytest.approx(nll(test, logits), rel=1e-5)
    assert "validation" not in card
    assert card["quantization"] == {
        "mode": mode,
        "score": f"measured on the test split of arrays of mine.npz "
        f"[sha256 {measurement.dataset['sha256'][:12]}]",
        "before": {"validation": 5.25, "test": 5.5},
    }
    (line,) = (line for line in lines if line.startswith("test NLL: "))
    assert f"{card['test']:.4f} nats per frame on the test split of arrays of mine.npz" in line
    assert line.endswith("; before quantization 5.5000")
    for file in tmp_path.glob("small*[xe]"):
        size = file.stat().st_size
        assert any(f"{file} ({size / 1e6:.3f} MB" in line for line in lines)
        if file_format == "onnx":
            check_weights(file)
        else:
            tensors = Interpreter(str(file)).get_tensor_details()
            kinds = {t["dtype"] for t in tensors if np.prod(t["shape"]) >= 1024}
            assert kinds == {np.int8}


def by_command(folder: pathlib.Path, data: pathlib.Path, out: pathlib.Path) -> list[str]:
    done = commands.run(
        "serving.export",
        f"--keras_file={folder}/model.keras",
        "--format=litert",
        "--quantize=int8",
        f"--out={out}",
        f"--data={data}",
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def check_weights(file: pathlib.Path) -> None:
    """No matrix is left in floats, neither outside the loop over time nor inside."""
    types, graphs = {}, [onnx_format.load(file).graph]
    while graphs:
        graph = graphs.pop()
        types |= {w.name: w.data_type for w in graph.initializer if np.prod(w.dims) >= 320}
        graphs += [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    assert set(types.values()) == {onnx_format.TensorProto.INT8} and len(types) == 3


def test_without_data_nothing_is_said_of_its_score(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    source, wanted = sources.from_file(folder / "model.keras"), Quantization("dynamic")
    lines = onnx.convert(source, tmp_path / "m.onnx", signatures=["step"], quantization=wanted)
    card = sources.read_card(tmp_path / "m.model_card.json")
    assert card["test"] is None and card["quantization"]["score"] == "not measured"
    assert "test NLL: not measured, --data measures it; before quantization 5.5000" in lines


def test_what_is_broken_is_not_written(
    folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(proto: Any) -> bytes:
        for weight in proto.graph.initializer:
            if weight.dims == [FEATURES, 4 * UNITS]:
                array = -onnx_format.numpy_helper.to_array(weight)
                weight.CopyFrom(onnx_format.numpy_helper.from_array(array, weight.name))
        return proto.SerializeToString()

    monkeypatch.setattr(onnx, "_quantize", broken)
    source = sources.from_file(folder / "model.keras")
    with pytest.raises(InputError, match="signature step: at most 0.2 from the Keras model"):
        wanted = Quantization("dynamic")
        onnx.convert(source, tmp_path / "m.onnx", signatures=["step"], quantization=wanted)
    assert list(tmp_path.iterdir()) == []


def test_features_are_not_made_in_8_bits(folder: pathlib.Path) -> None:
    model = conversion.prepare(sources.from_file(folder / "model.keras"), batch=1, without=())
    endpoints = {**model.endpoints, "audio": model.endpoints["step"]}
    raw = conversion.Conversion(model.model, endpoints, model.described, ("left out: a",))
    kept = quantization.prepare(raw, Quantization("dynamic"))
    assert set(kept.endpoints) == {"serving_default", "step", "chunk"}
    assert kept.left_out == (
        "left out: a",
        "left out: signature audio: its features are not for 8 bits",
    )


def test_other_data_are_refused(folder: pathlib.Path, data: pathlib.Path) -> None:
    measurement = Measurement.of("arrays", str(data))
    with pytest.raises(InputError, match="data of 5 outputs, as the model has. Received: 8, task"):
        measurement.score([np.zeros((3, 5))])
    model = conversion.prepare(sources.from_file(folder / "model.keras"), batch=1, without=())
    model.described["inputs"] = 5
    with pytest.raises(InputError, match="sequences of 5 features, as the model has. Received: 16"):
        quantization.prepare(model, Quantization("dynamic", measurement))


REFUSED = [
    (["--quantize=dynamic"], "--quantize: expected --format=onnx or litert with it: TF Serv"),
    (["--format=onnx", "--quantize=int8"], "--quantize: expected dynamic with --format=onnx, wh"),
    (["--format=litert", "--quantize=int8"], "--quantize: expected --data with int8, whose scales"),
    (["--format=onnx", "--data=auto"], "--data: expected together with --quantize. Received: auto"),
    (
        ["--format=onnx", "--quantize=dynamic", "--task=music"],
        "--task: expected together with --data. Received: music",
    ),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
def test_what_makes_no_sense_is_refused(arguments: list[str], said: str) -> None:
    out = "--out=a" if len(arguments) > 1 else "--model_base_path=a"
    done = commands.run("serving.export", "--pretrained=music-V", out, *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"error: {said}") and done.stderr.count("\n") == 1
