"""gRPC: PredictionService, ModelService and the health service."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from common.errors import InputError
from serving.standin import configuration, tensors
from serving.standin.core import Caller, Core, Target
from serving.standin.errors import Code, ServingError, invalid
from serving.standin.versions import Status

_CODES = {code.value[0]: code for code in grpc.StatusCode}

_SIGNATURES = "signature_def"

_Method = Callable[[Any, Caller], Any]


def target_of(spec: Any) -> Target:
    """Reads a `ModelSpec`.

    Args:
        spec: the protocol message.
    """
    version = spec.version.value if spec.HasField("version") else None
    return Target(spec.name, version, spec.version_label)


def status_message(statuses: list[Status]) -> Any:
    """Writes a `GetModelStatusResponse`.

    Args:
        statuses: of versions.
    """
    response = get_model_status_pb2.GetModelStatusResponse()
    for status in statuses:
        entry = response.model_version_status.add(version=status.version, state=int(status.state))
        entry.status.error_code = 0
        if status.error is not None:
            entry.status.error_code = int(status.error.code)
            entry.status.error_message = status.error.message
    return response


def metadata_message(core: Core, target: Target) -> Any:
    """Writes a `GetModelMetadataResponse`.

    Args:
        core: the server.
        target: the model.

    Raises:
        ServingError: if it is not loaded.
    """
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    signatures = get_model_metadata_pb2.SignatureDefMap()
    with core.manager.use(target.name, target.version, target.label) as model:
        for name, message in model.signature_defs.items():
            signatures.signature_def[name].CopyFrom(message)
        response.model_spec.name = model.name
        response.model_spec.version.value = model.version
    response.metadata[_SIGNATURES].Pack(signatures)
    return response


class Services:
    """The methods of both services.

    Args:
        core: the server.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """Returns what a gRPC server dispatches to."""
        prediction = {
            "Predict": (predict_pb2.PredictRequest, self._predict),
            "Classify": (classification_pb2.ClassificationRequest, self._refuser("classify")),
            "Regress": (regression_pb2.RegressionRequest, self._refuser("regress")),
            "MultiInference": (inference_pb2.MultiInferenceRequest, self._multi_inference),
            "GetModelMetadata": (get_model_metadata_pb2.GetModelMetadataRequest, self._metadata),
        }
        model = {
            "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, self._status),
            "HandleReloadConfigRequest": (
                model_management_pb2.ReloadConfigRequest,
                self._reload,
            ),
        }
        return (
            self._service("PredictionService", prediction),
            self._service("ModelService", model),
        )

    def _service(
        self, service: str, methods: Mapping[str, tuple[Any, _Method]]
    ) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            f"tensorflow.serving.{service}",
            {
                # Bytes come in: gRPC would call those that are no message an internal error.
                name: grpc.unary_unary_rpc_method_handler(self._answer(name, message, method))
                for name, (message, method) in methods.items()
            },
        )

    def _answer(
        self, name: str, message: Any, method: _Method
    ) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def answer(content: bytes, context: grpc.ServicerContext) -> bytes:
            left = context.time_remaining()
            deadline = None if left is None else time.monotonic() + left
            try:
                request = message.FromString(content)
            except Exception:
                # protobuf's DecodeError has no public name in every implementation.
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"expected a {message.__name__}")
            spec = getattr(request, "model_spec", None)
            try:
                with self._core.counted("" if spec is None else spec.name, name, "GRPC"):
                    response = method(request, Caller(deadline, context.is_active))
                    return bytes(response.SerializeToString())
            except ServingError as error:
                context.abort(_CODES[error.code], error.message)
                raise AssertionError from error

        return answer

    def _predict(self, request: Any, caller: Caller) -> Any:
        answer = self._core.predict(
            target_of(request.model_spec),
            request.model_spec.signature_name,
            lambda signature: tensors.inputs_of(
                request.inputs, signature, self._core.settings.limits
            ),
            list(request.output_filter),
            caller,
        )
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = answer.version
        response.model_spec.signature_name = answer.signature
        for name, array in answer.outputs.items():
            tensors.fill(response.outputs[name], array, self._core.settings.tensor_content)
        return response

    def _refuser(self, method: str) -> _Method:
        def refuse(request: Any, _: Caller) -> Any:
            spec = request.model_spec
            raise self._core.refuse(target_of(spec), spec.signature_name, method)

        return refuse

    def _multi_inference(self, request: Any, _: Caller) -> Any:
        raise ServingError(
            Code.UNIMPLEMENTED, "The development server does not infer several; it predicts only."
        )

    def _metadata(self, request: Any, _: Caller) -> Any:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURES:
                raise invalid(f"Metadata field {field} is not supported")
        return metadata_message(self._core, target_of(request.model_spec))

    def _status(self, request: Any, _: Caller) -> Any:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        target = target_of(request.model_spec)
        return status_message(
            self._core.manager.statuses(target.name, target.version, target.label)
        )

    def _reload(self, request: Any, caller: Caller) -> Any:
        try:
            models = configuration.models_of(request.config)
        except InputError as error:
            raise invalid(str(error)) from error
        left = None if caller.deadline is None else caller.deadline - time.monotonic()
        self._core.manager.reload(models, left)
        return model_management_pb2.ReloadConfigResponse()
