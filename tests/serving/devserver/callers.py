"""Clients that share no code with the server: generated stubs, and Python's own HTTP."""

from __future__ import annotations

import asyncio
import functools
import http.client
import json
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.runtime.session import Session

SECONDS = 300.0
"""How long to wait for what comes at once on a machine that does nothing else."""


class Grpc:
    """The stubs of both services on one channel."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        # A pool of its own: channels of one address would share their connection.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        self.channel = (
            grpc.insecure_channel(address, options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options)
        )
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def __enter__(self) -> Grpc:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def call(self, request: predict_pb2.PredictRequest, timeout: float | None = SECONDS) -> Any:
        return self.prediction.Predict(request, timeout=timeout)

    def predict(self, signature: str, timeout: float = SECONDS, **inputs: Any) -> dict[str, Any]:
        return arrays(self.call(request_for(signature, **inputs), timeout))


def request_for(signature: str, **inputs: Any) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def arrays(response: predict_pb2.PredictResponse) -> dict[str, np.ndarray]:
    return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}


class Held:
    """Keeps requests for the signature `slow` of the servers of this process until `go` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        run = Session.run

        def wait_and_run(session: Session, signature: str, *arguments: Any) -> Any:
            assert signature != "slow" or self.go.wait(SECONDS)
            return run(session, signature, *arguments)

        monkeypatch.setattr(Session, "run", wait_and_run)


def wait_for(condition: Callable[[], object]) -> None:
    """Waits until it is so; never as long as `SECONDS` unless something is broken."""
    turn, end = threading.Event(), time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came"
        turn.wait(0.005)


def looped(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test, which may take fixtures, in an event loop of its own."""

    @functools.wraps(test)
    def run(*arguments: Any, **fixtures: Any) -> None:
        asyncio.run(test(*arguments, **fixtures))

    return run


def rest(
    address: str,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any, http.client.HTTPMessage]:
    """Returns status, body (parsed if it is JSON) and headers."""
    connection = http.client.HTTPConnection(address, timeout=SECONDS)
    try:
        if body is not None and not isinstance(body, str | bytes):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        content: Any = response.read()
        if response.headers.get_content_type() == "application/json":
            content = json.loads(content)
        return response.status, content, response.headers
    finally:
        connection.close()
