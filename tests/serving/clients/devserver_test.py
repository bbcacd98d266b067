"""All ways to ask an exported model give one answer: gRPC, REST, and in this process."""

from __future__ import annotations

import json
import threading
import wave

import keras
import numpy as np
import pytest

import zoo
from serving.client import Client, ServingError
from serving.clients.local import LocalModel
from serving.clients.ragged import predict_sequences
from serving.clients.streaming import Stream
from serving.devserver import launch
from serving.devserver.settings import Batching, Loading, ModelConfig, Settings
from serving.publish import versions
from tests import commands

PHONES = ("h#", "iy", "\u0259", "s")
LETTERS = ("a", "b", " ", "\u00e9")
WAYS = ("grpc", "rest", "local")


def _save(folder, raw, head, labels, frontend, *, bidirectional):
    """A model and its card, as a study leaves them."""
    cell = zoo.make_cell("V", units=6, unit_forget_bias=False)
    outputs = len(labels) + (head == "ctc")
    inputs = len(frontend.mean)
    model = zoo.networks.network(cell, inputs, outputs, bidirectional=bidirectional)
    generator = np.random.default_rng(len(raw))
    model.set_weights([generator.normal(scale=0.8, size=w.shape) for w in model.weights])
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    frontend = keras.saving.serialize_keras_object(frontend)
    card = {"variant": "V", "head": head, "labels": labels, "frontend": frontend}
    (folder / "card.json").write_text(json.dumps({**card, "validation": 1.0}))


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Speech that reads forward, with classes; handwriting that reads both ways, with text."""
    root = tmp_path_factory.mktemp("models")
    generator = np.random.default_rng(3)
    mfcc = zoo.frontends.MFCC(
        mean=generator.normal(scale=3, size=39).tolist(),
        variance=generator.uniform(5, 90, size=39).tolist(),
    )
    pen = zoo.frontends.PenStrokes(mean=[0.5, -0.25, 0.1, 0.1], variance=[9, 4, 0.02, 0.1])
    _save(root / "a", "audio", "softmax", PHONES, mfcc, bidirectional=False)
    _save(root / "b", "strokes", "ctc", LETTERS, pen, bidirectional=True)
    for name, source in (("speech", "a"), ("handwriting", "b")):
        versions.publish(root / source, root / name)
    return {name: root / name for name in ("speech", "handwriting")}


@pytest.fixture(scope="module")
def server(bases):
    batching = Batching(
        max_batch_size=8, batch_timeout_micros=1000, pad_variable_length_inputs=True
    )
    settings = Settings(
        tuple(ModelConfig(name, base) for name, base in bases.items()),
        loading=Loading(warmup=False, batching=batching),
        grpc_port=0,
        rest_port=0,
    )
    with launch.running(settings) as running:
        yield running


@pytest.fixture(scope="module")
def asked(bases, server):
    """Every model by every way."""
    addresses = {"grpc": server.grpc_address, "rest": f"http://{server.rest_address}"}
    found = {(name, "local"): LocalModel(base) for name, base in bases.items()}
    for way, address in addresses.items():
        found |= {(name, way): Client(address, name, timeout=300) for name in bases}
    yield found
    for predictor in found.values():
        predictor.close()


def _assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        value, wanted = np.asarray(value), np.asarray(other[name])
        assert (value.dtype.kind, value.shape) == (wanted.dtype.kind, wanted.shape), name
        if value.dtype.kind == "f":
            np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6, err_msg=name)
        else:
            assert value.tolist() == wanted.tolist()


@pytest.mark.parametrize("name", ["speech", "handwriting"])
def test_signatures_are_those_of_the_export(asked, name):
    local = asked[name, "local"].signatures()
    for way in ("grpc", "rest"):
        assert asked[name, way].signatures() == local
    raw = {"speech": "audio", "handwriting": "strokes"}[name]
    streaming = {"step", "chunk"} if name == "speech" else set()
    assert local.keys() == {"serving_default", raw} | streaming


@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_raw_sequences_of_different_lengths(asked, way):
    generator = np.random.default_rng(5)
    audio = [generator.normal(scale=2000, size=n).astype(np.float32) for n in (1600, 399, 900)]
    strokes = [generator.normal(size=(n, 4)).cumsum(0).astype(np.float32) for n in (21, 1, 8)]
    for name, signature, sequences in (
        ("speech", "audio", audio),
        ("handwriting", "strokes", strokes),
    ):
        answers = asked[name, way].predict_sequences(sequences, signature)
        for sequence, answer in zip(sequences, answers, strict=True):
            (alone,) = predict_sequences(asked[name, "local"], [sequence], signature)
            _assert_equal(answer, alone)
            assert len(answer["logits"]) == answer["frames"]


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_is_the_whole_sequence(asked, way):
    predictor = asked["speech", way]
    frames = np.random.default_rng(6).normal(size=(2, 7, 39)).astype(np.float32)
    whole = predictor.predict({"sequence": frames, "lengths": [7, 7]})
    stream = Stream(predictor, batch=2)
    steps = [stream.step(frames[:, time]) for time in range(4)]
    rest = stream.chunk(frames[:, 4:])
    logits = np.concatenate([np.stack([one["logits"] for one in steps], 1), rest["logits"]], 1)
    np.testing.assert_allclose(logits, whole["logits"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stream.states["c"], whole["c"], rtol=1e-5, atol=1e-6)
    classes = np.concatenate([np.stack([one["classes"] for one in steps], 1), rest["classes"]], 1)
    assert classes.tolist() == whole["classes"].tolist()


def test_requests_that_the_server_batches_come_back_whole(asked):
    """Threads with sequences of different lengths, which the server pads and puts together."""
    client, local = asked["speech", "grpc"], asked["speech", "local"]
    generator = np.random.default_rng(7)
    # Of two queues: each is a graph of its own, which takes half a second to prepare.
    lengths = (17, 9, 18, 10, 19, 9, 20, 10)
    sequences = [generator.normal(size=(n, 39)).astype(np.float32) for n in lengths]
    start = threading.Barrier(len(sequences))
    answers = {}

    def ask(index):
        start.wait(300)
        answers[index] = client.predict_sequences([sequences[index]])[0]

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(sequences))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for index, sequence in enumerate(sequences):
        _assert_equal(answers[index], predict_sequences(local, [sequence])[0])


@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_status_and_errors(asked, server, way):
    client = asked["speech", way]
    (status,) = client.status()
    assert (status.version, status.state, status.code) == (1, "AVAILABLE", "OK")
    address = server.grpc_address if way == "grpc" else f"http://{server.rest_address}"
    with (
        Client(address, "speech", version=7) as other,
        pytest.raises(ServingError, match="Specific.speech, 7.") as caught,
    ):
        other.signatures()
    assert caught.value.code == "NOT_FOUND"
    assert "\n" not in str(caught.value)


def test_the_command_hears_and_reads(bases, server, tmp_path):
    with wave.open(str(tmp_path / "hello.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        noise = np.random.default_rng(8).normal(scale=2000, size=4000)
        file.writeframes(noise.astype("<i2").tobytes())
    (tmp_path / "line.inkml").write_text(
        "<ink><trace>0 0,3 4,9 9,4 1</trace><trace>8 8,7 7</trace></ink>"
    )
    rest = f"--address=http://{server.rest_address}"
    heard, read = (
        commands.run("serving.client", *arguments).stdout.splitlines()
        for arguments in (
            [rest, "--model=speech", f"--input={tmp_path}/hello.wav"],
            [f"--local={bases['handwriting']}", f"--input={tmp_path}/line.inkml"],
        )
    )
    assert heard[0].endswith("hello.wav: 0.25 s, 23 frames")
    assert {line.split()[2] for line in heard[1:]} <= set(PHONES)
    assert heard[-1].split()[1] == "0.23"
    assert read[0].endswith("line.inkml: 2 strokes, 6 points, 0.19 s")
    assert set(read[1].removeprefix("text: ")) <= set("".join(LETTERS))
