"""REST: TensorFlow Serving's `/v1/models/...` and the page for Prometheus, as an ASGI app.

The rules for bodies are those of TensorFlow Serving (`json_tensor.cc`): `instances` holds rows,
`inputs` columns; the name may be omitted if there is only one input, and is if there is only one
output; strings that are not text are sent as `{"b64": ...}`; NaN and Infinity are bare tokens.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import time
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.devserver import metrics
from serving.devserver.batcher import Arrays
from serving.devserver.core import Core, check_names, check_shape
from serving.devserver.errors import invalid, only_failures
from serving.devserver.grpc_service import metadata_message, status_message
from serving.devserver.models import Target
from serving.devserver.settings import Limits
from serving.runtime import json_tensors, messages
from serving.runtime.c_api import Failure
from serving.runtime.specs import Signature
from serving.runtime.status import Code

_PATH = re.compile(
    r"(?i)/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(?::(\w+)|(/metadata))?"
)
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class _HttpError(Failure):
    """An error with an HTTP status that no gRPC code corresponds to."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(Code.of_http(status), message)
        self.status = status


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
        request = Request(scope, receive)
        try:
            with only_failures(request.scope["path"]):
                self._require_our_page(request)
                response = await self._dispatch(request)
        except Failure as error:
            status = error.status if isinstance(error, _HttpError) else error.code.http
            response = _written({"error": error.cause}, status)
            if error.code == Code.RESOURCE_EXHAUSTED:
                response.headers["Retry-After"] = "1"
        await response(scope, receive, send)

    def _require_our_page(self, request: Request) -> None:
        """Refuses requests that a page of another origin makes through this machine's browser."""
        host = _host_of(f"//{request.headers.get('host', '')}")
        if self._core.settings.host in _LOOPBACK and host not in _LOOPBACK:
            raise Failure(Code.PERMISSION_DENIED, f"Host: expected localhost. Received: {host}")
        origin = request.headers.get("origin")
        if origin is not None and _host_of(origin) != host:
            raise Failure(Code.PERMISSION_DENIED, f"Origin: expected {host}. Received: {origin}")

    async def _dispatch(self, request: Request) -> Response:
        core, method = self._core, request.method
        path = request.scope.get("raw_path", b"").decode("latin-1") or request.scope["path"]
        path = path.split("?", 1)[0]
        if path == core.settings.metrics_path and method == "GET":
            return Response(core.metrics.page(), media_type=metrics.CONTENT_TYPE)
        match = _PATH.fullmatch(path)
        if match is None or method != ("POST" if match[4] else "GET"):
            code = Code.INVALID_ARGUMENT if path.startswith("/v1/") else Code.NOT_FOUND
            raise Failure(code, f"Malformed request: {method} {path}")
        target, action = _target(*match.group(1, 2, 3)), match[4]
        if action is None:
            return (self._metadata if match[5] else self._status)(target)
        if action.lower() != "predict":
            raise Failure(Code.UNIMPLEMENTED, f"expected predict. Received: {action}")
        # Admitted before the body is read, so that refused requests take no memory.
        with core.counted(target.name, "Predict", "REST"), core.admitted():
            return await self._predict(request, target)

    async def _predict(self, request: Request, target: Target) -> Response:
        core, seconds = self._core, self._core.settings.rest_timeout_seconds
        end = time.monotonic() + seconds
        try:
            async with asyncio.timeout(seconds):
                document = _document(await self._body(request))
        except TimeoutError:
            raise _HttpError(408, "expected the whole body in time") from None
        except ClientDisconnect:
            raise Failure(Code.CANCELLED, "The client has gone.") from None
        _, _, outputs = await core.predict(
            target,
            document.get("signature_name", ""),
            lambda signature: _inputs(document, signature, core.settings.limits),
            (),
            end,
        )
        body = _rendered(outputs, by_row="instances" in document)
        return Response(body, media_type="application/json")

    async def _body(self, request: Request) -> bytes:
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
            if inflate is not None and inflate.unused_data:
                raise invalid("Content-Encoding: expected one gzip stream. Received: more after it")
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


def _host_of(url: str) -> str:
    """Returns the name of the host in a URL; empty if there is none or the URL is malformed."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _target(name: str, version: str | None, label: str | None) -> Target:
    try:
        number = None if version is None else int(version)
        return Target(unquote(name, errors="strict"), number, unquote(label or "", errors="strict"))
    except ValueError as error:
        raise invalid(f"expected a name and a version. Received: {error}") from error


def _written(document: Any, status: int = 200) -> Response:
    # Escaped, because an error may quote text that cannot be encoded in UTF-8.
    content = json.dumps(document, indent=1).encode()
    return Response(content, status, media_type="application/json")


def _document(body: bytes) -> dict[str, Any]:
    """Parses the body of a request."""
    try:
        document = json_tensors.read_json(body)
    except (RecursionError, ValueError) as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict) or ("instances" in document) == ("inputs" in document):
        raise invalid("expected an object with either the key 'inputs' or the key 'instances'")
    if not isinstance(document.get("signature_name", ""), str):
        raise invalid("'signature_name': expected a string")
    rows = document.get("instances", [0])
    if not isinstance(rows, list) or not rows:
        raise invalid("'instances': expected a list with at least one value")
    return document


def _inputs(document: Mapping[str, Any], signature: Signature, limits: Limits) -> Arrays:
    """Converts a parsed request to arrays."""
    by_row = "instances" in document
    rows = document["instances"] if by_row else [document["inputs"]]
    named = [isinstance(row, dict) and not json_tensors.is_base64(row) for row in rows]
    if not any(named) and len(signature.inputs) == 1:
        columns = dict.fromkeys(signature.inputs, rows if by_row else rows[0])
    elif not all(named):
        raise invalid("expected objects with the inputs by name. Received: plain values")
    else:
        for row in rows:
            check_names(signature, row)
        columns = {name: [row[name] for row in rows] for name in rows[0]} if by_row else rows[0]
    arrays = {}
    for name, spec in signature.inputs.items():
        try:
            check = functools.partial(check_shape, spec=spec, limits=limits)
            arrays[name] = json_tensors.to_array(columns[name], spec, check)
        except ValueError as error:
            raise invalid(f'input "{name}": {error}') from error
    return arrays


def _rendered(outputs: Arrays, *, by_row: bool) -> bytes:
    """Writes the body of an answer: `predictions` with rows, or `outputs` with columns."""
    sizes = {array.shape[:1] for array in outputs.values()}
    if by_row and (len(sizes) != 1 or () in sizes):
        raise invalid("expected outputs of one batch size for 'instances'; ask with 'inputs'")
    columns = {name: json_tensors.plain(array, _text_of(name)) for name, array in outputs.items()}
    value: Any = columns
    if len(columns) == 1:
        (value,) = columns.values()
    elif by_row:
        rows = zip(*columns.values(), strict=True)
        value = [dict(zip(columns, row, strict=True)) for row in rows]
    key = "predictions" if by_row else "outputs"
    return json_tensors.write_json({key: value}, outputs.values())


def _text_of(name: str) -> Any:
    if name.endswith("_bytes"):
        return json_tensors.as_base64
    return lambda value: value.decode("utf-8", "replace")
