"""REST: TensorFlow Serving's `/v1/models/...` and the page for Prometheus, as an ASGI app."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import zlib
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.devserver import json_tensors, metrics
from serving.devserver.core import Core, Target
from serving.devserver.errors import RequestError, invalid
from serving.devserver.grpc_service import metadata_message, status_message
from serving.runtime import messages
from serving.runtime.status import Code

_LOG = logging.getLogger(__name__)

_WHERE = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_PREDICT = re.compile(rf"(?i){_WHERE}:(classify|regress|predict)")
_STATUS = re.compile(rf"(?i){_WHERE}(/metadata)?")

_JSON = "application/json"
# For -d, curl sends the type of a form by default, and TensorFlow Serving does not check it.
_CONTENT_TYPES = {
    *("", _JSON, "application/octet-stream", "application/x-www-form-urlencoded"),
    *("text/json", "text/plain"),
}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_LARGE = 2**16
"""Bytes beyond which a body takes too long to be parsed on the event loop."""


class _HttpError(RequestError):
    """An error with an HTTP status that no gRPC code corresponds to."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(Code.INVALID_ARGUMENT, message)
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
            self._require_our_page(request)
            return await self._dispatch(request)
        except _HttpError as error:
            return _error(error.status, error.message, error.headers)
        except RequestError as error:
            busy = {"Retry-After": "1"} if error.code == Code.RESOURCE_EXHAUSTED else None
            return _error(error.code.http, error.message, busy)
        except ClientDisconnect:
            return _error(Code.CANCELLED.http, "The client has gone.")
        except Exception:
            _LOG.exception("%s %s failed", request.method, request.url.path)
            return _error(500, "Internal error.")

    def _require_our_page(self, request: Request) -> None:
        """Refuses requests that a page of another origin makes through this machine's browser."""
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if self._core.settings.host in _LOOPBACK and host not in _LOOPBACK:
            raise _HttpError(403, f"Host: expected localhost. Received: {host}")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).hostname != host:
            raise _HttpError(403, f"Origin: expected {host}. Received: {origin}")

    async def _dispatch(self, request: Request) -> Response:
        path = request.scope.get("raw_path", b"").decode("latin-1") or request.url.path
        path = path.split("?", 1)[0]
        if match := _PREDICT.fullmatch(path):
            self._allow(request, path, "POST")
            name, version, label, method = match.groups()
            if method.lower() != "predict":
                raise RequestError(
                    Code.UNIMPLEMENTED, f"The development server does not {method}; use predict."
                )
            return await self._predict(request, _target(name, version, label))
        if match := _STATUS.fullmatch(path):
            self._allow(request, path, "GET")
            name, version, label, metadata = match.groups()
            target = _target(name, version, label)
            return (self._metadata if metadata else self._status)(target)
        if path.lower().rstrip("/") == "/v1/models":
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
            content = asyncio.ensure_future(self._content(body, target, end))
            gone = asyncio.ensure_future(_wait_for_disconnect(request))
            try:
                await asyncio.wait((content, gone), return_when=asyncio.FIRST_COMPLETED)
                if not content.done():
                    raise RequestError(Code.CANCELLED, "The client has gone.")
                return Response(content.result(), media_type=_JSON)
            finally:
                content.cancel()
                gone.cancel()

    async def _content(self, body: bytes, target: Target, end: float) -> bytes:
        core = self._core
        is_large = len(body) > _LARGE
        document = (
            await asyncio.to_thread(json_tensors.load, body)
            if is_large
            else (json_tensors.load(body))
        )
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
            found = self._core.models.statuses(target.name, target.version, target.label or None)
            return _written(messages.to_json(status_message(found)))

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


def _written(document: Any) -> Response:
    return Response(json.dumps(document, indent=1).encode(), media_type=_JSON)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    # Escaped, because a message may quote text that cannot be encoded in UTF-8.
    content = json.dumps({"error": message}).encode()
    return Response(content, status, headers, media_type=_JSON)
