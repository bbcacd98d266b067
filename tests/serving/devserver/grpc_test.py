"""gRPC as a stock client sees it."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.devserver.launch import running
from serving.devserver.settings import Limits, ModelConfig, Settings, Specific
from tests.serving.devserver import small_models
from tests.serving.devserver.callers import (
    SECONDS,
    Grpc,
    Held,
    arrays,
    request_for,
    wait_for,
)

FEATURES = small_models.FEATURES


@pytest.fixture(scope="module")
def server(references):
    folder, _ = references
    config = ModelConfig("m", folder, Specific(frozenset({3, 12})))
    limits = Limits(max_message_bytes=200_000, max_sequence_length=500)
    with running(Settings((config,), limits=limits)) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with Grpc(server.grpc_address) as client:
        yield client


def test_a_client_without_a_deadline_is_answered(client):
    """As every stub asks unless told otherwise; reloads, too."""
    request = request_for("double", x=[[1.0, 2.0]])
    assert arrays(client.call(request, timeout=None))["y"].tolist() == [[2, 4]]
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "m"
    assert client.model.GetModelStatus(status).model_version_status


def _refused(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        call()
    assert "Traceback" not in error.value.details() and ".py" not in error.value.details()
    return error.value.code(), error.value.details()


@pytest.mark.parametrize(("size", "time"), [(1, 1), (4, 7), (2, 61)])
@pytest.mark.parametrize("version", [3, 12])
def test_predict(client, references, size, time, version):
    sequence, lengths = small_models.sequences(size, time)
    request = request_for("serving_default", sequence=sequence, lengths=lengths)
    request.model_spec.version.value = version
    response = client.call(request)
    expected = references[1][version].sequence(sequence, lengths)
    outputs = arrays(response)
    assert set(outputs) == {"logits", "h", "version", "rows"}
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, rtol=1e-5, atol=1e-5)
    assert (response.model_spec.name, response.model_spec.signature_name) == (
        "m",
        "serving_default",
    )
    assert response.model_spec.version.value == version


def test_latest_version_and_default_signature(client, references):
    sequence, lengths = small_models.sequences(2, 5)
    response = client.call(request_for("", sequence=sequence, lengths=lengths))
    assert response.model_spec.version.value == 12
    expected = references[1][12].sequence(sequence, lengths)["logits"]
    np.testing.assert_allclose(arrays(response)["logits"], expected, rtol=1e-5, atol=1e-5)


def test_output_filter(client, references):
    frame, h = np.random.default_rng(1).normal(size=(2, 4, FEATURES)).astype(np.float32)
    request = request_for("step", frame=frame, h=h)
    request.output_filter.append("next_h")
    assert set(client.call(request).outputs) == {"next_h"}
    request.output_filter.append("next_h")
    assert "duplicate" in _refused(lambda: client.call(request))[1]
    request.output_filter[:] = ["gates"]
    code, text = _refused(lambda: client.call(request))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert text.startswith("output tensor alias not found in signature: gates")


EXTREMES = {
    name: [[np.iinfo(name).min, np.iinfo(name).max]]
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
} | {"float16": [[0.1, np.inf]], "float32": [[0.1, np.nan]], "float64": [[0.1, -np.inf]]}


def _kinds() -> dict[str, np.ndarray]:
    values = {name: np.array(value, name) for name, value in EXTREMES.items()}
    return {f"{name}_in": array for name, array in values.items()} | {
        "bool_in": np.array([[True, False]])
    }


def test_every_type_goes_in_as_bytes_and_comes_out(client):
    inputs = _kinds()
    outputs = client.predict("kinds", **inputs)
    assert len(outputs) == 12
    for name, array in outputs.items():
        np.testing.assert_array_equal(array, inputs[f"{name}_in"])
        assert array.dtype == inputs[f"{name}_in"].dtype


def test_every_type_goes_in_as_values(client):
    inputs = _kinds()
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "m", "kinds"
    for name, array in inputs.items():
        # A list of lists makes TensorFlow's helper write values; one value it always writes so.
        proto = tf.make_tensor_proto(array[0, 0])
        assert not proto.tensor_content
        proto.tensor_shape.dim.add(size=1)
        proto.tensor_shape.dim.add(size=2)
        request.inputs[name].CopyFrom(proto)
    outputs = arrays(client.call(request))
    for name, array in outputs.items():
        # The one value stands for both.
        np.testing.assert_array_equal(array[0], np.repeat(inputs[f"{name}_in"][0, :1], 2))


def test_strings(client):
    outputs = client.predict("text", words=["straße".encode(), b"\xff\x00b"])
    assert outputs["upper"].tolist() == ["STRAßE".encode(), b"\xff\x00B"]
    assert outputs["same_bytes"].tolist() == ["straße".encode(), b"\xff\x00b"]


def test_numbers_come_as_values_or_as_bytes(client, references):
    """Values by default, as TensorFlow Serving has it: its own sample clients read `float_val`."""
    folder, _ = references
    request = request_for("double", x=[[1.0, 2.5]])
    response = client.call(request)
    assert list(response.outputs["y"].float_val) == [2, 5]
    assert not response.outputs["y"].tensor_content
    settings = Settings((ModelConfig("m", folder),), rest_port=None, tensor_content=True)
    with running(settings) as server, Grpc(server.grpc_address) as other:
        response = other.call(request)
    assert not response.outputs["y"].float_val
    assert response.outputs["y"].tensor_content == np.array([2, 5], np.float32).tobytes()


# --- Refusals ---


def test_unknown_models_versions_labels_and_signatures(client):
    request = request_for("serving_default")
    request.model_spec.name = "n"
    assert _refused(lambda: client.call(request)) == (
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(n)",
    )
    request.model_spec.name = "m"
    request.model_spec.version.value = 4
    assert _refused(lambda: client.call(request)) == (
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Specific(m, 4)",
    )
    request.model_spec.version_label = "stable"
    assert _refused(lambda: client.call(request)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Unrecognized servable version label: stable",
    )
    assert _refused(lambda: client.predict("chunk")) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "chunk" not found.',
    )
    assert _refused(lambda: client.predict("__saved_model_init_op"))[0] == (
        grpc.StatusCode.FAILED_PRECONDITION
    )
    request.Clear()
    assert _refused(lambda: client.call(request)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "ModelSpec has no name specified.",
    )


def test_wrong_names_of_inputs(client):
    frame = np.zeros((1, FEATURES), np.float32)
    for inputs, sent in (({"frame": frame}, "{}"), ({"frame": frame, "c": frame}, "{c}")):
        code, text = _refused(lambda inputs=inputs: client.predict("step", **inputs))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert text.endswith(f"Sent extra: {sent}. Missing but required: {{h}}.")


def test_the_graph_decides_about_shapes(client):
    """Not the signature: TensorFlow Serving runs what the graph takes."""
    assert client.predict("scalar", x=np.float32(3))["y"].tolist() == [3, 3]
    code, _ = _refused(lambda: client.predict("step", frame=[[[1.0] * 3]], h=[[1.0]]))
    assert code == grpc.StatusCode.INVALID_ARGUMENT


def test_malformed_tensors(client):
    request = request_for("double", x=np.ones((3, 2), np.float32))
    request.inputs["x"].tensor_shape.dim[0].size = 10**12
    assert _refused(lambda: client.call(request)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        'input "x": expected at most 200000 bytes. '
        "Received: shape [1000000000000, 2], 8000000000000 bytes",
    )
    # Rows without frames have no bytes, but each has a state in the graph.
    request = request_for("serving_default", sequence=np.zeros((1, 0, 3), np.float32), lengths=[1])
    request.inputs["sequence"].tensor_shape.dim[0].size = 400_000
    code, text = _refused(lambda: client.call(request))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "at most 200000 bytes" in text


def test_bytes_that_are_no_message(client):
    call = client.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert _refused(lambda: call(b"\xff\xff\xff", timeout=SECONDS)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "expected a PredictRequest",
    )


def test_limits_of_sizes(client):
    sequence, lengths = np.zeros((1, 501, FEATURES), np.float32), np.array([1], np.int32)
    assert _refused(
        lambda: client.predict("serving_default", sequence=sequence, lengths=lengths)
    ) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        'input "sequence": expected at most 500 steps. Received: shape [1, 501, 3]',
    )
    large = np.zeros((100, 500, FEATURES), np.float32)
    code, _ = _refused(lambda: client.predict("serving_default", sequence=large, lengths=lengths))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_failing_operation_tells_no_stack(client):
    code, text = _refused(lambda: client.predict("broken", x=np.zeros(3, np.float32)))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "reshape" in text and "\n" not in text


def test_deadline(client):
    request = request_for("slow", turns=np.array([small_models.LONG], np.int32))
    code, _ = _refused(lambda: client.call(request, timeout=0.3))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert client.predict("slow", turns=np.array([7], np.int32))["done"].tolist() == [7]


# --- Other methods ---


def test_other_methods_are_refused(client):
    for method, request in (
        ("Classify", classification_pb2.ClassificationRequest()),
        ("Regress", regression_pb2.RegressionRequest()),
        ("MultiInference", inference_pb2.MultiInferenceRequest()),
    ):
        call = getattr(client.prediction, method)
        code, _ = _refused(lambda call=call, request=request: call(request, timeout=SECONDS))
        assert code == grpc.StatusCode.UNIMPLEMENTED


def test_metadata(client):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    assert _refused(lambda: client.prediction.GetModelMetadata(request, timeout=SECONDS))[1] == (
        "Missing ModelSpec"
    )
    request.model_spec.name = "m"
    request.metadata_field.append("signature_def")
    response = client.prediction.GetModelMetadata(request, timeout=SECONDS)
    assert response.model_spec.version.value == 12
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    sequence = signatures.signature_def["serving_default"].inputs["sequence"]
    assert [dim.size for dim in sequence.tensor_shape.dim] == [-1, -1, FEATURES]
    request.metadata_field.append("weights")
    assert _refused(lambda: client.prediction.GetModelMetadata(request, timeout=SECONDS))[0] == (
        grpc.StatusCode.INVALID_ARGUMENT
    )


def test_status(client):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "m"
    response = client.model.GetModelStatus(request, timeout=SECONDS)
    assert [
        (entry.version, entry.state, entry.status.error_code)
        for entry in response.model_version_status
    ] == [(12, get_model_status_pb2.ModelVersionStatus.AVAILABLE, 0), (3, 30, 0)]
    request.model_spec.version.value = 5
    assert _refused(lambda: client.model.GetModelStatus(request, timeout=SECONDS)) == (
        grpc.StatusCode.NOT_FOUND,
        "Could not find version 5 of model m",
    )


def test_health(client):
    stub = health_pb2_grpc.HealthStub(client.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


# --- The queue ---


def test_queue_is_bounded_and_a_client_that_left_is_not_served(references, monkeypatch):
    folder, _ = references
    held = Held(monkeypatch)
    limits = Limits(max_concurrency=1, max_queue=1)
    settings = Settings((ModelConfig("m", folder),), rest_port=None, limits=limits)
    long = request_for("slow", turns=np.array([small_models.LONG], np.int32))
    with running(settings) as server, Grpc(server.grpc_address) as client:
        core = server.core
        short = request_for("slow", turns=np.array([7], np.int32))
        runs = client.prediction.Predict.future(short, timeout=SECONDS)
        wait_for(lambda: core.runner.running == 1)
        waits = client.prediction.Predict.future(long, timeout=SECONDS)
        wait_for(lambda: core.inside == 2)
        code, text = _refused(lambda: client.call(long))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "queue is full" in text
        # Control calls do not queue.
        status = get_model_status_pb2.GetModelStatusRequest()
        status.model_spec.name = "m"
        assert client.model.GetModelStatus(status, timeout=SECONDS).model_version_status
        waits.cancel()
        wait_for(lambda: core.inside == 1)
        held.go.set()
        assert arrays(runs.result())["done"].tolist() == [7]
        # Had the other been started, it would run for minutes.
        wait_for(lambda: core.inside == core.runner.running == 0)
        counts = core.metrics.page().decode()
        for status in ("CANCELLED", "RESOURCE_EXHAUSTED"):
            line = f'request_count{{model_name="m",status="{status}"}} 1.0'
            assert line in counts
