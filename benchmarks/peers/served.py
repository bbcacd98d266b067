"""A server process, and a client that always keeps a number of requests in flight.

The client calls the standard stubs through gRPC's asynchronous interface, which of Python's three
takes the least processor time (0.15 ms per request with 16 in flight; threads take 0.2 to 0.3).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from benchmarks.peers import cases
from benchmarks.remote import ONE_THREAD
from benchmarks.table import ROOT

PORT = "{port}"
"""Placeholder in a command for the port to listen on."""

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    # A starting server is found at once, not at the end of a growing pause; on a busy machine,
    # connecting takes time (`min` is the limit).
    *((f"grpc.{name}_reconnect_backoff_ms", 20) for name in ("initial", "max")),
    ("grpc.min_reconnect_backoff_ms", 10_000),
)
_ENVIRONMENT = {
    **{"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2", "RAY_USAGE_STATS_ENABLED": "0"},
    # Ray's own option for high throughput: a fifth to a half more requests here.
    **{"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "PYTHONPATH": str(ROOT)},
}
_DEADLINE, _PATIENCE = 30.0, 4.0


class Server:
    """A process that `close` ends, together with all processes that it has started.

    Attributes:
        started: start time in seconds, by `time.perf_counter`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """Starts the process, without a limit on its threads."""
        inherited = {name: text for name, text in os.environ.items() if name not in ONE_THREAD}
        self._messages = tempfile.TemporaryFile(mode="w+")
        self.started = time.perf_counter()
        streams = {"stdout": self._messages, "stderr": subprocess.STDOUT}
        how = {"cwd": ROOT, "env": inherited | _ENVIRONMENT, "start_new_session": True}
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **streams, **how)

    def messages(self) -> str:
        """Returns the end of its output."""
        self._messages.seek(0)
        return self._messages.read()[-4000:]

    def check(self) -> None:
        """Raises `RuntimeError` if it has ended."""
        if (status := self._process.poll()) is not None:
            raise RuntimeError(f"the server ended with {status}:\n{self.messages()}")

    def close(self) -> None:
        """Ends the process with SIGTERM, and after some seconds with SIGKILL."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        # What it has started is in its process group, and ends with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._messages.close()


class Served:
    """Sends the requests of some cases to a server that it starts."""

    def __init__(
        self,
        cases_path: str,
        model: str,
        command: list[str],
        warm_up: float,
        seconds: float,
        patience: float = 120.0,
    ) -> None:
        """Starts the server, waits for its first correct response, and then checks all of them.

        Args:
            cases_path: file of `cases.Cases`.
            model: name of the model.
            command: the server's program and arguments, see `PORT`.
            warm_up: seconds at the start of a run that do not count.
            seconds: seconds of a run that count.
            patience: seconds to wait for the first response.
        """
        self._cases: cases.Cases = pickle.loads(Path(cases_path).read_bytes())
        self._requests: dict[str, list[predict_pb2.PredictRequest]] = {}
        for signature, several in self._cases.items():
            for case in several:
                request = predict_pb2.PredictRequest()
                request.model_spec.name = model
                request.model_spec.signature_name = signature
                for name, array in case.inputs.items():
                    request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
                self._requests.setdefault(signature, []).append(request)
        self._warm_up, self._seconds, self._patience = warm_up, seconds, patience
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._address = f"127.0.0.1:{port}"
        self._server = Server([part.replace(PORT, str(port)) for part in command])
        try:
            self._ask(self._first_answer)
            self._start = time.perf_counter() - self._server.started
            self._ask(self._check)
        except BaseException:
            self._server.close()
            raise

    def prepare(self, signature: str, concurrency: int) -> None:
        """Selects the signature, and the number of concurrent requests."""
        self._signature, self._concurrency = signature, concurrency

    def run(self) -> dict[str, float]:
        """Sends requests for a while; returns `cases.summary`, and `start`, the start-up time."""
        durations = self._ask(self._measure)
        return {**cases.summary(durations, self._seconds), "start": self._start}

    def close(self) -> None:
        """Ends the server."""
        self._server.close()

    def _ask(self, questions: Callable[[Any], Awaitable[Any]]) -> Any:
        async def ask() -> Any:
            async with grpc.aio.insecure_channel(self._address, options=_OPTIONS) as channel:
                return await questions(prediction_service_pb2_grpc.PredictionServiceStub(channel))

        return asyncio.run(ask())

    async def _first_answer(self, stub: Any) -> None:
        end = time.perf_counter() + self._patience
        signature, (request, *_) = next(iter(self._requests.items()))
        while True:
            try:
                response = await stub.Predict(request, timeout=_DEADLINE)
                return self._compare(signature, 0, response)
            except grpc.aio.AioRpcError as error:
                self._server.check()
                if time.perf_counter() > end:
                    raise TimeoutError(f"no answer in {self._patience:.0f} s: {error}") from error
                await asyncio.sleep(0.02)

    async def _check(self, stub: Any) -> None:
        """Sends all cases of a signature at once, so that a batching server batches them."""
        for signature, requests in self._requests.items():
            asked = (stub.Predict(request, timeout=_DEADLINE) for request in requests)
            for number, response in enumerate(await asyncio.gather(*asked)):
                self._compare(signature, number, response)

    def _compare(self, signature: str, number: int, response: predict_pb2.PredictResponse) -> None:
        answer = {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}
        self._cases[signature][number].check(answer)

    async def _measure(self, stub: Any) -> list[float]:
        durations: list[float] = []
        requests = self._requests[self._signature]
        begin = time.perf_counter() + self._warm_up
        end = begin + self._seconds

        async def ask(number: int) -> None:
            while (started := time.perf_counter()) <= end:
                await stub.Predict(requests[number % len(requests)], timeout=_DEADLINE)
                if begin <= (finished := time.perf_counter()) <= end:
                    durations.append(finished - started)
                number += 1

        await asyncio.gather(*map(ask, range(self._concurrency)))
        return durations
