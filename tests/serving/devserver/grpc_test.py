"""gRPC as a stock client sees it."""

from __future__ import annotations

import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.devserver.settings import Limits, ModelConfig
from serving.runtime.status import State
from tests.serving.devserver import small_models
from tests.serving.devserver.callers import (
    FRAME,
    SECONDS,
    H,
    Held,
    arrays,
    refusal,
    request_for,
    serving,
    status_of,
    step_for,
    turns,
    wait_for,
)

FEATURES, EXTREMES = small_models.FEATURES, small_models.EXTREMES


@pytest.fixture(scope="module")
def client(two_versions):
    limits = Limits(max_message_bytes=200_000, max_sequence_length=500)
    models = (ModelConfig("m", two_versions, specific=frozenset({3, 12})),)
    with serving(two_versions, models=models, limits=limits) as (_, client):
        yield client


def test_a_client_without_a_deadline_is_answered(client):
    """As every stub asks unless told otherwise."""
    request = request_for("double", x=[[1.0, 2.0]])
    assert arrays(client.call(request, timeout=None))["y"].tolist() == [[2, 4]]
    assert client.model.GetModelStatus(status_of()).model_version_status


@pytest.mark.parametrize(("size", "time"), [(1, 1), (4, 7), (2, 61)])
@pytest.mark.parametrize(
    ("asked", "signature", "version"), [(3, "serving_default", 3), (12, "", 12), (None, "", 12)]
)
def test_predict(client, size, time, asked, signature, version):
    sequence, lengths = small_models.sequences(size, time)
    request = request_for(signature, sequence=sequence, lengths=lengths)
    if asked is not None:
        request.model_spec.version.value = asked
    response = client.call(request)
    expected = small_models.Reference(version).sequence(sequence, lengths)
    outputs = arrays(response)
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, rtol=1e-5, atol=1e-5)
    spec = response.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("m", "serving_default", version)


def test_output_filter(client):
    request = step_for()
    request.output_filter.append("next_h")
    assert set(client.call(request).outputs) == {"next_h"}
    request.output_filter.append("gates")
    assert refusal(client.call, request) == "INVALID_ARGUMENT"


def test_every_type_goes_in_as_bytes_and_comes_out(client):
    outputs = client.predict("kinds", **{f"{name}_in": EXTREMES[name] for name in EXTREMES})
    assert outputs.keys() == EXTREMES.keys()
    for name, array in outputs.items():
        np.testing.assert_array_equal(array, EXTREMES[name])
        assert array.dtype == EXTREMES[name].dtype


def test_strings(client):
    outputs = client.predict("text", words=["straße".encode(), b"\xff\x00b"])
    assert outputs["upper"].tolist() == ["STRAßE".encode(), b"\xff\x00B"]
    assert outputs["same_bytes"].tolist() == ["straße".encode(), b"\xff\x00b"]


def test_numbers_come_as_values_or_as_bytes(client, two_versions):
    """Values by default, as TensorFlow Serving has it: its own sample clients read `float_val`."""
    request = request_for("double", x=[[1.0, 2.5]])
    y = client.call(request).outputs["y"]
    assert list(y.float_val) == [2, 5] and not y.tensor_content
    with serving(two_versions, tensor_content=True) as (_, other):
        y = other.call(request).outputs["y"]
    assert not y.float_val and y.tensor_content == np.array([2, 5], np.float32).tobytes()


# --- Refusals ---


def _sequence(rows, time, claimed=0):
    """A request that claims to have more rows than it has."""
    sequence = np.zeros((rows, time, FEATURES), np.float32)
    request = request_for("", sequence=sequence, lengths=np.ones(rows, np.int32))
    request.inputs["sequence"].tensor_shape.dim[0].size = claimed or rows
    return request


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (step_for(name="n"), "NOT_FOUND"),
        (step_for(name="\N{MUSICAL SYMBOL G CLEF}" * 2000), "NOT_FOUND"),
        (step_for(version=4), "NOT_FOUND"),
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT"),
        (step_for(label="stable"), "INVALID_ARGUMENT"),
        (request_for("chunk"), "FAILED_PRECONDITION"),
        (request_for("__saved_model_init_op"), "FAILED_PRECONDITION"),
        (request_for("step", frame=FRAME), "INVALID_ARGUMENT"),
        (request_for("step", frame=FRAME, h=H, c=H), "INVALID_ARGUMENT"),
        (request_for("step", frame=[[[1.0] * 3]], h=[[1.0]]), "INVALID_ARGUMENT"),
        (request_for("double", x=[[1, 2]]), "INVALID_ARGUMENT"),
        (request_for("broken", x=[1.0, 2.0]), "INVALID_ARGUMENT"),
        (_sequence(1, 1, claimed=10**12), "INVALID_ARGUMENT"),
        # Rows without frames have no bytes, but each has a state in the graph.
        (_sequence(1, 0, claimed=400_000), "INVALID_ARGUMENT"),
        (_sequence(1, 501), "INVALID_ARGUMENT"),
        (_sequence(100, 500), "RESOURCE_EXHAUSTED"),
    ],
)
def test_what_is_refused(client, request_, code):
    assert refusal(client.call, request_) == code


def test_bytes_that_are_no_message(client):
    call = client.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert refusal(call, b"\xff\xff\xff", timeout=SECONDS) == "INVALID_ARGUMENT"


def test_the_graph_decides_about_shapes(client):
    """Not the signature: TensorFlow Serving runs what the graph takes."""
    assert client.predict("scalar", x=np.float32(3))["y"].tolist() == [3, 3]


def test_deadline(client):
    assert refusal(client.call, turns(small_models.LONG), timeout=0.3) == "DEADLINE_EXCEEDED"
    assert arrays(client.call(turns(7)))["done"].tolist() == [7]


# --- Other methods ---


def test_other_methods_are_refused(client):
    for method, request in (
        ("Classify", classification_pb2.ClassificationRequest()),
        ("Regress", regression_pb2.RegressionRequest()),
        ("MultiInference", inference_pb2.MultiInferenceRequest()),
    ):
        call = getattr(client.prediction, method)
        assert refusal(call, request, timeout=SECONDS) == "UNIMPLEMENTED"


def test_metadata(client):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "m"
    request.metadata_field.append("signature_def")
    response = client.prediction.GetModelMetadata(request, timeout=SECONDS)
    assert response.model_spec.version.value == 12
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    sequence = signatures.signature_def["serving_default"].inputs["sequence"]
    assert [dim.size for dim in sequence.tensor_shape.dim] == [-1, -1, FEATURES]
    request.metadata_field.append("weights")
    assert refusal(client.prediction.GetModelMetadata, request) == "INVALID_ARGUMENT"


def test_status(client):
    found = client.model.GetModelStatus(status_of(), timeout=SECONDS).model_version_status
    told = [(one.version, one.state, one.status.error_code) for one in found]
    assert told == [(12, State.AVAILABLE, 0), (3, State.AVAILABLE, 0)]
    assert refusal(client.model.GetModelStatus, status_of(version=5)) == "NOT_FOUND"


def test_health(client):
    stub = health_pb2_grpc.HealthStub(client.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


# --- The queue ---


def test_queue_is_bounded_and_a_client_that_left_is_not_served(two_versions, monkeypatch):
    held = Held(monkeypatch)
    limits = Limits(max_concurrency=1, max_queue=1)
    with serving(two_versions, limits=limits) as (server, client):
        core, long = server.core, turns(small_models.LONG)
        runs = client.prediction.Predict.future(turns(7), timeout=SECONDS)
        wait_for(lambda: core.runner.running == 1)
        waits = client.prediction.Predict.future(long, timeout=SECONDS)
        wait_for(lambda: core.inside == 2)
        assert refusal(client.call, long) == "RESOURCE_EXHAUSTED"
        # Control calls do not queue.
        assert client.model.GetModelStatus(status_of(), timeout=SECONDS).model_version_status
        waits.cancel()
        wait_for(lambda: core.inside == 1)
        held.go.set()
        assert arrays(runs.result())["done"].tolist() == [7]
        # Had the other been started, it would run for minutes.
        wait_for(lambda: core.inside == core.runner.running == 0)
        counts = core.metrics.page().decode()
        for status in ("CANCELLED", "RESOURCE_EXHAUSTED"):
            assert f'request_count{{model_name="m",status="{status}"}} 1.0' in counts
