"""What only REST has: JSON, status codes of HTTP, and whatever stands between."""

import datetime
import email.utils
import json

import numpy as np
import pytest

from serving.client import Client, ServingError
from serving.runtime import json_tensors
from serving.runtime.specs import Signature, TensorSpec
from tests.serving.clients import known, servers


@pytest.fixture
def server():
    with servers.rest_server() as fake:
        yield fake


@pytest.fixture
def client(server):
    with Client(server.address, "known", retries=1, backoff=0.0) as client:
        client.signatures()
        server.calls.clear()
        yield client


STEP = {"frame": np.ones((1, 5)), "h": np.zeros((1, 4)), "c": np.zeros((1, 4))}
FLOATS = Signature({}, {"y": TensorSpec("float32", (None, None, 2))})
STRINGS = Signature({}, {"y": TensorSpec("string", (None,)), "z": TensorSpec("int32", (None,))})


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (404, "NOT_FOUND"),
        (413, "INVALID_ARGUMENT"),
        (500, "INTERNAL"),
        (501, "UNIMPLEMENTED"),
        (504, "DEADLINE_EXCEEDED"),
        (418, "UNKNOWN"),
    ],
)
def test_status_codes_have_names(client, server, status, code):
    server.failures.append((status, {}, {"error": "Servable not found\nfor request"}))
    with pytest.raises(ServingError, match="Servable not found for request$") as caught:
        client.predict(STEP, "step")
    assert caught.value.code == code
    assert len(server.calls) == 1


def test_a_page_of_a_proxy_is_not_shown(client, server):
    server.failures.append((502, {}, b"<html>\nBad\n</html>"))
    with pytest.raises(ServingError, match="HTTP 502 Bad Gateway$"):
        client.predict(STEP, "step")


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_respected(client, server, status):
    server.failures.append((status, {"Retry-After": "3600"}, {"error": "later"}))
    with pytest.raises(ServingError, match="later") as caught:
        client.predict(STEP, "step")
    assert caught.value.retry_after == 3600
    assert len(server.calls) == 1, "an hour is beyond the deadline"


def test_retry_after_may_be_a_date(client, server):
    date = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=2)
    server.failures.append(
        (503, {"Retry-After": email.utils.format_datetime(date, usegmt=True)}, {"error": "later"})
    )
    with pytest.raises(ServingError) as caught:
        client.predict(STEP, "step")
    assert 7100 < caught.value.retry_after <= 7200


def test_a_retry_after_that_says_nothing_does_no_harm(client, server):
    server.failures.append((503, {"Retry-After": "soon"}, {"error": "later"}))
    client.predict(STEP, "step")
    assert len(server.calls) == 2


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"<html>", "expected JSON. Received: '<html>'"),
        (b"\xff\xfe", "expected JSON"),
        (b"[]", "expected the outputs logits, next_c, next_h as tensors"),
        (b'{"outputs": {"logits": [[1]]}}', "no output next_c, next_h"),
        (b'{"outputs": {"logits": "x", "next_c": [], "next_h": []}}', "expected values of float32"),
        (b'{"outputs": 1}', "expected the outputs"),
    ],
)
def test_an_answer_of_another_kind_is_refused(client, server, body, problem):
    server.failures.append((200, {}, body))
    with pytest.raises(ServingError, match=problem) as caught:
        client.predict(STEP, "step")
    assert caught.value.code == "INTERNAL"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"metadata": {"signature_def": {}}}'])
def test_metadata_of_another_kind_is_refused(server, body):
    server.failures.append((200, {}, body))
    with (
        Client(server.address, "known") as client,
        pytest.raises(ServingError, match="expected metadata with a signature_def"),
    ):
        client.signatures()


@pytest.mark.parametrize("body", [b"{}", b'{"model_version_status": [{"version": "x"}]}'])
def test_status_of_another_kind_is_refused(client, server, body):
    server.failures.append((200, {}, body))
    with pytest.raises(ServingError, match="expected model_version_status"):
        client.status()


def test_what_is_sent_is_what_the_server_reads(client, server):
    client.predict({**STEP, "c": np.array([[np.nan, np.inf, -np.inf, 0.1]])}, "step")
    ((path, request),) = server.calls
    assert path == "/v1/models/known:predict"
    assert list(request) == ["signature_name", "inputs"]
    assert str(request["inputs"]["c"]) == str([[np.nan, np.inf, -np.inf, float(np.float32(0.1))]])


def test_an_address_may_have_a_path(server):
    with Client(f"{server.address}/behind/proxy/", "a/b") as client:
        client.signatures()
    assert server.calls[0][0] == "/behind/proxy/v1/models/a%2Fb/metadata"


# --- JSON ---


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "uint8", "bool"])
def test_numbers_are_written_exactly(dtype):
    array = (np.random.default_rng(3).normal(size=(2, 3)) * 100).astype(dtype)
    written = json.loads(json_tensors.request_body({"x": array}, "s"))["inputs"]["x"]
    np.testing.assert_array_equal(np.array(written, dtype), array)


def test_strings_are_written_in_base64():
    strings = np.array([[b"a", "\u0259".encode()], [b"\xff\0", b""]], object)
    inputs = {"x": strings, "y": np.array([np.nan])}
    written = json.loads(json_tensors.request_body(inputs, "s"))["inputs"]["x"]
    assert written == [[{"b64": "YQ=="}, {"b64": "yZk="}], [{"b64": "/wA="}, {"b64": ""}]]


def test_strings_are_read_from_text_and_base64():
    body = b'{"y": ["\xc9\x99", {"b64": "/wA="}, "\xff\\u0000"], "z": [1, 2, 3]}'
    outputs = json_tensors.read_outputs(json_tensors.read_json(body), STRINGS)
    assert outputs["y"].tolist() == ["\u0259".encode(), b"\xff\0", b"\xff\0"]
    assert outputs["z"].dtype == np.int32


@pytest.mark.parametrize("wrong", [1, None, {"b64": "?"}, {"c64": "YQ=="}])
def test_other_values_are_no_strings(wrong):
    with pytest.raises(ValueError):
        json_tensors.read_outputs({"y": [wrong], "z": [1]}, STRINGS)


def test_the_only_output_comes_with_or_without_its_name():
    values = [[[1.5, 2.5]]]
    for outputs in (values, {"y": values}):
        np.testing.assert_array_equal(json_tensors.read_outputs(outputs, FLOATS)["y"], values)


def test_tokens_that_are_no_json_are_read():
    outputs = json_tensors.read_outputs(
        json_tensors.read_json(b"[[[NaN, Infinity], [-Infinity, 2]]]"), FLOATS
    )
    np.testing.assert_array_equal(outputs["y"], [[[np.nan, np.inf], [-np.inf, 2]]])


@pytest.mark.parametrize(("value", "shape"), [([], (0, 0, 2)), ([[], []], (2, 0, 2))])
def test_empty_outputs_keep_their_shape(value, shape):
    assert json_tensors.read_outputs(value, FLOATS)["y"].shape == shape


def test_signatures_of_an_unknown_rank_and_type():
    infos = {
        "x": {"dtype": "DT_VARIANT", "tensor_shape": {"dim": [], "unknown_rank": True}},
        "y": {"dtype": "DT_HALF", "tensor_shape": {"dim": []}, "name": "y:0"},
    }
    method = "tensorflow/serving/predict"
    signature_def = {"f": {"inputs": infos, "outputs": {}, "method_name": method}}
    metadata = {"signature_def": {"signature_def": signature_def}}
    assert json_tensors.read_signatures(metadata) == {
        "f": Signature(
            {"x": TensorSpec("DataType 21", None), "y": TensorSpec("float16", (), "y:0")}, {}
        )
    }


def test_the_known_models_metadata():
    read = json_tensors.read_signatures(servers.metadata()["metadata"])
    assert read.keys() == known.SIGNATURES.keys()
    assert read["step"].inputs["frame"].shape == (None, known.INPUTS)
