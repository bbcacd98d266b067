"""A server of a model that doubles its input, with the faults that a test wants."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from concurrent import futures

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from benchmarks.serving_peers.cases import Case


def _cases(seed: int, factor: float) -> list[Case]:
    rows = np.random.default_rng(seed).normal(size=(3, 1, 3)).astype(np.float32)
    return [Case({"x": row}, {"y": np.float32(factor) * row}) for row in rows]


TWICE = {"serving_default": _cases(1, 2.0), "step": _cases(2, 2.0)}
THRICE = {"serving_default": _cases(1, 3.0), "step": _cases(2, 3.0)}


@dataclasses.dataclass
class Twice(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers `y = factor x`.

    Attributes:
        factor: what a right server has as 2.
        refuse: status of the requests that are refused.
        every: how many requests one of them is among; 0 for none.
        version: which the answer names.
    """

    factor: float = 2.0
    refuse: grpc.StatusCode = grpc.StatusCode.INTERNAL
    every: int = 0
    version: int = 2

    def __post_init__(self) -> None:
        self._asked = 0
        self._lock = threading.Lock()

    def Predict(self, request, context):
        with self._lock:
            self._asked += 1
            refused = self.every and self._asked % self.every == 0
        if refused:
            context.abort(self.refuse, "as the test wants")
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = self.version
        rows = self.factor * tf.make_ndarray(request.inputs["x"])
        response.outputs["y"].CopyFrom(tf.make_tensor_proto(rows.astype(np.float32)))
        return response


@contextlib.contextmanager
def serving(servicer: Twice, port: int = 0) -> Iterator[str]:
    """Serves on a port of the loopback interface; yields host and port."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    yield f"127.0.0.1:{bound}"
    server.stop(None).wait()
