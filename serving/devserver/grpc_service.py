"""The gRPC services: PredictionService and ModelService."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc

from serving.devserver import configuration
from serving.devserver.core import Core, inputs_of
from serving.devserver.errors import invalid, only_failures
from serving.devserver.models import Target, Version
from serving.runtime import messages, tensors
from serving.runtime.c_api import Failure
from serving.runtime.status import Code

_CODES = {code.value[0]: code for code in grpc.StatusCode}

_SIGNATURES = "signature_def"

_LONGEST = 2000
"""Longest error message, in bytes, of which each may take three: it is sent in a header, which is
limited to 8 KiB."""

_FOREVER = 1e6
"""Deadlines beyond this many seconds count as none: without one, gRPC reports centuries."""

_Method = Callable[[Core, Any, float | None], Awaitable[Any]]
"""Answers a request, given the server, the request, and the deadline or None."""


def _target(spec: Any) -> Target:
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
    """Makes a `GetModelMetadataResponse`; raises `Failure` if the model is not loaded."""
    response, signatures = messages.GetModelMetadataResponse(), messages.SignatureDefMap()
    with core.models.use(target) as version:
        assert version.session is not None
        for name, message in version.session.signature_defs.items():
            signatures.signature_def[name].CopyFrom(message)
        response.model_spec.name = version.name
        response.model_spec.version.value = version.number
    response.metadata[_SIGNATURES].Pack(signatures)
    return response


async def _predict(core: Core, request: Any, end: float | None) -> Any:
    spec = request.model_spec
    with core.admitted():
        version, name, outputs = await core.predict(
            _target(spec),
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


async def _metadata(core: Core, request: Any, _: float | None) -> Any:
    if set(request.metadata_field) != {_SIGNATURES}:
        raise invalid(f"expected the metadata_field {_SIGNATURES}")
    return metadata_message(core, _target(request.model_spec))


async def _status(core: Core, request: Any, _: float | None) -> Any:
    return status_message(core.models.statuses(_target(request.model_spec)))


async def _reload(core: Core, request: Any, end: float | None) -> Any:
    models = configuration.models_of(request.config)
    core.models.require_roots(models)
    await core.models.reload(models, None if end is None else end - time.monotonic())
    return messages.ReloadConfigResponse()


_SERVICES: Mapping[str, Mapping[str, tuple[Any, _Method]]] = {
    "PredictionService": {
        "Predict": (messages.PredictRequest, _predict),
        "GetModelMetadata": (messages.GetModelMetadataRequest, _metadata),
    },
    "ModelService": {
        "GetModelStatus": (messages.GetModelStatusRequest, _status),
        "HandleReloadConfigRequest": (messages.ReloadConfigRequest, _reload),
    },
}
"""The methods of the services, each with the type of its request; others are UNIMPLEMENTED."""


def handlers(core: Core) -> tuple[grpc.GenericRpcHandler, ...]:
    """Returns the handlers of a server's methods for gRPC."""

    def handler(name: str, kind: Any, method: _Method) -> grpc.RpcMethodHandler:
        async def answer(content: bytes, context: Any) -> bytes:
            left = context.time_remaining()
            end = None if left is None or left > _FOREVER else time.monotonic() + left
            try:
                with only_failures(name):
                    request = kind.FromString(content)
                spec = getattr(request, "model_spec", None)
                with core.counted("" if spec is None else spec.name, name, "GRPC"):
                    response = await method(core, request, end)
                    return bytes(response.SerializeToString())
            except Failure as error:
                cause = error.cause.encode(errors="replace")[:_LONGEST].decode(errors="ignore")
                await context.abort(_CODES[error.code], cause)
                raise AssertionError from error

        return grpc.unary_unary_rpc_method_handler(answer)

    return tuple(
        grpc.method_handlers_generic_handler(
            f"tensorflow.serving.{service}",
            {name: handler(name, kind, method) for name, (kind, method) in methods.items()},
        )
        for service, methods in _SERVICES.items()
    )
