"""The gRPC services: PredictionService and ModelService."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc

from serving.devserver import configuration
from serving.devserver.core import Core, inputs_of
from serving.devserver.errors import invalid, only_failures
from serving.devserver.versions import Target, Version
from serving.runtime import messages, tensors
from serving.runtime.c_api import Failure
from serving.runtime.status import Code

_CODES = {code.value[0]: code for code in grpc.StatusCode}

_SIGNATURES = "signature_def"

_LONGEST = 1000
"""Longest error message, in characters: it is sent in a header, which is limited to 8 KiB."""

_FOREVER = 1e6
"""Deadlines beyond this many seconds count as none: without one, gRPC reports centuries."""

_Method = Callable[[Any, float | None], Awaitable[Any]]


def target_of(spec: Any) -> Target:
    """Reads a `ModelSpec`."""
    version = spec.version.value if spec.HasField("version") else None
    return Target(spec.name, version, spec.version_label)


def status_message(versions: list[Version]) -> Any:
    """Makes a `GetModelStatusResponse`."""
    response = messages.GetModelStatusResponse()
    for version in versions:
        entry = response.model_version_status.add(version=version.number, state=int(version.state))
        entry.status.error_code = int(Code.OK)
        if version.error is not None:
            entry.status.error_code = int(version.error.code)
            entry.status.error_message = version.error.cause
    return response


def metadata_message(core: Core, target: Target) -> Any:
    """Makes a `GetModelMetadataResponse`.

    Raises:
        Failure: if the model is not loaded.
    """
    response, signatures = messages.GetModelMetadataResponse(), messages.SignatureDefMap()
    with core.models.use(target) as version:
        assert version.loaded is not None
        for name, message in version.loaded.session.signature_defs.items():
            signatures.signature_def[name].CopyFrom(message)
        response.model_spec.name = version.name
        response.model_spec.version.value = version.number
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
        """Returns the handlers for a gRPC server; all other methods are UNIMPLEMENTED."""
        prediction = {"Predict": self._predict, "GetModelMetadata": self._metadata}
        model = {"GetModelStatus": self._status, "HandleReloadConfigRequest": self._reload}
        return (
            self._service("PredictionService", prediction),
            self._service("ModelService", model),
        )

    def _service(self, service: str, methods: Mapping[str, _Method]) -> grpc.GenericRpcHandler:
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(self._answer(name, method))
            for name, method in methods.items()
        }
        return grpc.method_handlers_generic_handler(f"tensorflow.serving.{service}", handlers)

    def _answer(self, name: str, method: _Method) -> Callable[[bytes, Any], Awaitable[bytes]]:
        kind = "ReloadConfigRequest" if method == self._reload else f"{name}Request"
        message = getattr(messages, kind)

        async def answer(content: bytes, context: Any) -> bytes:
            left = context.time_remaining()
            end = None if left is None or left > _FOREVER else time.monotonic() + left
            try:
                with only_failures(name):
                    request = message.FromString(content)
                spec = getattr(request, "model_spec", None)
                with self._core.counted("" if spec is None else spec.name, name, "GRPC"):
                    response = await method(request, end)
                    return bytes(response.SerializeToString())
            except Failure as error:
                await context.abort(_CODES[error.code], error.cause[:_LONGEST])
                raise AssertionError from error

        return answer

    async def _predict(self, request: Any, end: float | None) -> Any:
        core, spec = self._core, request.model_spec
        with core.admitted():
            version, name, outputs = await core.predict(
                target_of(spec),
                spec.signature_name,
                lambda signature: inputs_of(request.inputs, signature, core.settings.limits),
                list(request.output_filter),
                end,
            )
        response = messages.PredictResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = version
        response.model_spec.signature_name = name
        for key, array in outputs.items():
            tensors.fill(response.outputs[key], array, as_content=core.settings.tensor_content)
        return response

    async def _metadata(self, request: Any, _: float | None) -> Any:
        if set(request.metadata_field) != {_SIGNATURES}:
            raise invalid(f"expected the metadata_field {_SIGNATURES}")
        return metadata_message(self._core, target_of(request.model_spec))

    async def _status(self, request: Any, _: float | None) -> Any:
        return status_message(self._core.models.statuses(target_of(request.model_spec)))

    async def _reload(self, request: Any, end: float | None) -> Any:
        models = configuration.models_of(request.config)
        self._core.models.require_roots(models)
        await self._core.models.reload(models, None if end is None else end - time.monotonic())
        return messages.ReloadConfigResponse()
