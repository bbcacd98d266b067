"""Versions that come and go under load, warm-up, TLS, and the end of a server."""

from __future__ import annotations

import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    prediction_log_pb2,
)

from common import files
from common.errors import InputError
from serving.devserver.launch import running
from serving.devserver.settings import TLS, Batching, Loading, ModelConfig, Settings
from serving.runtime.c_api import Failure
from serving.runtime.status import Code
from tests.serving.clients import certificate_files
from tests.serving.devserver import small_models
from tests.serving.devserver.callers import (
    FRAME,
    SECONDS,
    Askers,
    Grpc,
    H,
    Held,
    arrays,
    refusal,
    request_for,
    rest,
    serving,
    states,
    status_of,
    step_for,
    turns,
    wait_for,
)

POLL = 0.05


@pytest.fixture
def base(tmp_path):
    """The folder of a model with one version."""
    small_models.write(tmp_path / "m", 1)
    return tmp_path / "m"


def _cannot_start(base, message, **settings):
    with pytest.raises(InputError, match=message), serving(base, **settings):
        pass


@pytest.mark.parametrize("batching", [None, Batching(max_batch_size=8)], ids=["alone", "batched"])
def test_no_request_is_lost_while_versions_change(base, batching):
    # All made before the server may answer with any.
    answers = {n: small_models.Reference(n).step(FRAME, H) for n in (1, 2, 3)}
    with serving(base, loading=Loading(poll_seconds=POLL, batching=batching)) as (server, _):
        askers = Askers((server.grpc_address, server.rest_address), answers, (2, 1))
        for version in (2, 3):
            small_models.write(base, version)
            askers.wait_for(version)
        # And back: the newest folder goes.
        (base / "3").rename(base / ".gone-3")
        askers.wait_for(2)
        askers.stop()

        # What nobody uses any more is unloaded, by a thread of its own, and forgotten without a
        # folder.
        wait_for(lambda: states(server.core.models) == {2: "AVAILABLE", 1: "END"})


def test_a_half_written_version_displaces_nothing(base, tmp_path):
    small_models.write(tmp_path / "elsewhere", 2)
    whole, half = tmp_path / "elsewhere" / "2", base / "2"
    loading = Loading(poll_seconds=POLL, max_num_retries=200, retry_seconds=0.05)
    with serving(base, loading=loading) as (server, client):
        half.mkdir()
        (half / "saved_model.pb").write_bytes((whole / "saved_model.pb").read_bytes()[:5000])

        def state():
            return client.model.GetModelStatus(status_of(version=2)).model_version_status[0]

        wait_for(lambda: 2 in server.core.models._versions["m"] and state().status.error_code)
        assert state().state == get_model_status_pb2.ModelVersionStatus.LOADING
        assert ".py" not in state().status.error_message
        assert client.version() == 1
        # The graph is whole now, but not its weights.
        (half / "saved_model.pb").write_bytes((whole / "saved_model.pb").read_bytes())
        attempts = server.core.models._versions["m"][2].attempts
        wait_for(lambda: server.core.models._versions["m"][2].attempts > attempts + 1)
        assert client.version() == 1
        # The rest arrives.
        (whole / "variables").rename(half / "variables")
        wait_for(lambda: client.version() == 2)
        expected = small_models.Reference(2).step(FRAME, H)
        np.testing.assert_allclose(arrays(client.call(step_for()))["logits"], expected, rtol=1e-4)


def test_reload_over_grpc(base, tmp_path):
    small_models.write(base, 2)
    with serving(base) as (_, client):
        request = model_management_pb2.ReloadConfigRequest()
        config = request.config.model_config_list.config.add(name="m", base_path=str(base))
        config.model_version_policy.specific.versions.extend([1, 2])
        # Without a deadline, as every stub asks unless told otherwise.
        assert client.model.HandleReloadConfigRequest(request).status.error_code == 0
        assert client.version(version=1) == 1
        config.version_labels["stable"] = 1
        client.model.HandleReloadConfigRequest(request, timeout=SECONDS)
        for change, code in (
            (lambda: setattr(config, "base_path", str(tmp_path)), "PERMISSION_DENIED"),
            (lambda: setattr(config, "base_path", str(base / ".." / "n")), "PERMISSION_DENIED"),
            (lambda: setattr(config, "base_path", "m"), "INVALID_ARGUMENT"),
            (request.config.Clear, "INVALID_ARGUMENT"),
        ):
            change()
            assert refusal(client.model.HandleReloadConfigRequest, request) == code
        assert client.version(label="stable") == 1


def test_a_configuration_that_was_refused_is_tried_again(base, tmp_path):
    """And may name a folder that the start did not: it is the owner's file."""
    small_models.write(tmp_path / "n", 4)
    file = tmp_path / "models.config"
    one = 'config {{ name: "{0}" base_path: "{1}/{0}" model_version_policy {{ all {{}} }} {2} }}'
    models = [("m", 'version_labels { key: "canary" value: 2 }'), ("n", "")]
    text = " ".join(one.format(name, tmp_path, label) for name, label in models)
    files.write_text(file, f"model_config_list {{ {text} }}")
    settings = Settings(
        (ModelConfig("m", base, latest=0),),
        config_file=file,
        config_poll_seconds=POLL,
        loading=Loading(poll_seconds=POLL),
    )
    with running(settings) as server, Grpc(server.grpc_address) as client:
        assert refusal(client.version, label="canary") == "INVALID_ARGUMENT"
        # The version that the label names comes later.
        small_models.write(base, 2)
        wait_for(lambda: server.core.models._available("n"))
        assert client.version(label="canary") == 2
        assert client.version(name="n") == 4


# --- Warm-up ---


def test_warmup(base):
    """A request that the model refuses fails the load, a torn or strange file likewise."""
    path = base / "1" / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()

    def write(*requests):
        with tf.io.TFRecordWriter(str(path)) as writer:
            for request in requests:
                log = prediction_log_pb2.PredictLog(request=request)
                record = prediction_log_pb2.PredictionLog(predict_log=log)
                writer.write(record.SerializeToString())
        return path.read_bytes()

    wrong = [
        write(step_for(), request_for("double", x=[[1]])),
        write(request_for("broken", x=[1.0, 2.0])),
    ]
    most = [request_for("double", x=[[1.0, 2.0]])] * 1000
    wrong.append(write(*most, step_for()))
    content = write(step_for(), *most[1:])
    with serving(base) as (_, client):
        assert client.version() == 1
    wrong += [content[:-3], b"\xff" + content[1:], content[:12] + b"\xff" + content[13:]]
    for content in wrong:
        path.write_bytes(content)
        _cannot_start(base, "model m: ", loading=Loading(max_num_retries=0))


# --- Start and end ---


def test_a_folder_without_a_model_is_told_of(tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    _cannot_start(tmp_path / "m", "saved_model.pb", loading=Loading(max_num_retries=0))


def test_a_port_that_is_taken(base):
    with serving(base) as (server, _):
        for flag, field, address in (
            ("--port", "grpc_port", server.grpc_address),
            ("--rest_api_port", "rest_port", server.rest_address),
        ):
            taken = {field: int(address.split(":")[1])}
            _cannot_start(base, f"{flag}: expected a free port", **taken)


def test_a_request_that_outlives_the_grace_does_not_stop_the_end(base, monkeypatch):
    held = Held(monkeypatch)
    with running(Settings((ModelConfig("m", base),), grace_seconds=0.1)) as server:
        client = Grpc(server.grpc_address)
        call = client.prediction.Predict.future(turns(7), timeout=SECONDS)
        wait_for(lambda: server.core.runner.running)
    # The end did not wait for an answer.
    assert call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    client.channel.close()
    assert server.core.runner.running
    held.go.set()
    wait_for(lambda: not server.core.runner.running)


def test_what_is_stopped_before_it_serves_opens_no_ports(tmp_path):
    (tmp_path / "m").mkdir()
    stop = threading.Event()
    stop.set()
    with running(Settings((ModelConfig("m", tmp_path / "m"),)), stop) as server:
        assert (server.grpc_address, server.rest_address) == ("", "")


def test_a_failure_of_the_caller_stays_one(base):
    with pytest.raises(Failure, match="mine"), running(Settings((ModelConfig("m", base),))):
        raise Failure(Code.NOT_FOUND, "mine")


def test_the_end_is_announced_and_new_requests_are_refused(base, monkeypatch):
    held = Held(monkeypatch)
    refused = []
    with running(Settings((ModelConfig("m", base),), grace_seconds=SECONDS)) as server:
        client = Grpc(server.grpc_address)
        call = client.prediction.Predict.future(turns(7), timeout=SECONDS)
        wait_for(lambda: server.core.runner.running)

        def ask():
            stub = health_pb2_grpc.HealthStub(client.channel)
            serving = health_pb2.HealthCheckResponse.SERVING
            wait_for(lambda: stub.Check(health_pb2.HealthCheckRequest()).status != serving)
            body = {"signature_name": "double", "inputs": [[1, 2]]}
            refused.append(rest(server.rest_address, "POST", "/v1/models/m:predict", body)[0])
            refused.append(refusal(client.version))
            held.go.set()

        thread = threading.Thread(target=ask)
        thread.start()
    thread.join()
    assert refused == [503, "UNAVAILABLE"]
    assert arrays(call.result())["done"].tolist() == [7]
    client.channel.close()


def test_a_version_may_have_batching_parameters_of_its_own(base):
    """FRAME has three rows; a version without a file is not batched."""
    small_models.write(base, 2)
    (base / "1" / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    loading = Loading(batching=Batching(max_batch_size=1), per_model_batching=True)
    with serving(base, models=(ModelConfig("m", base, latest=0),), loading=loading) as (_, client):
        assert client.version(version=2) == 2
        assert refusal(lambda: client.version(version=1)) == "INVALID_ARGUMENT"


def test_tls(base, tmp_path):
    made = certificate_files.make(tmp_path)
    key, pem = made.key.read_bytes(), made.certificate.read_bytes()
    tls = TLS(key.decode(), pem.decode(), custom_ca=pem.decode(), client_verify=True)
    with running(Settings((ModelConfig("m", base),), tls=tls)) as server:
        with Grpc(server.grpc_address, grpc.ssl_channel_credentials(pem, key, pem)) as client:
            assert client.version() == 1
        for credentials in (grpc.ssl_channel_credentials(pem), None):
            with Grpc(server.grpc_address, credentials) as client, pytest.raises(grpc.RpcError):
                client.call(step_for(), timeout=2)
