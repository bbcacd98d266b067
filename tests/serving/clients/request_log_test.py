"""Requests that were written down: read, asked again, compared."""

from __future__ import annotations

import base64
import json
import pathlib
from typing import Any

import numpy as np
import pytest

from common.errors import InputError
from serving.clients import request_log
from serving.clients.errors import ServingError
from serving.runtime import messages, tensors
from tests import commands
from tests.serving.clients import known


def as_tap(request: Any, response: Any | None) -> str:
    """A file as Envoy's tap writes it (envoy.data.tap.v3.TraceWrapper, bodies as bytes)."""

    def body(message: Any) -> dict[str, Any]:
        content = message.SerializeToString()
        framed = b"\0" + len(content).to_bytes(4, "big") + content
        return {"truncated": False, "as_bytes": base64.b64encode(framed).decode()}

    path = "/tensorflow.serving.PredictionService/Predict"
    headers = [{"key": ":method", "value": "POST"}, {"key": ":path", "value": path}]
    trace = {"request": {"headers": headers, "body": body(request), "trailers": []}}
    if response is not None:
        trace["response"] = {"headers": [], "body": body(response), "trailers": []}
    return json.dumps({"http_buffered_trace": trace})


def call(inputs: dict[str, Any], outputs: dict[str, Any] | None, signature: str = "") -> str:
    request = messages.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "music", signature
    for name, value in inputs.items():
        tensors.fill(request.inputs[name], value, as_content=True)
    if outputs is None:
        return as_tap(request, None)
    response = messages.PredictResponse()
    for name, value in outputs.items():
        tensors.fill(response.outputs[name], value, as_content=False)
    return as_tap(request, response)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two sequences and a step, as the model answers them, and an error."""
    whole = known.batch()
    frame = {
        "frame": known.frames(2, 1)[:, 0],
        **dict.fromkeys(("h", "c"), np.zeros((2, known.UNITS), np.float32)),
    }
    (tmp_path / "request_1.json").write_text(call(whole, known.predict(whole)))
    (tmp_path / "request_2.json").write_text(call(frame, known.predict(frame, "step"), "step"))
    (tmp_path / "request_3.json").write_text(call({**whole, "lengths": np.zeros(1, int)}, None))
    return tmp_path


def test_what_was_asked_is_asked_again(folder: pathlib.Path) -> None:
    log = request_log.read(folder)
    assert [each.where.name for each in log.requests] == [f"request_{n}.json" for n in (1, 2, 3)]
    assert log.odd == {} and log.requests[2].outputs is None
    model = known.Known()
    outcome = request_log.replay(model, log.requests[:2])
    assert [signature for signature, _ in model.calls] == ["serving_default", "step"]
    for name, value in known.batch().items():
        np.testing.assert_array_equal(model.calls[0][1][name], value)
    assert (outcome.answered, outcome.failed, outcome.difference) == (2, {}, 0.0)
    assert outcome.report().startswith("2 answered, the largest difference 0; median ")


class Changed(known.Known):
    """Another version, whose answers `change` makes of the known ones."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self._change = change

    def predict(self, inputs: Any, signature: str = "serving_default") -> Any:
        answer = super().predict(inputs, signature)
        self._change(answer)
        return answer


def behind(answer: dict[str, Any]) -> None:
    if "text" in answer:
        answer["logits"][1, 2:] = 7.0


def nearer(answer: dict[str, Any]) -> None:
    if "text" in answer:
        answer["logits"][1, 1] += 0.25


def other_text(answer: dict[str, Any]) -> None:
    if "text" in answer:
        answer["text"][0] = b"?"


def narrower(answer: dict[str, Any]) -> None:
    answer["logits"] = answer["logits"][..., :2]


@pytest.mark.parametrize(
    ("change", "difference"),
    [(behind, 0.0), (nearer, 0.25), (other_text, np.inf), (narrower, np.inf)],
)
def test_another_version_differs(folder: pathlib.Path, change: Any, difference: float) -> None:
    requests = request_log.read(folder).requests[:2]
    found = request_log.replay(Changed(change), requests).difference
    assert found == pytest.approx(difference, abs=1e-6)


def test_errors_are_counted(folder: pathlib.Path) -> None:
    def fail(answer: dict[str, Any]) -> None:
        if "text" not in answer:
            raise ServingError("UNAVAILABLE", "busy")

    outcome = request_log.replay(Changed(fail), request_log.read(folder).requests[:2])
    assert outcome.failed == {"UNAVAILABLE": 1} and outcome.answered == 1
    assert outcome.report().startswith("1 answered, 1 UNAVAILABLE, the largest")


def test_what_cannot_be_asked_again_is_counted(folder: pathlib.Path) -> None:
    text = (folder / "request_1.json").read_text()
    changes = {
        "cut": text.replace('"truncated": false', '"truncated": true'),
        "status": text.replace("/Predict", "/GetModelMetadata"),
        "compressed": text.replace('"as_bytes": "AA', '"as_bytes": "AQ'),
        "half": text[: len(text) // 2],
        "list": "[]",
        "base64": text.replace('"as_bytes": "AA', '"as_bytes": "?A'),
        "none": json.dumps({"http_buffered_trace": {"request": None}}),
    }
    for name, changed in changes.items():
        assert changed != text
        (folder / f"{name}.json").write_text(changed)
    log = request_log.read(folder)
    assert len(log.requests) == 3
    assert log.odd == {"cut off by the proxy": 1, "no call of Predict": 1, "not readable": 5}


def test_a_folder_without_any_is_one_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match=r"--log: expected a folder with the files of Envoy's tap"):
        request_log.read(tmp_path)
    done = commands.run("serving.replay", f"--log={tmp_path}")
    assert done.returncode == 2
    assert done.stderr == "error: --address: expected a server. Received: nothing\n"
