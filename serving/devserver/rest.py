"""REST: TensorFlow Serving's `/v1/models/...` and the page for Prometheus, as an ASGI app."""

from __future__ import annotations

import asyncio
import json
import re
import time
import zlib
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.devserver import json_tensors, metrics
from serving.devserver.core import Core
from serving.devserver.errors import invalid, only_failures
from serving.devserver.grpc_service import metadata_message, status_message
from serving.devserver.versions import Target
from serving.runtime import messages
from serving.runtime.c_api import Failure
from serving.runtime.status import Code

_PATH = re.compile(
    r"(?i)/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(?::(\w+)|(/metadata))?"
)
_JSON = "application/json"
# For -d, curl sends the type of a form by default, and TensorFlow Serving does not check it.
_CONTENT_TYPES = {
    *("", _JSON, "application/octet-stream", "application/x-www-form-urlencoded"),
    *("text/json", "text/plain"),
}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class _HttpError(Failure):
    """An error with an HTTP status that no gRPC code corresponds to."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(Code.of_http(status), message)
        self.status, self.headers = status, headers


class Rest:
    """The ASGI application.

    Args:
        core: the server.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        # No routes: they match decoded paths, but names may contain any character, encoded.
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            with only_failures(request.scope["path"]):
                self._require_our_page(request)
                return await self._dispatch(request)
        except _HttpError as error:
            return _error(error.status, error.cause, error.headers)
        except Failure as error:
            busy = {"Retry-After": "1"} if error.code == Code.RESOURCE_EXHAUSTED else None
            return _error(error.code.http, error.cause, busy)

    def _require_our_page(self, request: Request) -> None:
        """Refuses requests that a page of another origin makes through this machine's browser."""
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if self._core.settings.host in _LOOPBACK and host not in _LOOPBACK:
            raise Failure(Code.PERMISSION_DENIED, f"Host: expected localhost. Received: {host}")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).hostname != host:
            raise Failure(Code.PERMISSION_DENIED, f"Origin: expected {host}. Received: {origin}")

    async def _dispatch(self, request: Request) -> Response:
        path = request.scope.get("raw_path", b"").decode("latin-1") or request.scope["path"]
        path = path.split("?", 1)[0]
        match = _PATH.fullmatch(path)
        if match is None and path != self._core.settings.metrics_path:
            code = Code.INVALID_ARGUMENT if path.startswith("/v1/") else Code.NOT_FOUND
            raise Failure(code, f"Malformed request: {request.method} {path}")
        method = "POST" if match and match[4] else "GET"
        if request.method != method:
            raise _HttpError(405, f"Malformed request: {request.method} {path}", {"Allow": method})
        if match is None:
            return Response(self._core.metrics.page(), media_type=metrics.CONTENT_TYPE)
        name, version, label, action, metadata = match.groups()
        target = _target(name, version, label)
        if action is None:
            return (self._metadata if metadata else self._status)(target)
        if action.lower() != "predict":
            raise Failure(Code.UNIMPLEMENTED, f"expected predict. Received: {action}")
        return await self._predict(request, target)

    async def _predict(self, request: Request, target: Target) -> Response:
        core = self._core
        end = time.monotonic() + core.settings.rest_timeout_seconds
        # Admitted before the body is read, so that refused requests take no memory.
        with core.counted(target.name, "Predict", "REST"), core.admitted():
            try:
                async with asyncio.timeout(core.settings.rest_timeout_seconds):
                    body = await self._body(request)
            except TimeoutError:
                raise _HttpError(408, "expected the whole body in time") from None
            except ClientDisconnect:
                raise _gone() from None
            content = asyncio.ensure_future(self._content(body, target, end))
            gone = asyncio.ensure_future(_wait_for_disconnect(request))
            try:
                await asyncio.wait((content, gone), return_when=asyncio.FIRST_COMPLETED)
                if not content.done():
                    raise _gone()
                return Response(content.result(), media_type=_JSON)
            finally:
                content.cancel()
                gone.cancel()

    async def _content(self, body: bytes, target: Target, end: float) -> bytes:
        core, document = self._core, json_tensors.load(body)
        _, _, outputs = await core.predict(
            target,
            document.get("signature_name", ""),
            lambda signature: json_tensors.inputs_of(document, signature, core.settings.limits),
            (),
            end,
        )
        return json_tensors.render(outputs, by_row="instances" in document)

    async def _body(self, request: Request) -> bytes:
        kind = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
        if kind not in _CONTENT_TYPES:
            raise _HttpError(415, f"Content-Type: expected {_JSON}. Received: {kind}")
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip"):
            raise _HttpError(415, f"Content-Encoding: expected gzip or none. Received: {coding}")
        limit = self._core.settings.limits.max_message_bytes
        inflate = zlib.decompressobj(16 + zlib.MAX_WBITS) if coding == "gzip" else None
        chunks, size = [], 0
        async for chunk in request.stream():
            try:
                content = inflate.decompress(chunk, limit - size + 1) if inflate else chunk
            except zlib.error:
                raise invalid("Content-Encoding: expected a body in gzip") from None
            size += len(content)
            if size > limit:
                raise _HttpError(413, f"expected a body of at most {limit} bytes")
            chunks.append(content)
        if inflate is not None and not inflate.eof:
            raise invalid("Content-Encoding: expected a body in gzip. Received: half of one")
        return b"".join(chunks)

    def _status(self, target: Target) -> Response:
        with self._core.counted(target.name, "GetModelStatus", "REST"):
            return _written(messages.to_json(status_message(self._core.models.statuses(target))))

    def _metadata(self, target: Target) -> Response:
        with self._core.counted(target.name, "GetModelMetadata", "REST"):
            message = metadata_message(self._core, target)
        signatures = messages.SignatureDefMap()
        message.metadata["signature_def"].Unpack(signatures)
        return _written(
            {
                "model_spec": messages.to_json(message.model_spec),
                "metadata": {"signature_def": messages.to_json(signatures)},
            }
        )


async def _wait_for_disconnect(request: Request) -> None:
    """Waits for the client to disconnect, after its body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _gone() -> Failure:
    return Failure(Code.CANCELLED, "The client has gone.")


def _target(name: str, version: str | None, label: str | None) -> Target:
    try:
        number = None if version is None else int(version)
        return Target(unquote(name, errors="strict"), number, unquote(label or "", errors="strict"))
    except ValueError as error:
        raise invalid(f"expected a name and a version. Received: {error}") from error


def _written(document: Any) -> Response:
    return Response(json.dumps(document, indent=1).encode(), media_type=_JSON)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    # Escaped, because a message may quote text that cannot be encoded in UTF-8.
    content = json.dumps({"error": message}).encode()
    return Response(content, status, headers, media_type=_JSON)
