"""Small servers of the known model, which fail as they are told and remember what came."""

import base64
import contextlib
import dataclasses
import http.server
import json
import threading
from concurrent import futures
from typing import Any

import numpy as np

from serving.runtime.specs import DTYPES
from tests.serving.clients import known


@dataclasses.dataclass
class Fake:
    """A running server.

    Attributes:
        address: where.
        calls: what was asked: name of the method, and the request.
        failures: what to answer first, one a call: for gRPC a status code and its details, for REST
            a status, headers and a body; `WAIT` for no answer until the server stops.
        over: set when the server stops.
    """

    address: str = ""
    calls: list[Any] = dataclasses.field(default_factory=list)
    failures: list[Any] = dataclasses.field(default_factory=list)
    over: threading.Event = dataclasses.field(default_factory=threading.Event)

    def next_failure(self, name, request):
        self.calls.append((name, request))
        failure = self.failures.pop(0) if self.failures else None
        if failure == WAIT:
            self.over.wait(60)
        return failure


WAIT = "wait"
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
VERSIONS = {3: "END", 10: "AVAILABLE"}


# --- gRPC ---


def _servicers(fake):
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    def attend(name, request, context):
        failure = fake.next_failure(name, request)
        if failure == WAIT:
            context.abort(grpc.StatusCode.CANCELLED, "over")
        elif failure:
            context.abort(*failure)

    class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            attend("Predict", request, context)
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            name = request.model_spec.signature_name
            if name == "echo":
                outputs = inputs
            else:
                outputs = known.predict(inputs, name)
            response = predict_pb2.PredictResponse()
            for key, array in outputs.items():
                if array.dtype == np.float32:
                    # As the server does it: no tensor_content.
                    proto = response.outputs[key]
                    proto.dtype = DTYPES["float32"]
                    for size in array.shape:
                        proto.tensor_shape.dim.add().size = size
                    proto.float_val.extend(array.ravel().tolist())
                else:
                    response.outputs[key].CopyFrom(tf.make_tensor_proto(array))
            return response

        def GetModelMetadata(self, request, context):
            attend("GetModelMetadata", request, context)
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            content = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in known.SIGNATURES.items():
                message = content.signature_def[name]
                message.method_name = signature.method
                for infos, specs in (
                    (message.inputs, signature.inputs),
                    (message.outputs, signature.outputs),
                ):
                    for key, spec in specs.items():
                        infos[key].dtype = DTYPES[spec.dtype]
                        for size in spec.shape:
                            infos[key].tensor_shape.dim.add().size = -1 if size is None else size
            content.signature_def["__saved_model_init_op"].outputs["op"].name = "NoOp"
            response.metadata["signature_def"].Pack(content)
            response.model_spec.version.value = max(VERSIONS)
            return response

    class Models(model_service_pb2_grpc.ModelServiceServicer):
        def GetModelStatus(self, request, context):
            attend("GetModelStatus", request, context)
            response = get_model_status_pb2.GetModelStatusResponse()
            for version, state in VERSIONS.items():
                one = response.model_version_status.add(version=version)
                one.state = get_model_status_pb2.ModelVersionStatus.State.Value(state)
                if state == "END":
                    one.status.error_code, one.status.error_message = 9, "unloaded"
            return response

    return Prediction(), Models()


@contextlib.contextmanager
def grpc_server(certificates=None):
    """Serves over gRPC; with TLS if there are certificates."""
    import grpc
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    fake = Fake()
    server = grpc.server(futures.ThreadPoolExecutor(4), options=_OPTIONS)
    prediction, models = _servicers(fake)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(models, server)
    if certificates is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        pair = (certificates.key.read_bytes(), certificates.certificate.read_bytes())
        credentials = grpc.ssl_server_credentials(
            [pair], certificates.roots.read_bytes(), require_client_auth=True
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    fake.address = f"{'grpcs://' if certificates else ''}127.0.0.1:{port}"
    try:
        yield fake
    finally:
        fake.over.set()
        server.stop(0).wait(10)


# --- REST ---

_DT = {"float32": "DT_FLOAT", "int32": "DT_INT32", "string": "DT_STRING"}


def _infos(specs):
    return {
        name: {
            "dtype": _DT[spec.dtype],
            "tensor_shape": {
                "dim": [
                    {"size": str(-1 if size is None else size), "name": ""} for size in spec.shape
                ],
                "unknown_rank": False,
            },
            "name": f"x_{name}:0",
        }
        for name, spec in specs.items()
    }


def metadata():
    """What TensorFlow Serving says about the model."""
    signature_defs = {
        name: {
            "inputs": _infos(signature.inputs),
            "outputs": _infos(signature.outputs),
            "method_name": signature.method,
        }
        for name, signature in known.SIGNATURES.items()
    }
    signature_defs["__saved_model_init_op"] = {
        "inputs": {},
        "outputs": {
            "__saved_model_init_op": {
                "dtype": "DT_INVALID",
                "tensor_shape": {"dim": [], "unknown_rank": True},
                "name": "NoOp",
            }
        },
        "method_name": "",
    }
    return {
        "model_spec": {"name": "known", "signature_name": "", "version": "10"},
        "metadata": {
            "signature_def": {
                "@type": "type.googleapis.com/tensorflow.serving.SignatureDefMap",
                "signature_def": signature_defs,
            }
        },
    }


def _plain(value):
    """Decodes base64."""
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _predicted(request):
    name = request["signature_name"]
    inputs = {
        key: np.array(_plain(value), known.SIGNATURES[name].inputs[key].numpy_dtype)
        for key, value in request["inputs"].items()
    }
    outputs = known.predict(inputs, name)
    texts = {
        key: np.vectorize(bytes.decode, otypes=[object])(array) if array.dtype == object else array
        for key, array in outputs.items()
    }
    return {"outputs": {key: array.tolist() for key, array in texts.items()}}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer(None)

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(json.loads(content))

    def _answer(self, request):
        fake = self.server.fake
        failure = fake.next_failure(self.path, request)
        if failure == WAIT:
            self.close_connection = True
        elif failure:
            self._send(*failure)
        elif self.path.endswith("/metadata"):
            self._send(200, {}, metadata())
        elif self.path.endswith(":predict"):
            self._send(200, {}, _predicted(request))
        else:
            self._send(
                200,
                {},
                {
                    "model_version_status": [
                        {
                            "version": str(version),
                            "state": state,
                            "status": {
                                "error_code": "FAILED_PRECONDITION" if state == "END" else "OK",
                                "error_message": "unloaded" if state == "END" else "",
                            },
                        }
                        for version, state in VERSIONS.items()
                    ]
                },
            )

    def _send(self, status, headers, body):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@contextlib.contextmanager
def rest_server(certificates=None):
    """Serves over HTTP; with TLS if there are certificates."""
    import ssl

    fake = Fake()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.fake = fake
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
        context.load_verify_locations(certificates.roots)
        context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    fake.address = f"http{'s' if certificates else ''}://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        fake.over.set()
        server.shutdown()
        server.server_close()
