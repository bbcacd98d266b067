"""The client of `benchmarks.serving`: a number of requests under way at any time.

It is an object for `benchmarks.remote`. It calls through the stock stubs of TensorFlow Serving on
gRPC's asynchronous interface, which of Python's three takes the least processor time (0.15 ms a
request with 16 under way; threads take 0.2 to 0.3).
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from benchmarks.serving_peers import cases
from benchmarks.serving_peers.latencies import Latencies, Window

OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    # A server that is starting is found at once, not at the end of a growing pause.
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 20),
)
"""Of a channel."""

_DEADLINE = 30.0
_MOST_REQUESTS = 500_000


def make_request(model: str, signature: str, inputs: cases.Arrays) -> predict_pb2.PredictRequest:
    """Makes the message of a request."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return request


def read_answer(response: predict_pb2.PredictResponse) -> dict[str, np.ndarray[Any, Any]]:
    """Reads the arrays of an answer."""
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


class Load:
    """Sends the requests of some cases to a server."""

    def __init__(self, cases_path: str, model: str, cores: list[int]) -> None:
        """Reads the cases and makes their messages.

        Args:
            cases_path: file of `cases.save`.
            model: name of the model.
            cores: which the client may use.
        """
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
        self._cases = cases.load(Path(cases_path))
        self._requests = {
            signature: [make_request(model, signature, case.inputs) for case in several]
            for signature, several in self._cases.items()
        }

    def ready(self) -> None:
        """Returns once this process has started and can ask."""

    def first_answer(self, address: str, timeout: float) -> None:
        """Asks one case until a server gives the right answer.

        Args:
            address: host and port.
            timeout: seconds.

        Raises:
            TimeoutError: if there is no answer in time.
            ValueError: if the answer is wrong.
        """
        asyncio.run(self._first_answer(address, timeout))

    def check(self, address: str) -> None:
        """Asks all cases of a signature at a time, so that they meet in a batch if there are any.

        Args:
            address: host and port.

        Raises:
            ValueError: if an answer is wrong.
        """
        asyncio.run(self._check(address))

    def measure(
        self, address: str, signature: str, concurrency: int, warm_up: float, seconds: float
    ) -> dict[str, float]:
        """Keeps a number of requests under way for some seconds.

        Args:
            address: host and port.
            signature: which cases.
            concurrency: requests that are under way at any time.
            warm_up: seconds that do not count, before.
            seconds: that count.

        Returns:
            The fields of `Latencies`.
        """
        now = time.perf_counter()
        window = Window(now + warm_up, now + warm_up + seconds)
        durations = asyncio.run(self._measure(address, signature, concurrency, window))
        return dataclasses.asdict(Latencies.of(durations, seconds))

    async def _first_answer(self, address: str, timeout: float) -> None:
        end = time.perf_counter() + timeout
        signature = next(iter(self._cases))
        async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while True:
                try:
                    response = await stub.Predict(self._requests[signature][0], timeout=_DEADLINE)
                    break
                except grpc.aio.AioRpcError as error:
                    if time.perf_counter() > end:
                        raise TimeoutError(
                            f"{address}: no answer in {timeout:.0f} s: {error}"
                        ) from error
                    await asyncio.sleep(0.02)
        self._compare(signature, 0, response)

    async def _check(self, address: str) -> None:
        async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            for signature, requests in self._requests.items():
                answers = await asyncio.gather(
                    *(stub.Predict(request, timeout=_DEADLINE) for request in requests)
                )
                for number, response in enumerate(answers):
                    self._compare(signature, number, response)

    def _compare(self, signature: str, number: int, response: predict_pb2.PredictResponse) -> None:
        error = self._cases[signature][number].error(read_answer(response))
        if error > cases.TOLERANCE:
            raise ValueError(f"{signature}: an answer is wrong by {error}")

    async def _measure(
        self, address: str, signature: str, concurrency: int, window: Window
    ) -> list[float]:
        durations: list[float] = []
        requests = self._requests[signature]

        async def ask(stub: Any, first: int) -> None:
            for number in range(first, first + _MOST_REQUESTS // concurrency):
                started = time.perf_counter()
                if started > window.end:
                    return
                await stub.Predict(requests[number % len(requests)], timeout=_DEADLINE)
                finished = time.perf_counter()
                if window.counts(finished):
                    durations.append(finished - started)

        async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            await asyncio.gather(*(ask(stub, place) for place in range(concurrency)))
        return durations
