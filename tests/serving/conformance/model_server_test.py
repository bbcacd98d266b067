"""A real tensorflow_model_server, where there is one: the stock stubs, and our clients.

It serves the model `music`, which `serving.export --pretrained=music-V` makes. Have
`tensorflow_model_server` in the PATH, or set `TF_SERVING_ADDRESS=host:port` for one that serves it
already (gRPC; and `TF_SERVING_REST_ADDRESS=http://host:port` if REST is to be asked, too), as
`.github/workflows/serving.yml` does with the image.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.client import Client
from serving.clients.errors import ServingError
from serving.composer import sampling
from serving.publish import sources, versions
from tests.serving.conformance.exported import by_keras

BINARY, ADDRESS, REST_ADDRESS = (
    "tensorflow_model_server",
    "TF_SERVING_ADDRESS",
    "TF_SERVING_REST_ADDRESS",
)
MODEL = "music"
SOURCE = "music-V"
SECONDS = 120


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where the server is, by protocol."""
    address, binary = os.environ.get(ADDRESS), shutil.which(BINARY)
    if not address and not binary:
        pytest.skip(f"no {BINARY} in the PATH, and {ADDRESS} is not set")
    if address:
        yield {"grpc": address, "rest": os.environ.get(REST_ADDRESS, "")}
        return
    folder = tmp_path_factory.mktemp("server")
    versions.publish(sources.from_pretrained(SOURCE), folder / MODEL)
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        port, rest_port = (free.getsockname()[1] for free in (one, other))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--port={port}",
                f"--rest_api_port={rest_port}",
                f"--model_name={MODEL}",
                f"--model_base_path={folder / MODEL}",
                "--enable_batching",
                "--enable_per_model_batching_parameters",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(SECONDS)
            _wait_until_loaded(channel, folder / "log")
        yield {"grpc": f"127.0.0.1:{port}", "rest": f"http://127.0.0.1:{rest_port}"}
    finally:
        process.terminate()
        process.wait(SECONDS)


def _wait_until_loaded(channel: grpc.Channel, log: pathlib.Path) -> None:
    """Asks until the model, its warm-up included, is available; the server has no event for it."""
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = MODEL
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            states = stub.GetModelStatus(request, timeout=10).model_version_status
        except grpc.RpcError:
            states = []
        if any(
            status.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE for status in states
        ):
            return
        time.sleep(0.2)
    raise TimeoutError(log.read_text()[-2_000:])


@pytest.fixture
def client(addresses: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Client]:
    """Our client, over the protocol that is asked for."""
    if not addresses[request.param]:
        pytest.skip(f"{REST_ADDRESS} is not set")
    with Client(addresses[request.param], MODEL) as client:
        yield client


BOTH = pytest.mark.parametrize("client", ["grpc", "rest"], indirect=True)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return keras.models.load_model(sources.from_pretrained(SOURCE).keras_file)


@pytest.fixture(scope="module")
def sequence() -> np.ndarray:
    return (np.random.default_rng(7).random((3, 8, 88)) < 0.05).astype(np.float32)


@pytest.fixture(scope="module")
def expected(model: keras.Model, sequence: np.ndarray) -> dict[str, np.ndarray]:
    return by_keras(model, sequence)


LENGTHS = np.array([8, 3, 0], np.int32)


def call(address: str, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = MODEL
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(request, timeout=SECONDS)
    return {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}


def test_the_stock_stubs_are_answered_as_keras_does(
    addresses: dict[str, str], sequence: np.ndarray, expected: dict[str, np.ndarray]
) -> None:
    address = addresses["grpc"]
    whole = call(address, "serving_default", sequence=sequence, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(
            whole["logits"][row, :length], expected["logits"][row, :length], atol=1e-5
        )
    states = {name: np.zeros_like(whole[name]) for name in ("h", "c")}
    for frame in range(8):
        answer = call(address, "step", frame=sequence[:, frame], **states)
        np.testing.assert_allclose(answer["logits"], expected["logits"][:, frame], atol=1e-5)
        states = {name: answer[f"next_{name}"] for name in states}
    np.testing.assert_allclose(whole["h"][0], states["h"][0], atol=1e-5)


@BOTH
def test_our_client_reads_sequences_and_streams(
    client: Client, sequence: np.ndarray, expected: dict[str, np.ndarray]
) -> None:
    assert set(client.signatures()) == {"serving_default", "step", "chunk"}
    rows = [row[:length] for row, length in zip(sequence, (8, 3, 1), strict=True)]
    for row, answer in enumerate(client.predict_sequences(rows)):
        logits = expected["logits"][row, : len(rows[row])]
        np.testing.assert_allclose(answer["logits"], logits, atol=1e-5)
    stream = client.stream()
    for frame in range(3):
        logits = stream.step(sequence[:1, frame])["logits"]
        np.testing.assert_allclose(logits, expected["logits"][:1, frame], atol=1e-5)
    piece = sampling.compose(client, sampling.chord(), sampling.Settings(frames=8, seed=4))
    assert piece.roll.shape == (9, 88)


@BOTH
def test_our_client_tells_what_the_server_refuses(client: Client, sequence: np.ndarray) -> None:
    with pytest.raises(ServingError) as caught:
        client.predict({"sequence": sequence, "lengths": LENGTHS[:2]})
    assert caught.value.code == "INVALID_ARGUMENT"
    assert [status.state for status in client.status()] == ["AVAILABLE"]
