"""Ray Serve with a SavedModel behind TensorFlow Serving's own PredictionService.

    .venv-ray/bin/python -m benchmarks.peers.ray_server FOLDER PORT one|batch

Its environment (`make bench-ray`) has Ray, TensorFlow and the messages of TensorFlow Serving, and
nothing else may be imported. It has only `Predict`, and ends on SIGTERM or after an hour.
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import ray
import tensorflow as tf
from ray import serve
from ray.serve.config import gRPCOptions
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

_SERVICER = (
    "tensorflow_serving.apis.prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server"
)
_LONGEST = 3600.0
_DEPLOYMENT = {"max_ongoing_requests": 256, "ray_actor_options": {"num_cpus": 1}}


class _Model:
    """A version of the model in a folder, with as many threads as the other servers."""

    def __init__(self, folder: str) -> None:
        tf.config.threading.set_intra_op_parallelism_threads(2)
        tf.config.threading.set_inter_op_parallelism_threads(2)
        self._model = tf.saved_model.load(folder)

    def run(self, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Runs a signature on arrays or tensors."""
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        outputs = self._model.signatures[name](**tensors)
        return {key: tensor.numpy() for key, tensor in outputs.items()}


def _name(request: PredictRequest) -> str:
    return request.model_spec.signature_name or "serving_default"


def _inputs(request: PredictRequest) -> dict[str, Any]:
    return {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}


def _response(outputs: dict[str, Any]) -> PredictResponse:
    response = PredictResponse()
    for name, array in outputs.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
    return response


@serve.deployment(**_DEPLOYMENT)
class OneByOne(_Model):
    """Answers every request separately, in its own thread."""

    def Predict(self, request: PredictRequest) -> PredictResponse:
        """Answers a request."""
        return _response(self.run(_name(request), _inputs(request)))


@serve.deployment(**_DEPLOYMENT)
class InBatches(_Model):
    """Answers up to 16 requests that arrive within 2 ms together, by signature."""

    @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.002)
    async def _answer(self, requests: list[PredictRequest]) -> list[PredictResponse]:
        responses: dict[int, PredictResponse] = {}
        for name in {_name(request) for request in requests}:
            places = [place for place, request in enumerate(requests) if _name(request) == name]
            rows = [_inputs(requests[place]) for place in places]
            arrays = self.run(
                name, {key: tf.concat([row[key] for row in rows], 0) for key in rows[0]}
            )
            first = 0
            for place, row in zip(places, rows, strict=True):
                here = slice(first, first := first + len(next(iter(row.values()))))
                responses[place] = _response({key: a[here] for key, a in arrays.items()})
        return [responses[place] for place in range(len(requests))]

    async def Predict(self, request: PredictRequest) -> PredictResponse:
        """Answers a request."""
        response: PredictResponse = await self._answer(request)
        return response


def main(folder: str, port: str, mode: str) -> None:
    """Serves until it is told to stop."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    quiet = {"include_dashboard": False, "configure_logging": False, "log_to_driver": False}
    ray.init(num_cpus=2, _node_ip_address="127.0.0.1", **quiet)
    try:
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": "127.0.0.1", "port": 0},
            grpc_options=gRPCOptions(port=int(port), grpc_servicer_functions=[_SERVICER]),
        )
        serve.run({"one": OneByOne, "batch": InBatches}[mode].bind(folder))
        stop.wait(_LONGEST)
        serve.shutdown()
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
