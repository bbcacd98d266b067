"""Clients that share no code with the server: generated stubs, and Python's own HTTP."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

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

from serving.devserver.launch import Running, running
from serving.devserver.models import Models, Target
from serving.devserver.settings import ModelConfig, Settings
from serving.runtime.c_api import Failure
from serving.runtime.session import Session
from serving.runtime.status import Code
from tests.serving.devserver import small_models

FRAME, H = np.random.default_rng(0).normal(size=(2, 3, small_models.FEATURES)).astype(np.float32)
SECONDS = 300.0
"""How long to wait for what comes at once on a machine that does nothing else."""


class Grpc:
    """The stubs of both services on one channel."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        # A pool of its own: channels of one address would share their connection.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        secure = credentials and grpc.secure_channel(address, credentials, options)
        self.channel = secure or grpc.insecure_channel(address, options)
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

    def version(self, **which: Any) -> int:
        """Returns the version that answers a request for a step."""
        return self.call(step_for(**which)).model_spec.version.value


@contextlib.contextmanager
def serving(base: Path, **settings: Any) -> Iterator[tuple[Running, Grpc]]:
    """Serves the versions in a folder as the model m, unless `settings` have other models."""
    settings = {"models": (ModelConfig("m", base),), **settings}
    with running(Settings(**settings)) as server, Grpc(server.grpc_address) as client:
        yield server, client


@contextlib.contextmanager
def process(
    base: Path, *flags: str, **options: Any
) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Starts the command as its users do; yields the process, and its addresses when it serves."""
    command = [sys.executable, "-m", "serving.server", "--model_name=m", "--free_ports"]
    command += [f"--model_base_path={base}", *flags]
    options |= {"stdout": subprocess.PIPE, "env": os.environ | {"PYTHONUNBUFFERED": "1"}}
    with subprocess.Popen(command, text=True, **options) as child:
        try:
            line = child.stdout.readline()
            assert line.startswith("Development server, not TensorFlow Serving")
            grpc_address, rest_address = re.findall(r"127\.0\.0\.1:\d+", line)
            yield child, grpc_address, rest_address
        finally:
            child.kill()


def request_for(signature: str, **inputs: Any) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def step_for(name: str = "m", **which: Any) -> predict_pb2.PredictRequest:
    """A request for a step of one version of a model."""
    request = request_for("step", frame=FRAME, h=H)
    request.model_spec.name = name
    if "version" in which:
        request.model_spec.version.value = which["version"]
    if "label" in which:
        request.model_spec.version_label = which["label"]
    return request


def turns(count: int) -> predict_pb2.PredictRequest:
    """A request that takes as long as it says."""
    return request_for("slow", turns=np.array([count], np.int32))


def status_of(**which: int) -> get_model_status_pb2.GetModelStatusRequest:
    return get_model_status_pb2.GetModelStatusRequest(model_spec=step_for(**which).model_spec)


def states(models: Models) -> dict[int, str]:
    """The states of the versions of the model m."""
    return {version.number: version.state.name for version in models.statuses(Target("m"))}


@contextlib.contextmanager
def fails(code: Code) -> Iterator[None]:
    with pytest.raises(Failure) as error:
        yield
    assert error.value.code == code


def refusal(call: Callable[..., Any], *arguments: Any, **named: Any) -> str:
    """Returns the code of the error, whose text must say nothing of the server's source code."""
    with pytest.raises(grpc.RpcError) as error:
        call(*arguments, **named)
    text = error.value.details()
    assert "Traceback" not in text and ".py" not in text and "\n" not in text
    return error.value.code().name


def arrays(response: predict_pb2.PredictResponse) -> dict[str, np.ndarray]:
    return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}


class Askers:
    """Threads that ask for steps without a pause, over gRPC and REST, and compare every answer.

    Args:
        addresses: of gRPC and of REST.
        answers: the right `logits` by version; may grow.
        threads: how many ask over each.
    """

    def __init__(
        self, addresses: Sequence[str], answers: dict[int, np.ndarray], threads: tuple[int, int]
    ) -> None:
        self._addresses, self._answers, self._stop = addresses, answers, threading.Event()
        self.answered, self.failures = collections.Counter[int](), list[BaseException]()
        self._pool = ThreadPoolExecutor(sum(threads))
        for work in [self._ask_over_grpc] * threads[0] + [self._ask_over_rest] * threads[1]:
            self._pool.submit(work).add_done_callback(self._note)

    def _note(self, ended: Future[None]) -> None:
        if failure := ended.exception():
            self.failures.append(failure)

    def _ask_over_grpc(self) -> None:
        with Grpc(self._addresses[0]) as client:
            while not self._stop.is_set():
                response = client.call(step_for())
                version = response.model_spec.version.value
                found = arrays(response)["logits"]
                np.testing.assert_allclose(found, self._answers[version], rtol=1e-4)
                self.answered[version] += 1

    def _ask_over_rest(self) -> None:
        body = {"signature_name": "step", "inputs": {"frame": FRAME.tolist(), "h": H.tolist()}}
        while not self._stop.is_set():
            status, answer, _ = rest(self._addresses[1], "POST", "/v1/models/m:predict", body)
            assert status == 200, answer
            logits = np.array(answer["outputs"]["logits"])
            assert any(np.allclose(logits, one, rtol=1e-4) for one in [*self._answers.values()])

    def wait_for(self, version: int) -> None:
        """Waits until a version answers."""
        count = self.answered[version]
        wait_for(lambda: self.failures or self.answered[version] > count)

    def stop(self) -> None:
        """Ends the threads; none may have failed."""
        self._stop.set()
        self._pool.shutdown()
        assert self.failures == []


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
    address: str, method: str, path: str, body: Any = None, headers: Any = None
) -> tuple[int, Any, http.client.HTTPMessage]:
    """Returns status, body (parsed if it is JSON) and headers."""
    connection = http.client.HTTPConnection(address, timeout=SECONDS)
    with contextlib.closing(connection):
        if body is not None and not isinstance(body, str | bytes):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        content: Any = response.read()
        if response.headers.get_content_type() == "application/json":
            content = json.loads(content)
        return response.status, content, response.headers
