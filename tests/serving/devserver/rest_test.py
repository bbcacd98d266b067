"""REST as plain HTTP sees it: answers, and what is refused before anything runs."""

from __future__ import annotations

import base64
import gzip
import json
import math
import socket
import threading

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap

from serving.devserver.launch import running
from serving.devserver.settings import Limits, Loading, ModelConfig, Settings
from tests.serving.devserver import small_models
from tests.serving.devserver.callers import SECONDS, Held, rest, serving, wait_for

FEATURES = small_models.FEATURES
METRICS, PREDICT = "/metrics/of/mine", "/v1/models/m:predict"


@pytest.fixture(scope="module")
def address(two_versions):
    settings = Settings(
        (ModelConfig("m", two_versions, 2, labels={"stable": 3}),),
        loading=Loading(labels_for_unavailable_models=True),
        limits=Limits(max_message_bytes=100_000, max_sequence_length=500),
        grpc_port=None,
        metrics_path=METRICS,
    )
    with running(settings) as server:
        yield server.rest_address


@pytest.fixture(scope="module")
def post(address):
    def post(body, path=PREDICT, headers=None):
        return rest(address, "POST", path, body, headers)[:2]

    return post


@pytest.mark.parametrize(
    ("where", "version"),
    [("", 12), ("/versions/3", 3), ("/labels/stable", 3), ("/VERSIONS/12", 12)],
)
def test_columns_and_rows(post, where, version):
    sequence, lengths = small_models.sequences(3, 7)
    columns = {"sequence": sequence.tolist(), "lengths": lengths.tolist()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    path = f"/v1/models/m{where}:predict"
    status, by_column = post({"inputs": columns}, path)
    assert status == 200 and set(by_column["outputs"]) == {"logits", "h", "version"}
    status, by_row = post({"signature_name": "serving_default", "instances": rows}, path)
    assert status == 200 and len(by_row["predictions"]) == 3
    for name, value in small_models.Reference(version).sequence(sequence, lengths).items():
        np.testing.assert_allclose(by_column["outputs"][name], value, rtol=1e-5, atol=1e-5)
        ours = [row[name] for row in by_row["predictions"]]
        np.testing.assert_allclose(ours, value, rtol=1e-5, atol=1e-5)


def test_one_input_and_one_output_go_without_names(post):
    values, expected = [[1, 2], [3, 0.5]], [[2.0, 4.0], [6.0, 1.0]]
    for body, answer in (
        ({"instances": values}, "predictions"),
        ({"instances": [{"x": row} for row in values]}, "predictions"),
        ({"inputs": values}, "outputs"),
        ({"inputs": {"x": values}}, "outputs"),
    ):
        assert post({"signature_name": "double"} | body) == (200, {answer: expected})


def test_strings_and_bytes(post):
    raw = base64.b64encode(b"\xff\x00b").decode()
    rows = ["stra\u00dfe", {"b64": raw}, {"b64": "YQ"}]
    status, answer = post({"signature_name": "text", "instances": rows})
    assert status == 200
    assert [row["upper"] for row in answer["predictions"]] == ["STRA\u00dfE", "\ufffd\0B", "A"]
    same = [base64.b64decode(row["same_bytes"]["b64"]) for row in answer["predictions"]]
    assert same == ["stra\u00dfe".encode(), b"\xff\x00b", b"a"]


def test_numbers_without_end(post):
    body = '{"signature_name": "extremes", "inputs": [1.5, NaN, -Infinity]}'
    status, answer = post(body)
    assert status == 200
    assert answer["outputs"][0][:2] == [math.inf, -math.inf]
    assert math.isnan(answer["outputs"][0][2]) and answer["outputs"][0][3] == 1.5
    assert math.isnan(answer["outputs"][1][3]) and answer["outputs"][2][3] == -math.inf


def test_every_type(post):
    values = {name: array.tolist() for name, array in small_models.EXTREMES.items()}
    values |= {"float16": [[0.5, 2]], "float32": [[0.1, 3e38]], "float64": [[0.1, 1e300]]}
    inputs = {f"{name}_in": value for name, value in values.items()}
    assert post({"signature_name": "kinds", "inputs": inputs}) == (200, {"outputs": values})


@pytest.mark.parametrize("sequence", [[], [[], []]])
def test_what_is_empty_is_answered_as_over_grpc(post, sequence):
    status, answer = post({"inputs": {"sequence": sequence, "lengths": [0] * len(sequence)}})
    assert status == 200, answer
    assert answer["outputs"]["h"] == [[0.0] * FEATURES] * len(sequence)


def test_kinds_of_content(post):
    body = json.dumps({"signature_name": "double", "inputs": [[1, 2]]})
    for name, value, status in (
        ("Content-Type", "application/json; charset=utf-8", 200),
        ("Content-Type", "application/x-www-form-urlencoded", 200),
        ("Content-Type", "", 200),
        ("Content-Encoding", "br", 415),
    ):
        assert post(body, headers={name: value})[0] == status


# --- Refusals ---

DOUBLE = '{"signature_name": "double", %s}'
INPUTS = DOUBLE % '"inputs": %s'


@pytest.mark.parametrize(
    "body",
    [
        *("", "{", "[1]", "{}", b'{"inputs": "\xff"}', '{"instances": [1], "inputs": [1]}'),
        *('{"instances": {}}', '{"instances": []}', '{"instances": [[1]]}', '{"inputs": [[1]]}'),
        '{"inputs": {"sequence": [[[1,2,3]]]}}',
        '{"instances": [{"sequence": [[1,2,3]]}]}',
        json.dumps({"inputs": {"sequence": [[[0] * 3] * 501], "lengths": [1]}}),
        '{"signature_name": 7, "inputs": 1}',
        '{"signature_name": "x", "inputs": 1}',
        '{"signature_name": "\\ud800", "inputs": 1}',
        '{"signature_name": "text", "inputs": ["\\ud800"]}',
        '{"signature_name": "text", "inputs": [{"b64": "!"}]}',
        '{"signature_name": "text", "inputs": [1]}',
        '{"signature_name": "slow", "inputs": [1.5]}',
        '{"signature_name": "slow", "inputs": [3000000000]}',
        '{"signature_name": "broken", "inputs": [1, 2]}',
        DOUBLE % '"instances": [[1, 2], {"x": [1, 2]}]',
        DOUBLE % '"instances": [{"x": [1, 2]}, [1, 2]]',
        *(INPUTS % value for value in ("[[1, 2], [3]]", "[[1, 2], 3]", "[[1, [2]]]", '"\\ud800"')),
        *(INPUTS % f"[[1, {value}]]" for value in ('"2"', "null", "true", '{"b64": "YQ=="}')),
        *(INPUTS % f"[[1, {value}]]" for value in ("1e39", "1e400", 10**400, "1" * 5000)),
        *(INPUTS % ("[" * depth + "]" * depth) for depth in (200, 40_000)),
        # As a NumPy array of strings these would be 250 MB.
        INPUTS % json.dumps([["x" * 30_000, 0], *[[0, 0]] * 1000]),
    ],
)
def test_malformed_bodies(post, body):
    status, answer = post(body)
    assert status == 400
    assert set(answer) == {"error"} and ".py" not in answer["error"]


def test_paths_and_methods(address):
    double = {"signature_name": "double", "inputs": [[1, 2]]}
    for method, path, status in (
        ("GET", "/", 404),
        ("GET", "/v1/models", 400),
        ("GET", "/v1/models/n", 404),
        ("GET", "/v1/models/m/versions/4", 404),
        ("GET", "/v1/models/m/versions/99999999999999999999", 404),
        ("GET", "/v1/models/m/labels/x", 400),
        ("GET", "/v1/models/%ff", 400),
        ("POST", "/v1/models/n:predict", 404),
        ("POST", "/v1/models/m/versions/4:predict", 404),
        ("POST", "/v1/models/m:classify", 501),
        ("POST", "/v1/models/m:regress", 501),
        ("DELETE", "/v1/models/m", 400),
        ("GET", "/v1/models/m:predict", 400),
        ("POST", METRICS, 404),
    ):
        found, answer, _ = rest(address, method, path, double if method == "POST" else None)
        assert (found, set(answer)) == (status, {"error"}), path


# --- What is told of models ---


def test_status(address):
    available = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    entries = [{"version": "12", **available}, {"version": "3", **available}]
    for where, first in (("", 0), ("/versions/3", 1), ("/labels/stable", 1)):
        answer = {"model_version_status": entries[first:]}
        assert rest(address, "GET", f"/v1/models/m{where}")[:2] == (200, answer)


def test_metadata(address):
    status, answer, _ = rest(address, "GET", "/v1/models/m/labels/stable/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "m", "signature_name": "", "version": "3"}
    # TensorFlow Serving's own message, which knows every name that may stand here.
    found = json_format.ParseDict(answer["metadata"]["signature_def"], SignatureDefMap())
    signature = found.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert signature.inputs["sequence"].dtype == tf.float32.as_datatype_enum
    assert [dim.size for dim in signature.inputs["sequence"].tensor_shape.dim] == [-1, -1, FEATURES]
    assert signature.outputs["logits"].name.startswith("StatefulPartitionedCall")


def test_metrics(address, post):
    post({"signature_name": "double", "inputs": [[1, 2]]})
    post({"inputs": 1}, "/v1/models/nobody:predict")
    status, content, _ = rest(address, "GET", METRICS)
    assert status == 200
    text = f"\n{content.decode()}"
    for begin in (
        "# TYPE :tensorflow:serving:request_count counter",
        ':tensorflow:serving:request_count{model_name="m",status="OK"}',
        ':tensorflow:serving:request_latency_bucket{API="Predict",entrypoint="REST",le="10.0",',
        ":tensorflow:cc:saved_model:load_attempt_count{",
        "serving_devserver_queue_depth 0.0",
        # Names that strangers make up would fill the memory.
        ':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"}',
    ):
        assert f"\n{begin}" in text
    assert "nobody" not in text


# --- Before anything runs ---


def _first_line(address, *parts):
    """Sends parts of a request to predict, and returns the answer's first line."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        for part in (f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\n".encode(), *parts):
            connection.sendall(part)
        return connection.recv(1000).split(b"\r\n")[0]


def test_bodies_in_gzip(address):
    body = json.dumps({"signature_name": "double", "inputs": [[1, 2]]}).encode()
    packed, headers = gzip.compress(body), {"Content-Encoding": "gzip"}
    answered = rest(address, "POST", PREDICT, packed, headers)[:2]
    assert answered == (200, {"outputs": [[2.0, 4.0]]})
    bomb = gzip.compress(b" " * 10_000_000)
    wrong = (packed[:-9], body, b"", packed + packed, packed + bytes(1_000))
    for content, status in (*((content, 400) for content in wrong), (bomb, 413)):
        assert rest(address, "POST", PREDICT, content, headers)[0] == status


def test_a_page_of_somebody_else_cannot_ask(address):
    """A browser sends what any page says, and tells whose page it is."""
    port = address.split(":")[1]
    for headers, wanted in (
        ({"Host": "evil.example"}, 403),
        ({"Host": f"evil.example:{port}"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}, 200),
        ({"Host": f"[::1]:{port}"}, 200),
    ):
        assert rest(address, "GET", "/v1/models/m", headers=headers)[0] == wanted, headers


def test_bodies_over_the_limit(address):
    assert rest(address, "POST", PREDICT, " " * 100_001)[0] == 413
    # In chunks, of which no header tells the number.
    chunks = [b"c350\r\n" + b" " * 50_000 + b"\r\n"] * 3
    assert b" 413 " in _first_line(address, b"Transfer-Encoding: chunked\r\n\r\n", *chunks)


def test_timeout(two_versions):
    body = {"signature_name": "slow", "inputs": [small_models.LONG]}
    with serving(two_versions, rest_timeout_seconds=0.3) as (server, _):
        assert rest(server.rest_address, "POST", PREDICT, body)[0] == 504
        # And a body that does not end.
        line = _first_line(server.rest_address, b"Content-Length: 1000000\r\n\r\n{")
        assert b" 408 " in line and server.core.inside == 0


def test_full_queue(two_versions, monkeypatch):
    body, held, answers = {"signature_name": "slow", "inputs": [7]}, Held(monkeypatch), []
    with serving(two_versions, limits=Limits(max_concurrency=1, max_queue=0)) as (server, _):

        def ask():
            answers.append(rest(server.rest_address, "POST", PREDICT, body))

        thread = threading.Thread(target=ask)
        thread.start()
        wait_for(lambda: server.core.runner.running)
        ask()
        # Refused before its body came.
        line = _first_line(server.rest_address, b"Content-Length: 1000000\r\n\r\n")
        held.go.set()
        thread.join()
    assert b" 429 " in line
    (refused, _, headers), (status, answer, _) = answers
    assert (refused, headers["Retry-After"]) == (429, "1")
    assert (status, answer) == (200, {"outputs": [7]})
