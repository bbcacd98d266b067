"""REST: TensorFlow Serving's `/v1/models/...` and the page for Prometheus, as an ASGI app."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

from google.protobuf import json_format
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send
from tensorflow_serving.apis import get_model_metadata_pb2

from serving.standin import json_tensors, metrics
from serving.standin.core import Caller, Core, Target
from serving.standin.errors import Code, ServingError, UnknownSignatureError, invalid
from serving.standin.grpc_service import metadata_message, status_message

_LOG = logging.getLogger(__name__)

_WHERE = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_PREDICT = re.compile(rf"(?i){_WHERE}:(classify|regress|predict)")
_STATUS = re.compile(rf"(?i){_WHERE}(/metadata)?")
_ALL_MODELS = re.compile(r"(?i)/v1/models/?")

_JSON = "application/json"
# Curl's own choice for -d is a form, and TensorFlow Serving never looked.
_CONTENT_TYPES = {
    "",
    _JSON,
    "application/octet-stream",
    "application/x-www-form-urlencoded",
    "text/json",
    "text/plain",
}
_RETRY_AFTER = {"Retry-After": "1"}


def application(core: Core, workers: ThreadPoolExecutor) -> ASGIApp:
    """Makes the ASGI application.

    Args:
        core: the server.
        workers: threads that requests wait and run in.
    """
    # No routes: they match decoded paths, but a name may hold any character, encoded.
    return Router(default=_Rest(core, workers))


class _HttpError(Exception):
    """An error with an HTTP status that no code of gRPC stands for."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


class _Rest:
    def __init__(self, core: Core, workers: ThreadPoolExecutor) -> None:
        self._core, self._workers = core, workers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._dispatch(request)
        except _HttpError as error:
            return _error(error.status, error.message, error.headers)
        except ServingError as error:
            headers = _RETRY_AFTER if error.code == Code.RESOURCE_EXHAUSTED else None
            return _error(error.code.http, error.message, headers)
        except ClientDisconnect:
            return _error(Code.CANCELLED.http, "The client has gone.")
        except Exception:
            _LOG.exception("%s %s failed", request.method, request.url.path)
            return _error(500, "Internal error.")

    async def _dispatch(self, request: Request) -> Response:
        path = request.scope.get("raw_path", b"").decode("latin-1") or request.url.path
        path = path.split("?", 1)[0]
        predict, status = _PREDICT.fullmatch(path), _STATUS.fullmatch(path)
        if predict:
            self._allow(request, path, "POST")
            name, version, label, method = predict.groups()
            target = _target(name, version, label)
            body = await self._body(request)
            call = self._refuse if method.lower() in ("classify", "regress") else self._predict
            return await self._in_worker(request, lambda caller: call(target, method, body, caller))
        if status:
            self._allow(request, path, "GET")
            name, version, label, metadata = status.groups()
            tell = self._metadata if metadata else self._status
            target = _target(name, version, label)
            return await self._in_worker(request, lambda _: tell(target))
        if _ALL_MODELS.fullmatch(path):
            self._allow(request, path, "GET")
            raise invalid("Missing model name in request.")
        if path == self._core.settings.metrics_path:
            self._allow(request, path, "GET")
            return Response(self._core.metrics.page(), media_type=metrics.CONTENT_TYPE)
        if path.lower().startswith("/v1/"):
            raise invalid(f"Malformed request: {request.method} {path}")
        raise _HttpError(404, "Not Found")

    def _allow(self, request: Request, path: str, method: str) -> None:
        if request.method != method:
            raise _HttpError(405, f"Malformed request: {request.method} {path}", {"Allow": method})

    async def _body(self, request: Request) -> bytes:
        kind = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
        if kind not in _CONTENT_TYPES:
            raise _HttpError(415, f"Content-Type: expected {_JSON}. Received: {kind}")
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if coding != "identity":
            raise _HttpError(415, f"Content-Encoding: expected none. Received: {coding}")
        limit = self._core.settings.limits.max_message_bytes
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise _HttpError(413, f"expected a body of at most {limit} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    async def _in_worker(self, request: Request, call: Callable[[Caller], bytes]) -> Response:
        """Runs a call in a thread and tells it when the client goes."""
        gone = threading.Event()
        deadline = time.monotonic() + self._core.settings.rest_timeout_seconds
        caller = Caller(deadline, lambda: not gone.is_set())
        answer = asyncio.get_running_loop().run_in_executor(self._workers, call, caller)
        watch = asyncio.ensure_future(_wait_for_disconnect(request))
        try:
            await asyncio.wait((answer, watch), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                gone.set()
            return Response(await answer, media_type=_JSON)
        finally:
            watch.cancel()

    def _predict(self, target: Target, _: str, content: bytes, caller: Caller) -> bytes:
        core = self._core
        with core.counted(target.name, "Predict", "REST"):
            body = json_tensors.parse(content)
            try:
                answer = core.predict(
                    target,
                    body.signature_name,
                    lambda signature: json_tensors.inputs_of(body, signature, core.settings.limits),
                    (),
                    caller,
                )
            except UnknownSignatureError as error:
                raise invalid(
                    f'Serving signature name: "{error.signature}" not found in signature def'
                ) from error
            return json_tensors.render(answer.outputs, body.by_row)

    def _refuse(self, target: Target, method: str, content: bytes, caller: Caller) -> bytes:
        with self._core.counted(target.name, method.capitalize(), "REST"):
            raise self._core.refuse(target, json_tensors.signature_name(content), method.lower())

    def _status(self, target: Target) -> bytes:
        with self._core.counted(target.name, "GetModelStatus", "REST"):
            statuses = self._core.manager.statuses(target.name, target.version, target.label)
            return _write(_plain(status_message(statuses)))

    def _metadata(self, target: Target) -> bytes:
        with self._core.counted(target.name, "GetModelMetadata", "REST"):
            message = metadata_message(self._core, target)
            signatures = get_model_metadata_pb2.SignatureDefMap()
            message.metadata["signature_def"].Unpack(signatures)
            return _write(
                {
                    "model_spec": _plain(message.model_spec),
                    "metadata": {"signature_def": _plain(signatures)},
                }
            )


async def _wait_for_disconnect(request: Request) -> None:
    """Waits for the client to go; its body has been read."""
    receive: Callable[[], Awaitable[Any]] = request.receive
    while (await receive())["type"] != "http.disconnect":
        pass


def _target(name: str, version: str | None, label: str | None) -> Target:
    number = None
    if version is not None:
        number = int(version) if len(version) < 20 else 2**63
        if number >= 2**63:
            raise invalid(f"Failed to convert version: {version} to numeric.")
    try:
        return Target(unquote(name, errors="strict"), number, unquote(label or "", errors="strict"))
    except UnicodeDecodeError:
        raise invalid(f"Failed to decode model name: {name}") from None


def _plain(message: Any) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _write(document: Any) -> bytes:
    return json.dumps(document, indent=1).encode()


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    # Escapes, because a message may quote what no UTF-8 can say.
    content = json.dumps({"error": message}).encode()
    return Response(content, status, headers, media_type=_JSON)
