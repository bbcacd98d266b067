"""The client of `benchmarks.soak`: every request is counted, every answer compared."""

from __future__ import annotations

import asyncio
import collections
import http.client
import json
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import prediction_service_pb2_grpc

from benchmarks.serving_peers import cases
from benchmarks.serving_peers.load import OPTIONS, make_request, read_answer

DEADLINE = 30.0
"""Seconds after which a request without an answer is lost."""

REFUSED = ("RESOURCE_EXHAUSTED", "429")
"""What a server says that has too much to do. All else but a right answer is a lost request."""

_PAUSE = 0.01


class SoakLoad:
    """Keeps a server busy; an object for `benchmarks.remote`."""

    def __init__(self, cases_paths: list[str], model: str, cores: list[int]) -> None:
        """Reads the cases.

        Args:
            cases_paths: files of `cases.save` with the same inputs; version `v` of the model gives
                the outputs of number `v` modulo their count.
            model: name of the model.
            cores: which the client may use.
        """
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
        self._cases = [cases.load(Path(path)) for path in cases_paths]
        self._requests = {
            (signature, number): make_request(model, signature, case.inputs)
            for signature, several in self._cases[0].items()
            for number, case in enumerate(several)
        }
        self._model = model
        self._statuses: collections.Counter[str] = collections.Counter()
        self._versions: collections.Counter[int] = collections.Counter()
        self._times: list[tuple[float, float]] = []
        self._worst = 0.0
        self._messages: list[str] = []
        # Requests over REST are counted in threads of their own.
        self._lock = threading.Lock()

    def ready(self) -> None:
        """Returns once this process has started."""

    def run(
        self, address: str, rest_address: str, concurrency: int, rest_concurrency: int, end: float
    ) -> dict[str, Any]:
        """Keeps requests of all cases under way until the end.

        Args:
            address: host and port of gRPC.
            rest_address: likewise of REST.
            concurrency: requests under way over gRPC.
            rest_concurrency: requests under way over REST, of the shortest cases.
            end: as `time.time` counts seconds.

        Returns:
            `statuses`: requests by status, `OK`, `WRONG` or the name of an error; `versions`:
            right answers by version; `times`: when an answer came and how long it took; `worst`:
            the largest difference to a right answer; `messages`: the first errors.
        """
        asyncio.run(self._run(address, rest_address, concurrency, rest_concurrency, end))
        return {
            "statuses": dict(self._statuses),
            "versions": {str(version): count for version, count in self._versions.items()},
            "times": self._times,
            "worst": self._worst,
            "messages": self._messages,
        }

    async def _run(
        self, address: str, rest_address: str, concurrency: int, rest_concurrency: int, end: float
    ) -> None:
        async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            await asyncio.gather(
                *(self._ask(stub, seed, end) for seed in range(concurrency)),
                *(
                    asyncio.to_thread(self._ask_rest, rest_address, seed, end)
                    for seed in range(rest_concurrency)
                ),
            )

    async def _ask(self, stub: Any, seed: int, end: float) -> None:
        generator = random.Random(seed)
        keys = list(self._requests)
        while (started := time.time()) < end:
            key = generator.choice(keys)
            try:
                response = await stub.Predict(self._requests[key], timeout=DEADLINE)
            except grpc.aio.AioRpcError as error:
                self._note(error.code().name, error.details() or "")
                await asyncio.sleep(_PAUSE)
                continue
            version = response.model_spec.version.value
            self._compare(key, version, read_answer(response), started)

    def _ask_rest(self, address: str, seed: int, end: float) -> None:
        """Asks for steps; the answer does not say of which version it is."""
        generator = random.Random(seed)
        keys = [key for key in self._requests if key[0] == "step"]
        connection = http.client.HTTPConnection(address, timeout=DEADLINE)
        while (started := time.time()) < end:
            key = generator.choice(keys)
            inputs = self._cases[0][key[0]][key[1]].inputs
            body = {
                "signature_name": key[0],
                "inputs": {name: array.tolist() for name, array in inputs.items()},
            }
            try:
                connection.request("POST", f"/v1/models/{self._model}:predict", json.dumps(body))
                response = connection.getresponse()
                text = response.read()
            except OSError as error:
                self._note(type(error).__name__, str(error))
                connection.close()
                time.sleep(_PAUSE)
                continue
            if response.status != 200:
                self._note(str(response.status), text.decode())
                time.sleep(_PAUSE)
                continue
            outputs = json.loads(text)["outputs"]
            answer = {name: np.array(rows, np.float32) for name, rows in outputs.items()}
            self._compare(key, None, answer, started)

    def _compare(
        self, key: tuple[str, int], version: int | None, answer: cases.Arrays, started: float
    ) -> None:
        """Counts an answer; without a version, that of any is right."""
        signature, number = key
        chosen = self._cases if version is None else [self._cases[version % len(self._cases)]]
        error = min(case.error(answer) for case in (each[signature][number] for each in chosen))
        if error > cases.TOLERANCE:
            self._note("WRONG", f"{signature} of version {version}: wrong by {error}")
            return
        now = time.time()
        with self._lock:
            self._statuses["OK"] += 1
            self._times.append((now, now - started))
            self._worst = max(self._worst, error)
            if version is not None:
                self._versions[version] += 1

    def _note(self, status: str, message: str) -> None:
        with self._lock:
            self._statuses[status] += 1
            if len(self._messages) < 10:
                self._messages.append(f"{status}: {message}"[:500])
