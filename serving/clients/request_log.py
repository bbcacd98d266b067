"""Reads requests that a proxy has recorded, and replays them.

Envoy's tap (`serving/deploy/envoy.yaml`) writes each sampled call to a JSON file, with the bodies
as they were sent over the wire.
"""

from __future__ import annotations

import base64
import binascii
import collections
import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from common import files
from common.errors import InputError
from serving.clients.errors import ServingError
from serving.clients.predictor import Array, Predictor
from serving.runtime import messages, tensors
from serving.runtime.specs import DEFAULT_SIGNATURE

PREDICT = "/tensorflow.serving.PredictionService/Predict"
"""Path of the calls that are replayed."""

_TRUNCATED = "cut off by the proxy"
_OTHER = "no call of Predict"
_UNREADABLE = "not readable"

_EACH_FRAME = ("logits", "classes")
"""Outputs with a value per frame, which are meaningless after the end of a sequence."""


@dataclasses.dataclass(frozen=True)
class Logged:
    """A recorded request and its answer.

    Attributes:
        where: the file.
        signature: name of the signature that was called.
        inputs: inputs of the request, by name.
        outputs: outputs of the answer, by name; None if it was an error.
    """

    where: Path
    signature: str
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array] | None


@dataclasses.dataclass(frozen=True)
class RequestLog:
    """The recorded requests in a folder.

    Attributes:
        requests: the requests that can be replayed, sorted by file name.
        odd: number of files that cannot be replayed, by reason.
    """

    requests: Sequence[Logged]
    odd: Mapping[str, int]


def read(folder: Path) -> RequestLog:
    """Reads all `*.json` files in a folder.

    Raises:
        InputError: if there are none.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise InputError(
            f"--log: expected a folder with the files of Envoy's tap, *.json. Received: {folder}"
        )
    requests, odd = [], collections.Counter[str]()
    for path in paths:
        found = _read(path)
        if isinstance(found, str):
            odd[found] += 1
        else:
            requests.append(found)
    return RequestLog(requests, odd)


def _read(path: Path) -> Logged | str:
    """Reads a call, or returns the reason why it cannot be replayed."""
    try:
        trace = files.read_json(path)["http_buffered_trace"]
        headers = {each["key"]: each["value"] for each in trace["request"]["headers"]}
        if headers.get(":path") != PREDICT:
            return _OTHER
        body = _body(trace["request"])
        if body is None:
            return _TRUNCATED
        request = messages.PredictRequest.FromString(_message(body))
        answer = _body(trace.get("response", {}))
        outputs = None
        if answer:
            response = messages.PredictResponse.FromString(_message(answer))
            outputs = _arrays(response.outputs)
        signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
        return Logged(path, signature, _arrays(request.inputs), outputs)
    except (AttributeError, DecodeError, InputError, KeyError, TypeError, ValueError):
        return _UNREADABLE


def _body(part: Mapping[str, Any]) -> bytes | None:
    """Returns a body as sent over the wire; None if the proxy kept only a part of it."""
    body = part.get("body", {})
    if body.get("truncated"):
        return None
    try:
        return base64.b64decode(body.get("as_bytes", ""), validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error


def _message(body: bytes) -> bytes:
    """Extracts the message from a gRPC body: a flag, the length in 4 bytes, the message."""
    if len(body) < 5 or body[0] != 0 or int.from_bytes(body[1:5], "big") != len(body) - 5:
        raise ValueError("expected one message that is not compressed")
    return body[5:]


def _arrays(protos: Mapping[str, Any]) -> dict[str, Array]:
    return {name: tensors.to_array(protos[name]).copy() for name in sorted(protos)}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Result of a replay.

    Attributes:
        answered: number of requests that were answered.
        failed: number of requests that failed, by error code.
        difference: largest difference between numbers of the recorded and the new answers; infinite
            if shapes or strings differ.
        seconds: duration of each answered request.
    """

    answered: int
    failed: Mapping[str, int]
    difference: float
    seconds: Sequence[float]

    def report(self) -> str:
        """Returns a summary in one line, for people.

        Example:
            >>> Outcome(2, {}, 0.0, [0.001, 0.003]).report()
            '2 answered, the largest difference 0; median 2.0 ms, 99th percentile 3.0 ms'
        """
        failed = "".join(f", {count} {code}" for code, count in sorted(self.failed.items()))
        line = f"{self.answered} answered{failed}"
        if self.answered:
            median, slow = 1e3 * np.quantile(self.seconds, [0.5, 0.99])
            line += (
                f", the largest difference {self.difference:.2g}; median {median:.1f} ms, "
                f"99th percentile {slow:.1f} ms"
            )
        return line


def replay(predictor: Predictor, requests: Iterable[Logged]) -> Outcome:
    """Replays requests one after the other, and compares the answers with the recorded ones.

    Args:
        predictor: the model to query.
        requests: see `read`. Requests of streams contain states of the version that answered then.
    """
    failed, difference, seconds = collections.Counter[str](), 0.0, []
    for logged in requests:
        start = time.perf_counter()
        try:
            answer = predictor.predict(logged.inputs, logged.signature)
        except ServingError as error:
            failed[error.code] += 1
            continue
        seconds.append(time.perf_counter() - start)
        if logged.outputs is not None:
            difference = max(difference, _difference(logged, answer))
    return Outcome(len(seconds), failed, difference, seconds)


def _difference(logged: Logged, answer: Mapping[str, Array]) -> float:
    worst, lengths = 0.0, logged.inputs.get("lengths")
    for name, before in (logged.outputs or {}).items():
        after = answer.get(name)
        if after is None or after.shape != before.shape:
            return float("inf")
        if name in _EACH_FRAME and lengths is not None:
            counts = np.arange(before.shape[1]) < np.asarray(lengths)[:, None]
            before, after = before[counts], after[counts]
        if before.dtype == object:
            worst = max(worst, 0.0 if before.tolist() == after.tolist() else float("inf"))
        elif not np.array_equal(before, after, equal_nan=True):
            gap = np.max(np.abs(after.astype(np.float64) - before), initial=0.0)
            worst = max(worst, float("inf") if np.isnan(gap) else float(gap))
    return worst
