"""REST as plain HTTP sees it."""

from __future__ import annotations

import base64
import dataclasses
import json
import math

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap

from serving.devserver.launch import running
from serving.devserver.settings import Latest, Limits, ModelConfig, Settings
from tests.serving.devserver import small_models
from tests.serving.devserver.callers import rest as call

FEATURES = small_models.FEATURES
METRICS = "/metrics/of/mine"


@pytest.fixture(scope="module")
def server(references):
    folder, _ = references
    models = (ModelConfig("m", folder, Latest(2), {"stable": 3}),)
    limits = Limits(max_message_bytes=100_000, max_sequence_length=500)
    loading = Settings(models).loading
    with running(
        Settings(
            models,
            loading=dataclasses.replace(loading, labels_for_unavailable_models=True),
            limits=limits,
            grpc_port=None,
            metrics_path=METRICS,
        )
    ) as server:
        yield server


@pytest.fixture(scope="module")
def post(server):
    def post(body, path="/v1/models/m:predict", headers=None):
        status, answer, _ = call(server.rest_address, "POST", path, body, headers)
        return status, answer

    return post


@pytest.fixture(scope="module")
def get(server):
    def get(path):
        status, answer, _ = call(server.rest_address, "GET", path)
        return status, answer

    return get


@pytest.mark.parametrize(
    ("where", "version"),
    [("", 12), ("/versions/3", 3), ("/labels/stable", 3), ("/VERSIONS/12", 12)],
)
def test_columns(post, references, where, version):
    sequence, lengths = small_models.sequences(3, 7)
    status, answer = post(
        {"inputs": {"sequence": sequence.tolist(), "lengths": lengths.tolist()}},
        f"/v1/models/m{where}:predict",
    )
    assert status == 200
    expected = references[1][version].sequence(sequence, lengths)
    assert set(answer["outputs"]) == {"logits", "h", "version", "rows"}
    for name, value in expected.items():
        np.testing.assert_allclose(answer["outputs"][name], value, rtol=1e-5, atol=1e-5)


def test_rows(post, references):
    sequence, lengths = small_models.sequences(3, 7)
    rows = [
        {"sequence": row.tolist(), "lengths": int(length)}
        for row, length in zip(sequence, lengths, strict=True)
    ]
    status, answer = post({"signature_name": "serving_default", "instances": rows})
    assert status == 200
    expected = references[1][12].sequence(sequence, lengths)
    assert len(answer["predictions"]) == 3
    for name, value in expected.items():
        ours = [row[name] for row in answer["predictions"]]
        np.testing.assert_allclose(ours, value, rtol=1e-5, atol=1e-5)


def test_one_input_and_one_output_go_without_names(post):
    double = {"signature_name": "double"}
    expected = [[2.0, 4.0], [6.0, 1.0]]
    for body in (
        {"instances": [[1, 2], [3, 0.5]]},
        {"instances": [{"x": [1, 2]}, {"x": [3, 0.5]}]},
    ):
        assert post(double | body) == (200, {"predictions": expected})
    for body in ({"inputs": [[1, 2], [3, 0.5]]}, {"inputs": {"x": [[1, 2], [3, 0.5]]}}):
        assert post(double | body) == (200, {"outputs": expected})


def test_strings_and_bytes(post):
    raw = base64.b64encode(b"\xff\x00b").decode()
    text = {"signature_name": "text"}
    status, answer = post(text | {"instances": ["stra\u00dfe", {"b64": raw}, {"b64": "YQ"}]})
    assert status == 200
    assert [row["upper"] for row in answer["predictions"]] == ["STRA\u00dfE", "\ufffd\0B", "A"]
    assert [base64.b64decode(row["same_bytes"]["b64"]) for row in answer["predictions"]] == [
        "stra\u00dfe".encode(),
        b"\xff\x00b",
        b"a",
    ]
    status, answer = post(text | {"inputs": [{"b64": "!"}]})
    assert status == 400 and answer["error"] == 'input "words": Unable to base64 decode'


def test_numbers_without_end(post):
    body = '{"signature_name": "extremes", "inputs": [1.5, NaN, -Infinity]}'
    status, answer = post(body)
    assert status == 200
    assert answer["outputs"][0][:2] == [math.inf, -math.inf]
    assert math.isnan(answer["outputs"][0][2]) and answer["outputs"][0][3] == 1.5
    assert math.isnan(answer["outputs"][1][3]) and answer["outputs"][2][3] == -math.inf


def test_every_type(post):
    inputs = {
        f"{name}_in": [[int(np.iinfo(name).min), int(np.iinfo(name).max)]]
        for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    } | {"float16_in": [[0.5, 2]], "float32_in": [[0.1, 3e38]], "float64_in": [[0.1, 1e300]]}
    inputs["bool_in"] = [[True, False]]
    status, answer = post({"signature_name": "kinds", "inputs": inputs})
    assert status == 200, answer
    assert answer["outputs"] == {
        name.removesuffix("_in"): (
            [[np.float32(0.1), np.float32(3e38)]] if name == "float32_in" else value
        )
        for name, value in inputs.items()
    } | {"float32": [[0.1, 3e38]]}


# --- Refusals ---

DOUBLE = '{"signature_name": "double", "inputs": %s}'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", "JSON Parse error"),
        ("{", "JSON Parse error"),
        (b'{"inputs": "\xff"}', "JSON Parse error"),
        ("[1]", "Is not object"),
        ("{}", "either the key 'inputs' or the key 'instances'"),
        ('{"instances": [1], "inputs": [1]}', "either the key 'inputs' or the key 'instances'"),
        ('{"instances": {}}', "'instances': expected a list"),
        ('{"instances": []}', "'instances': expected a list with at least one value"),
        ('{"instances": [[1]]}', "expected an object with the inputs lengths,sequence"),
        ('{"inputs": [[1]]}', "expected an object with the inputs lengths,sequence"),
        ('{"inputs": {"sequence": [[[1,2,3]]]}}', "Missing but required: {lengths}"),
        ('{"instances": [{"sequence": [[1,2,3]]}]}', "item 0: expected an object with the inputs"),
        ('{"signature_name": 7, "inputs": 1}', "'signature_name' key must be a string value"),
        ('{"signature_name": "x", "inputs": 1}', 'signature key "x" not found'),
        ('{"signature_name": "\\ud800", "inputs": 1}', "not found"),
        ('{"signature_name": "double", "instances": [[1, 2], {"x": [1, 2]}]}', "lists and objects"),
        ('{"signature_name": "double", "instances": [{"x": [1, 2]}, [1, 2]]}', "item 1: expected"),
        (DOUBLE % "[[1, 2], [3]]", "lists of one shape, [2, 2]"),
        (DOUBLE % "[[1, 2], 3]", "lists of one shape"),
        (DOUBLE % "[[1, [2]]]", "lists of one shape"),
        (DOUBLE % '[[1, "2"]]', "expected values of float32. Received: '2'"),
        (DOUBLE % "[[1, null]]", "expected values of float32. Received: None"),
        (DOUBLE % "[[1, true]]", "expected values of float32. Received: True"),
        (DOUBLE % '[[1, {"b64": "YQ=="}]]', "expected values of float32. Received: {"),
        (DOUBLE % "[[1, 1e39]]", "expected values of float32. Received: "),
        (DOUBLE % "[[1, -1e400]]", "beyond every number"),
        (DOUBLE % "[[1, 16777217]]", "expected values of float32. Received: 16777217"),
        (DOUBLE % f"[[1, {10**400}]]", "expected values of float32"),
        (DOUBLE % f"[[1, {'1' * 5000}]]", "JSON Parse error"),
        (DOUBLE % ("[" * 200 + "]" * 200), "lists of one shape"),
        (DOUBLE % ("[" * 40_000 + "]" * 40_000), "nested too deeply"),
        ('{"signature_name": "double", "inputs": "\\ud800"}', "expected values of float32"),
        ('{"signature_name": "slow", "inputs": [1.5]}', "expected values of int32. Received: 1.5"),
        ('{"signature_name": "slow", "inputs": [3000000000]}', "expected values of int32"),
        ('{"signature_name": "broken", "inputs": [1, 2]}', "reshape"),
        (
            json.dumps({"inputs": {"sequence": [[[0] * 3] * 501], "lengths": [1]}}),
            "expected at most 500 steps. Received: shape [1, 501, 3]",
        ),
    ],
)
def test_malformed_bodies(post, body, text):
    status, answer = post(body)
    assert status == 400
    assert text in answer["error"]
    assert set(answer) == {"error"} and ".py" not in answer["error"]


@pytest.mark.parametrize("sequence", [[], [[], []]])
def test_what_is_empty_is_answered_as_over_grpc(post, sequence):
    body = {"inputs": {"sequence": sequence, "lengths": [0] * len(sequence)}}
    status, answer = post(body)
    assert status == 200, answer
    assert answer["outputs"]["h"] == [[0.0] * FEATURES] * len(sequence)


def test_a_long_string_among_many_values_takes_no_memory(post):
    # As a NumPy array of strings these would be 250 MB.
    body = {"signature_name": "double", "inputs": [["x" * 30_000, 0], *[[0, 0]] * 1000]}
    status, answer = post(body)
    assert status == 400 and "expected values of float32. Received: 'xx" in answer["error"]


def test_kinds_of_content(post):
    body = json.dumps({"signature_name": "double", "inputs": [[1, 2]]})
    for kind in ("application/json; charset=utf-8", "application/x-www-form-urlencoded", ""):
        assert post(body, headers={"Content-Type": kind})[0] == 200
    status, answer = post(body, headers={"Content-Type": "multipart/form-data"})
    assert status == 415 and "multipart/form-data" in answer["error"]
    status, answer = post(body, headers={"Content-Encoding": "br"})
    assert status == 415 and "br" in answer["error"]


def test_paths_and_methods(server, get, post):
    assert get("/v1/models") == (400, {"error": "Missing model name in request."})
    assert get("/v1/models/n") == (404, {"error": "Could not find any versions of model n"})
    assert get("/v1/models/m/versions/4")[0] == 404
    assert get("/v1/models/m/versions/99999999999999999999") == (
        400,
        {"error": "Failed to convert version: 99999999999999999999 to numeric."},
    )
    assert get("/v1/models/m/labels/x") == (
        400,
        {"error": "Unrecognized servable version label: x"},
    )
    assert get("/v1/models/%ff")[0] == 400
    assert get("/v1/nothing") == (400, {"error": "Malformed request: GET /v1/nothing"})
    assert get("/") == (404, {"error": "Not Found"})
    body = {"signature_name": "double", "inputs": [[1, 2]]}
    assert post(body, "/v1/models/n:predict") == (
        404,
        {"error": "Servable not found for request: Latest(n)"},
    )
    assert post(body, "/v1/models/m/versions/4:predict") == (
        404,
        {"error": "Servable not found for request: Specific(m, 4)"},
    )
    status, answer, headers = call(server.rest_address, "DELETE", "/v1/models/m")
    assert (status, headers["Allow"]) == (405, "GET")
    assert answer == {"error": "Malformed request: DELETE /v1/models/m"}
    status, _, headers = call(server.rest_address, "GET", "/v1/models/m:predict")
    assert (status, headers["Allow"]) == (405, "POST")


def test_other_methods_are_refused(post):
    for method in ("classify", "regress"):
        status, answer = post({"examples": [{"x": 1}]}, f"/v1/models/m:{method}")
        assert status == 501 and method in answer["error"]


def test_status(get):
    available = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    entries = [{"version": "12", **available}, {"version": "3", **available}]
    assert get("/v1/models/m") == (200, {"model_version_status": entries})
    assert get("/v1/models/m/versions/3") == (200, {"model_version_status": entries[1:]})
    assert get("/v1/models/m/labels/stable") == (200, {"model_version_status": entries[1:]})


def test_metadata(get):
    status, answer = get("/v1/models/m/labels/stable/metadata")
    assert status == 200
    assert answer["model_spec"] == {
        "name": "m",
        "signature_name": "",
        "version": "3",
    }
    # TensorFlow Serving's own message, which knows every name that may stand here.
    found = json_format.ParseDict(answer["metadata"]["signature_def"], SignatureDefMap())
    signature = found.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert signature.inputs["sequence"].dtype == tf.float32.as_datatype_enum
    assert [dim.size for dim in signature.inputs["sequence"].tensor_shape.dim] == [-1, -1, FEATURES]
    assert signature.outputs["logits"].name.startswith("StatefulPartitionedCall")


def test_metrics(server, get, post):
    post({"signature_name": "double", "inputs": [[1, 2]]})
    post({"inputs": 1}, "/v1/models/nobody:predict")
    status, content = get(METRICS)
    lines = content.decode().splitlines()
    assert status == 200
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    (count,) = (
        line
        for line in lines
        if line.startswith(':tensorflow:serving:request_count{model_name="m",status="OK"}')
    )
    assert float(count.split()[-1]) >= 1
    assert any(
        line.startswith(
            ':tensorflow:serving:request_latency_bucket{API="Predict",entrypoint="REST",le="10.0",'
        )
        for line in lines
    )
    assert any(":tensorflow:cc:saved_model:load_attempt_count{" in line for line in lines)
    assert "serving_devserver_queue_depth 0.0" in lines
    # Names that strangers make up would fill the memory.
    assert "nobody" not in content.decode()
    assert ':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"}' in content.decode()
