"""Client for TensorFlow Serving's gRPC API; does not need TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InputError, install
from serving.clients.errors import ServingError
from serving.clients.predictor import Array
from serving.clients.retrying import persistently
from serving.clients.transport import Certificates, Description, Target, VersionStatus
from serving.runtime.specs import Signature, callable_signatures
from serving.runtime.status import Code, State

_METADATA = "signature_def"
_METHODS = {
    "Predict": "PredictionService",
    "GetModelMetadata": "PredictionService",
    "GetModelStatus": "ModelService",
}
_OPTIONS = [
    # By default, clients accept at most 4 MB, which the logits of a 100 kB sequence can reach.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Reconnects to a restarted server at the next request, not seconds later.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class GrpcClient:
    """A `Transport` over gRPC; threads may share it.

    Args:
        target: the model.

    Raises:
        InputError: if grpcio or protobuf is not installed.
    """

    def __init__(self, target: Target) -> None:
        try:
            import grpc

            from serving.runtime import messages
        except ImportError as error:
            raise InputError(
                f"{target}: expected the packages grpcio and protobuf. "
                f"Received: not installed; run `{install('serving')}`"
            ) from error

        self._target = target
        if target.scheme == "grpc":
            self._channel = grpc.insecure_channel(target.place, _OPTIONS)
        else:
            credentials = _credentials(target.certificates)
            self._channel = grpc.secure_channel(target.place, credentials, _OPTIONS)
        self._methods = {
            name: self._channel.unary_unary(
                f"/tensorflow.serving.{service}/{name}",
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=getattr(messages, f"{name}Response").FromString,
            )
            for name, service in _METHODS.items()
        }

    def describe(self) -> Description:
        """See `Transport.describe`."""
        from serving.runtime import messages

        request = messages.GetModelMetadataRequest(metadata_field=[_METADATA])
        self._name(request.model_spec)
        response = self._call("GetModelMetadata", request)
        signature_defs = messages.SignatureDefMap()
        if not response.metadata[_METADATA].Unpack(signature_defs):
            raise ServingError(
                "INTERNAL",
                f"{self._target}: expected metadata with a SignatureDefMap. "
                f"Received: {response.metadata[_METADATA].type_url or 'nothing'}",
            )
        spec = response.model_spec
        version = int(spec.version.value) if spec.HasField("version") else None
        return Description(callable_signatures(signature_defs.signature_def), version)

    def predict(
        self,
        inputs: Mapping[str, Array],
        name: str,
        signature: Signature,
        version: int | None = None,
    ) -> dict[str, Array]:
        """See `Transport.predict`."""
        from serving.runtime import messages, tensors

        request = messages.PredictRequest()
        self._name(request.model_spec, version)
        request.model_spec.signature_name = name
        for key, array in inputs.items():
            tensors.fill(request.inputs[key], array, as_content=True)
        response = self._call("Predict", request)
        try:
            # Copied, because an array that shares the message's memory is read-only.
            return {
                key: tensors.to_array(response.outputs[key]).copy()
                for key in sorted(response.outputs)
            }
        except (TypeError, ValueError) as error:
            raise ServingError("INTERNAL", f"{self._target}: answer: {error}") from error

    def status(self) -> tuple[VersionStatus, ...]:
        """See `Transport.status`."""
        from serving.runtime import messages

        request = messages.GetModelStatusRequest()
        self._name(request.model_spec)
        response = self._call("GetModelStatus", request)
        statuses = (
            VersionStatus(
                one.version,
                State(one.state).name,
                Code(one.status.error_code).name,
                one.status.error_message,
            )
            for one in response.model_version_status
        )
        return tuple(sorted(statuses, key=lambda status: -status.version))

    def close(self) -> None:
        """See `Transport.close`."""
        self._channel.close()

    def _name(self, model_spec: Any, version: int | None = None) -> None:
        model_spec.name = self._target.model
        version = self._target.version if version is None else version
        if version is not None:
            model_spec.version.value = version
        elif self._target.label is not None:
            model_spec.version_label = self._target.label

    def _call(self, name: str, request: Any) -> Any:
        import grpc

        def ask(seconds: float) -> Any:
            try:
                return self._methods[name](request, timeout=seconds)
            except grpc.RpcError as error:
                raise ServingError(
                    error.code().name, f"{self._target}: {error.details() or error.code().name}"
                ) from error

        return persistently(ask, self._target.patience)


def _credentials(certificates: Certificates) -> Any:
    import grpc

    paths = (certificates.roots, certificates.key, certificates.certificate)
    return grpc.ssl_channel_credentials(*(path and path.read_bytes() for path in paths))
