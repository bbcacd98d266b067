"""TensorFlow Serving's gRPC interface: PredictionService and ModelService."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from common.command_line import start_tensorflow
from common.errors import InputError, install
from serving.clients.errors import ServingError
from serving.clients.predictor import Array
from serving.clients.retrying import persistently
from serving.clients.transport import Certificates, Target, VersionStatus
from serving.specs import Signature, callable_signatures

_Answer = TypeVar("_Answer")

_METADATA = "signature_def"
_OPTIONS = [
    # Clients take no more than 4 MB by default: 100 kB of sequence can give that many logits.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A server that restarts is found again as soon as it is asked again, not seconds later.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class GrpcClient:
    """A `Transport` over gRPC; threads may share it.

    Args:
        target: the model.

    Raises:
        InputError: if grpcio or tensorflow-serving-api is not installed.
    """

    def __init__(self, target: Target) -> None:
        # The generated modules import TensorFlow, which talks while it starts.
        start_tensorflow()
        try:
            import grpc
            from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
        except ImportError as error:
            raise InputError(
                f"{target}: expected the packages grpcio and tensorflow-serving-api. "
                f"Received: not installed; run `{install('serving')}`"
            ) from error

        self._target = target
        if target.scheme == "grpc":
            self._channel = grpc.insecure_channel(target.place, _OPTIONS)
        else:
            credentials = _credentials(target.certificates)
            self._channel = grpc.secure_channel(target.place, credentials, _OPTIONS)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def signatures(self) -> dict[str, Signature]:
        """See `Transport.signatures`."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=[_METADATA])
        self._name(request.model_spec)
        response = self._call(self._prediction.GetModelMetadata, request)
        signature_defs = get_model_metadata_pb2.SignatureDefMap()
        if not response.metadata[_METADATA].Unpack(signature_defs):
            raise ServingError(
                "INTERNAL",
                f"{self._target}: expected metadata with a SignatureDefMap. "
                f"Received: {response.metadata[_METADATA].type_url or 'nothing'}",
            )
        return callable_signatures(signature_defs.signature_def)

    def predict(
        self, inputs: Mapping[str, Array], name: str, signature: Signature
    ) -> dict[str, Array]:
        """See `Transport.predict`."""
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        self._name(request.model_spec)
        request.model_spec.signature_name = name
        for key, array in inputs.items():
            request.inputs[key].CopyFrom(
                tf.make_tensor_proto(array, signature.inputs[key].dtype, array.shape)
            )
        response = self._call(self._prediction.Predict, request)
        return {key: tf.make_ndarray(response.outputs[key]) for key in sorted(response.outputs)}

    def status(self) -> tuple[VersionStatus, ...]:
        """See `Transport.status`."""
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        self._name(request.model_spec)
        response = self._call(self._models.GetModelStatus, request)
        state_name = get_model_status_pb2.ModelVersionStatus.State.Name
        statuses = (
            VersionStatus(
                one.version,
                state_name(one.state),
                _code_name(one.status.error_code),
                one.status.error_message,
            )
            for one in response.model_version_status
        )
        return tuple(sorted(statuses, key=lambda status: -status.version))

    def close(self) -> None:
        """See `Transport.close`."""
        self._channel.close()

    def _name(self, model_spec: Any) -> None:
        model_spec.name = self._target.model
        if self._target.version is not None:
            model_spec.version.value = self._target.version
        if self._target.label is not None:
            model_spec.version_label = self._target.label

    def _call(self, method: Callable[..., _Answer], request: Any) -> _Answer:
        import grpc

        def ask(seconds: float) -> _Answer:
            try:
                return method(request, timeout=seconds)
            except grpc.RpcError as error:
                raise ServingError(
                    error.code().name, f"{self._target}: {error.details() or error.code().name}"
                ) from error

        return persistently(ask, self._target.patience)


def _credentials(certificates: Certificates) -> Any:
    import grpc

    paths = (certificates.roots, certificates.key, certificates.certificate)
    return grpc.ssl_channel_credentials(*(path and path.read_bytes() for path in paths))


def _code_name(number: int) -> str:
    import grpc

    return next((code.name for code in grpc.StatusCode if code.value[0] == number), "UNKNOWN")
