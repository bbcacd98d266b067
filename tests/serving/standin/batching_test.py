"""Requests that meet in one batch: seen in the answers, which tell how many rows ran together."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serving.standin import batching
from serving.standin.batching import MAX_QUEUES, bucket
from serving.standin.errors import Code, ServingError
from serving.standin.launch import running
from serving.standin.model import LoadedModel
from serving.standin.settings import Batching, Limits, Loading, ModelConfig, Settings
from tests.serving.standin import small_models
from tests.serving.standin.callers import SECONDS, Grpc, arrays, request_for

# So long that a batch runs only when it is full.
FOREVER = 600_000_000


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "m"
    return folder, small_models.write(folder, 5)


@pytest.fixture
def model(reference):
    models = []

    def load(**parameters):
        given = Batching(**({"max_batch_size": 4, "batch_timeout_micros": FOREVER} | parameters))
        model = LoadedModel("m", 5, reference[0] / "5", Loading(), given)
        models.append(model)
        return model

    yield load
    for model in models:
        model.close()


def _sequence(time, size=1, seed=0):
    random = np.random.default_rng(seed)
    return {
        "sequence": random.normal(size=(size, time, small_models.FEATURES)).astype(np.float32),
        "lengths": np.full(size, time, np.int32),
    }


def _together(model, requests, signature="serving_default"):
    """Runs requests at the same time, each in a thread of its own."""
    with ThreadPoolExecutor(len(requests)) as threads:
        futures = [threads.submit(model.run, signature, request, ()) for request in requests]
        return [future.result(timeout=SECONDS) for future in futures]


def _check(reference, requests, answers):
    for request, answer in zip(requests, answers, strict=True):
        time = request["sequence"].shape[1]
        expected = reference[1].sequence(**request)
        np.testing.assert_allclose(answer["h"], expected["h"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            answer["logits"][:, :time], expected["logits"], rtol=1e-4, atol=1e-5
        )


def test_requests_of_one_shape_meet(model, reference):
    requests = [_sequence(7, size, seed=size) for size in (1, 2, 1)]
    answers = _together(model(), requests)
    assert [answer["rows"].tolist() for answer in answers] == [[4], [4, 4], [4]]
    _check(reference, requests, answers)


def test_requests_of_different_shapes_do_not_meet(model, reference):
    requests = [_sequence(time, 2, seed=n) for n, time in enumerate((3, 6, 3, 6))]
    answers = _together(model(), requests)
    assert all(answer["rows"].tolist() == [4, 4] for answer in answers)
    assert [answer["logits"].shape[1] for answer in answers] == [3, 6, 3, 6]
    _check(reference, requests, answers)


def test_padding_lets_lengths_meet_and_stays_in_the_outputs(model, reference):
    requests = [_sequence(time, seed=time) for time in (9, 10, 9, 10)]
    answers = _together(model(pad_variable_length_inputs=True), requests)
    assert [answer["rows"].tolist() for answer in answers] == [[4]] * 4
    assert [answer["logits"].shape[1] for answer in answers] == [10] * 4
    _check(reference, requests, answers)


def test_padding_is_the_first_element(model):
    # Without `lengths` to say otherwise, what is padded counts: here, it must be the first element.
    request = _sequence(9)
    request["lengths"][:] = 10
    answer = _together(model(pad_variable_length_inputs=True, max_batch_size=1), [request])[0]
    expected = request["sequence"].sum(axis=1) + request["sequence"].flat[0]
    np.testing.assert_allclose(answer["h"], expected, rtol=1e-5)


def test_allowed_sizes(model, reference):
    request = _sequence(5, size=3)
    loaded = model(max_batch_size=8, batch_timeout_micros=0, allowed_batch_sizes=(2, 6, 8))
    answers = _together(loaded, [request])
    assert answers[0]["rows"].tolist() == [6, 6, 6]
    _check(reference, [request], answers)


def test_output_filter_and_other_signatures(model, reference):
    loaded = model(max_batch_size=2)
    frame, h = np.random.default_rng(0).normal(size=(2, 2, 3)).astype(np.float32)
    answer = loaded.run("step", {"frame": frame, "h": h}, ["next_h"])
    np.testing.assert_allclose(answer["next_h"], frame + h, rtol=1e-6)
    assert set(answer) == {"next_h"}
    words = np.array([b"a", b"b"], object)
    assert loaded.run("text", {"words": words}, ())["upper"].tolist() == [b"A", b"B"]


def test_what_cannot_be_batched_runs_alone(model):
    loaded = model()
    assert loaded.run("scalar", {"x": np.float32(3)}, ())["y"].tolist() == [3, 3]
    empty = _sequence(4, size=0)
    assert loaded.run("serving_default", empty, ())["logits"].shape == (0, 4, 5)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (_sequence(3, size=5), "Task size 5 is larger than maximum input batch size 4"),
        (_sequence(3) | {"lengths": np.zeros(2, np.int32)}, "equal 0th-dimension size"),
    ],
)
def test_what_is_no_batch_is_refused(model, request_, text):
    with pytest.raises(ServingError, match=text) as error:
        model().run("serving_default", request_, ())
    assert error.value.code == Code.INVALID_ARGUMENT


def test_the_number_of_queues_is_bounded(model, monkeypatch):
    monkeypatch.setattr(batching, "MAX_QUEUES", 3)
    loaded = model(max_batch_size=2, batch_timeout_micros=0)
    operations = len(loaded._graph.get_operations())
    for length in range(1, 7):
        assert loaded.run("serving_default", _sequence(length), ["rows"])["rows"].tolist() == [1]
    assert len(loaded._graph.get_operations()) == operations + 3


def test_a_batch_that_never_fills_keeps_the_deadline(model):
    with pytest.raises(ServingError) as error:
        model(batch_timeout_micros=400_000).run(
            "serving_default", _sequence(3), (), time.monotonic() + 0.1
        )
    assert error.value.code == Code.DEADLINE_EXCEEDED


@pytest.mark.parametrize("length", [1, 3, 5, 17, 61, 100, 127, 1000, 99_999])
def test_buckets(length):
    longer = bucket(length)
    assert length <= longer <= max(1.25 * length, 4)
    assert bucket(longer) == longer


def test_buckets_are_few():
    assert len({bucket(length) for length in range(1, 2**16 + 1)}) <= MAX_QUEUES


def test_waiting_for_a_batch_keeps_nobody_out(reference):
    """As many requests as a batch needs get in, even if they are all that may run."""
    batching = Batching(max_batch_size=8, batch_timeout_micros=FOREVER)
    settings = Settings(
        (ModelConfig("m", reference[0]),),
        loading=Loading(batching=batching),
        limits=Limits(max_concurrency=8, max_queue=8),
        rest_port=None,
    )
    request = request_for("serving_default", **_sequence(6))
    with running(settings) as server, Grpc(server.grpc_address) as client:
        calls = [client.prediction.Predict.future(request, timeout=SECONDS) for _ in range(16)]
        rows = [arrays(call.result())["rows"].tolist() for call in calls]
    assert rows == [[8]] * 16


def test_per_model_parameters(reference, tmp_path):
    base = tmp_path / "m"
    small_models.write(base, 1)
    (base / "1" / "batching_params.pbtxt").write_text("max_batch_size { value: 3 }")
    loading = Loading(batching=Batching(max_batch_size=50), per_model_batching=True)
    settings = Settings((ModelConfig("m", base),), loading=loading, rest_port=None)
    with running(settings) as server, Grpc(server.grpc_address) as client:
        client.predict("serving_default", **_sequence(4, size=3))
        with pytest.raises(Exception, match="larger than maximum input batch size 3"):
            client.predict("serving_default", **_sequence(4, size=4))
        # A version without parameters of its own is not batched.
        small_models.write(base, 2)
        server.core.manager.reload([ModelConfig("m", base)])
        client.predict("serving_default", **_sequence(4, size=60))
