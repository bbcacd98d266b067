"""A real tensorflow_model_server, where there is one.

Set `TF_SERVING_ADDRESS=host:port` (gRPC) for a server that serves the model `conformance` already
(of this test's fixture: variant V), or have `tensorflow_model_server` in the PATH.
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
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.serving import made_up
from tests.serving.conformance.exported import Exported, by_keras

BINARY, ADDRESS = "tensorflow_model_server", "TF_SERVING_ADDRESS"
MODEL = "conformance"
SECONDS = 120


@pytest.fixture(scope="module")
def channel(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    address, binary = os.environ.get(ADDRESS), shutil.which(BINARY)
    if not address and not binary:
        pytest.skip(f"no {BINARY} in the PATH, and {ADDRESS} is not set")
    if address:
        with grpc.insecure_channel(address) as channel:
            yield channel
        return
    folder = tmp_path_factory.mktemp("server")
    shutil.copytree(exported.version("V"), folder / MODEL / "1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--port={port}",
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
            yield channel
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


def call(channel: grpc.Channel, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = MODEL
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = stub.Predict(request, timeout=SECONDS)
    return {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}


def test_the_real_server_answers_as_keras_does(channel: grpc.Channel, exported: Exported) -> None:
    sequence = np.random.default_rng(7).normal(size=(3, 8, made_up.FEATURES)).astype(np.float32)
    expected = by_keras(exported.model("V"), sequence)
    lengths = np.array([8, 3, 0], np.int32)
    whole = call(channel, "serving_default", sequence=sequence, lengths=lengths)
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(
            whole["logits"][row, :length], expected["logits"][row, :length], atol=1e-6
        )
    states = {name: np.zeros((3, made_up.UNITS), np.float32) for name in ("h", "c")}
    for frame in range(8):
        answer = call(channel, "step", frame=sequence[:, frame], **states)
        np.testing.assert_allclose(answer["logits"], expected["logits"][:, frame], atol=1e-6)
        states = {name: answer[f"next_{name}"] for name in states}
    np.testing.assert_allclose(whole["h"][0], states["h"][0], atol=1e-6)
