"""Ray Serve with a SavedModel behind TensorFlow Serving's own PredictionService.

    .venv-ray/bin/python -m benchmarks.serving_peers.ray_server FOLDER PORT one|batch

It has only `Predict`, which is written here; ends with SIGTERM, and by itself after an hour.
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
_MOST_ONGOING = 256


def _load(folder: str) -> Any:
    # As many threads as the other servers.
    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    return tf.saved_model.load(folder)


def _name(request: PredictRequest) -> str:
    return request.model_spec.signature_name or "serving_default"


def _inputs(request: PredictRequest) -> dict[str, Any]:
    return {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}


def _response(outputs: dict[str, Any]) -> PredictResponse:
    response = PredictResponse()
    for name, array in outputs.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
    return response


@serve.deployment(max_ongoing_requests=_MOST_ONGOING, ray_actor_options={"num_cpus": 1})
class OneByOne:
    """Answers every request by itself, in a thread of its own."""

    def __init__(self, folder: str) -> None:
        """Loads the version of the model in a folder."""
        self._model = _load(folder)

    def Predict(self, request: PredictRequest) -> PredictResponse:
        """Answers a request."""
        inputs = {name: tf.constant(array) for name, array in _inputs(request).items()}
        outputs = self._model.signatures[_name(request)](**inputs)
        return _response({name: tensor.numpy() for name, tensor in outputs.items()})


@serve.deployment(max_ongoing_requests=_MOST_ONGOING, ray_actor_options={"num_cpus": 1})
class InBatches:
    """Answers up to 16 requests of a signature that come within 2 ms at a time."""

    def __init__(self, folder: str) -> None:
        """Loads the version of the model in a folder."""
        self._model = _load(folder)

    @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.002)
    async def _answer(self, requests: list[PredictRequest]) -> list[PredictResponse]:
        responses: dict[int, PredictResponse] = {}
        for name in {_name(request) for request in requests}:
            places = [place for place, request in enumerate(requests) if _name(request) == name]
            rows = [_inputs(requests[place]) for place in places]
            inputs = {key: tf.concat([row[key] for row in rows], 0) for key in rows[0]}
            outputs = self._model.signatures[name](**inputs)
            arrays = {key: tensor.numpy() for key, tensor in outputs.items()}
            first = 0
            for place, row in zip(places, rows, strict=True):
                last = first + len(next(iter(row.values())))
                responses[place] = _response(
                    {key: array[first:last] for key, array in arrays.items()}
                )
                first = last
        return [responses[place] for place in range(len(requests))]

    async def Predict(self, request: PredictRequest) -> PredictResponse:
        """Answers a request."""
        response: PredictResponse = await self._answer(request)
        return response


def main(folder: str, port: str, mode: str) -> None:
    """Serves until it is told to end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        configure_logging=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
    )
    try:
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": "127.0.0.1", "port": 0},
            grpc_options=gRPCOptions(port=int(port), grpc_servicer_functions=[_SERVICER]),
        )
        kind = {"one": OneByOne, "batch": InBatches}[mode]
        serve.run(kind.bind(folder))
        stop.wait(_LONGEST)
        serve.shutdown()
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
