"""Versions that come and go under load, warm-up, TLS, and the end of a server."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
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
from serving.devserver.settings import TLS, All, Batching, Loading, ModelConfig, Settings
from tests.serving.devserver import small_models
from tests.serving.devserver.callers import (
    SECONDS,
    Grpc,
    Held,
    arrays,
    request_for,
    rest,
    wait_for,
)

FRAME, H = np.random.default_rng(0).normal(size=(2, 3, small_models.FEATURES)).astype(np.float32)
POLL = 0.05


def _step(version=None):
    request = request_for("step", frame=FRAME, h=H)
    if version is not None:
        request.model_spec.version.value = version
    return request


@pytest.mark.parametrize("batching", [None, Batching(max_batch_size=8)], ids=["alone", "batched"])
def test_no_request_is_lost_while_versions_change(tmp_path, batching):
    base = tmp_path / "m"
    small_models.write(base, 1)
    # All made before the server may answer with any.
    references = {version: small_models.reference(version) for version in (1, 2, 3)}
    settings = Settings(
        (ModelConfig("m", base),), loading=Loading(poll_seconds=POLL, batching=batching)
    )
    stop = threading.Event()
    seen: list[int] = []
    failures: list[object] = []

    def ask_over_grpc():
        with Grpc(server.grpc_address) as client:
            while not stop.is_set():
                response = client.call(_step())
                version = response.model_spec.version.value
                expected = references[version].step(FRAME, H)["logits"]
                np.testing.assert_allclose(arrays(response)["logits"], expected, rtol=1e-4)
                seen.append(version)

    def ask_over_rest():
        body = {"signature_name": "step", "inputs": {"frame": FRAME.tolist(), "h": H.tolist()}}
        while not stop.is_set():
            status, answer, _ = rest(server.rest_address, "POST", "/v1/models/m:predict", body)
            assert status == 200, answer

    def guard(work):
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    with running(settings) as server:
        threads = [
            threading.Thread(target=guard, args=(work,))
            for work in (ask_over_grpc, ask_over_grpc, ask_over_rest)
        ]
        for thread in threads:
            thread.start()
        for version in (2, 3):
            small_models.write(base, version)
            wait_for(lambda version=version: failures or version in seen)
        # And back: the newest folder goes.
        (base / "3").rename(base / ".gone-3")
        count = len(seen)
        wait_for(lambda: failures or 2 in seen[count:])
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []

        def states():
            return {one.number: one.state.name for one in server.core.models.statuses("m")}

        # A version that nobody uses any more is unloaded by a thread of its own.
        wait_for(lambda: "UNLOADING" not in states().values())
        assert states() == {3: "END", 2: "AVAILABLE", 1: "END"}


def test_a_half_written_version_displaces_nothing(tmp_path):
    base = tmp_path / "m"
    small_models.write(base, 1)
    loading = Loading(poll_seconds=POLL, max_num_retries=200, retry_seconds=0.05)
    with (
        running(Settings((ModelConfig("m", base),), loading=loading)) as server,
        Grpc(server.grpc_address) as client,
    ):
        reference = small_models.write(tmp_path / "elsewhere", 2)
        whole = tmp_path / "elsewhere" / "2"
        half = base / "2"
        half.mkdir()
        (half / "saved_model.pb").write_bytes((whole / "saved_model.pb").read_bytes()[:5000])
        status = get_model_status_pb2.GetModelStatusRequest()
        status.model_spec.name = "m"
        status.model_spec.version.value = 2

        def state():
            try:
                response = client.model.GetModelStatus(status, timeout=SECONDS)
            except grpc.RpcError:
                return None
            return response.model_version_status[0]

        wait_for(lambda: state() is not None and state().status.error_code)
        assert state().state == get_model_status_pb2.ModelVersionStatus.LOADING
        assert ".py" not in state().status.error_message
        assert client.call(_step()).model_spec.version.value == 1
        # The graph is whole now, but not its weights.
        (half / "saved_model.pb").write_bytes((whole / "saved_model.pb").read_bytes())
        attempts = server.core.models._versions["m"][2].attempts
        wait_for(lambda: server.core.models._versions["m"][2].attempts > attempts + 1)
        assert client.call(_step()).model_spec.version.value == 1
        # The rest arrives.
        (whole / "variables").rename(half / "variables")
        wait_for(lambda: client.call(_step()).model_spec.version.value == 2)
        expected = reference.step(FRAME, H)["logits"]
        np.testing.assert_allclose(arrays(client.call(_step()))["logits"], expected, rtol=1e-4)


def test_reload_over_grpc(tmp_path):
    base = tmp_path / "m"
    for version in (1, 2):
        small_models.write(base, version)
    with (
        running(Settings((ModelConfig("m", base),))) as server,
        Grpc(server.grpc_address) as client,
    ):
        request = model_management_pb2.ReloadConfigRequest()
        config = request.config.model_config_list.config.add(name="m", base_path=str(base))
        config.model_version_policy.specific.versions.extend([1, 2])
        response = client.model.HandleReloadConfigRequest(request, timeout=SECONDS)
        assert response.status.error_code == 0
        assert client.call(_step(1)).model_spec.version.value == 1
        config.version_labels["stable"] = 1
        client.model.HandleReloadConfigRequest(request, timeout=SECONDS)
        labeled = _step()
        labeled.model_spec.version_label = "stable"
        assert client.call(labeled).model_spec.version.value == 1
        for change, code in (
            (lambda: setattr(config, "base_path", str(tmp_path)), "PERMISSION_DENIED"),
            (lambda: setattr(config, "base_path", str(base / ".." / "n")), "PERMISSION_DENIED"),
            (lambda: setattr(config, "base_path", "m"), "INVALID_ARGUMENT"),
            (request.config.Clear, "INVALID_ARGUMENT"),
        ):
            change()
            with pytest.raises(grpc.RpcError) as error:
                client.model.HandleReloadConfigRequest(request, timeout=SECONDS)
            assert error.value.code().name == code
        assert client.call(labeled).model_spec.version.value == 1


def test_a_configuration_that_was_refused_is_tried_again(tmp_path):
    """And may name a folder that the start did not: it is the owner's file."""
    small_models.write(tmp_path / "m", 1)
    small_models.write(tmp_path / "n", 4)
    file = tmp_path / "models.config"
    one = 'config {{ name: "{0}" base_path: "{1}/{0}" model_version_policy {{ all {{}} }} {2} }}'

    def write(*models):
        text = " ".join(one.format(name, tmp_path, label) for name, label in models)
        files.write_text(file, f"model_config_list {{ {text} }}")

    write(("m", ""))
    settings = Settings(
        (ModelConfig("m", tmp_path / "m", All()),),
        config_file=file,
        config_poll_seconds=POLL,
        loading=Loading(poll_seconds=POLL),
        rest_port=None,
    )
    with running(settings) as server, Grpc(server.grpc_address) as client:
        labeled = _step()
        labeled.model_spec.version_label = "canary"
        write(("m", 'version_labels { key: "canary" value: 2 }'), ("n", ""))
        with pytest.raises(grpc.RpcError, match="Unrecognized servable version label"):
            client.call(labeled)
        # The version that the label names comes later.
        small_models.write(tmp_path / "m", 2)
        wait_for(lambda: server.core.models.knows("n"))
        assert client.call(labeled).model_spec.version.value == 2
        other = _step()
        other.model_spec.name = "n"
        wait_for(lambda: server.core.models._serves("n"))
        assert client.call(other).model_spec.version.value == 4
        request = model_management_pb2.ReloadConfigRequest()
        request.config.model_config_list.config.add(name="m", base_path=str(tmp_path / "m"))
        # Without a deadline, as every stub asks unless told otherwise.
        assert not client.model.HandleReloadConfigRequest(request).status.error_code


# --- Warm-up ---


def _write_warmup(version: pathlib.Path, *logs: prediction_log_pb2.PredictionLog) -> pathlib.Path:
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())
    return path


def _log(request):
    return prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )


def test_warmup(tmp_path):
    base = tmp_path / "m"
    small_models.write(base, 1)
    loading = Loading(max_num_retries=0)
    settings = Settings((ModelConfig("m", base),), loading=loading, grpc_port=None, rest_port=None)
    path = _write_warmup(base / "1", _log(_step()), _log(request_for("double", x=[[1.0, 2.0]])))
    with running(settings):
        pass
    # A request that the model refuses fails the load, a torn or strange file likewise.
    content = path.read_bytes()
    path.unlink()
    path.parent.rmdir()
    _write_warmup(base / "1", _log(_step()), _log(request_for("double", x=[[1]])))
    with pytest.raises(InputError, match=r"warm-up request 2: .*expected float32"):
        with running(settings):
            pass
    path.unlink()
    path.parent.rmdir()
    _write_warmup(base / "1", _log(request_for("broken", x=[1.0, 2.0])))
    with pytest.raises(InputError, match=r"warm-up request 1: .*reshape"):
        with running(settings):
            pass
    for broken in (content[:-3], b"\xff" + content[1:], content[:12] + b"\xff" + content[13:]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="expected a TFRecord of PredictionLog"):
            with running(settings):
                pass


def test_a_folder_without_a_model_is_told_of(tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    settings = Settings(
        (ModelConfig("m", tmp_path / "m"),), loading=Loading(max_num_retries=0), rest_port=None
    )
    with pytest.raises(InputError, match="saved_model.pb"), running(settings):
        pass


def test_a_port_that_is_taken(tmp_path):
    small_models.write(tmp_path / "m", 1)
    settings = Settings((ModelConfig("m", tmp_path / "m"),))
    with running(settings) as server:
        for flag, field, address in (
            ("--port", "grpc_port", server.grpc_address),
            ("--rest_api_port", "rest_port", server.rest_address),
        ):
            taken = Settings(settings.models, **{field: int(address.split(":")[1])})
            with pytest.raises(InputError, match=f"{flag}: expected a port that is free"):
                with running(taken):
                    pass


def test_a_request_that_outlives_the_grace_does_not_stop_the_end(tmp_path, monkeypatch):
    small_models.write(tmp_path / "m", 1)
    settings = Settings((ModelConfig("m", tmp_path / "m"),), grace_seconds=0.1)
    slow, held = request_for("slow", turns=np.array([7], np.int32)), Held(monkeypatch)
    with running(settings) as server:
        client = Grpc(server.grpc_address)
        call = client.prediction.Predict.future(slow, timeout=SECONDS)
        wait_for(lambda: server.core.runner.running)
    # The end did not wait for an answer.
    assert call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    client.channel.close()
    assert server.core.runner.running
    held.go.set()
    wait_for(lambda: not server.core.runner.running)


def test_the_end_is_announced_and_new_requests_are_refused(tmp_path, monkeypatch):
    small_models.write(tmp_path / "m", 1)
    slow, held = request_for("slow", turns=np.array([7], np.int32)), Held(monkeypatch)
    refused = []
    settings = Settings((ModelConfig("m", tmp_path / "m"),), grace_seconds=SECONDS)
    with running(settings) as server:
        client = Grpc(server.grpc_address)
        call = client.prediction.Predict.future(slow, timeout=SECONDS)
        wait_for(lambda: server.core.runner.running)

        def ask():
            stub = health_pb2_grpc.HealthStub(client.channel)
            serving = health_pb2.HealthCheckResponse.SERVING
            wait_for(lambda: stub.Check(health_pb2.HealthCheckRequest()).status != serving)
            body = {"signature_name": "double", "inputs": [[1, 2]]}
            refused.append(rest(server.rest_address, "POST", "/v1/models/m:predict", body)[0])
            with pytest.raises(grpc.RpcError) as error:
                client.call(_step())
            refused.append(error.value.code())
            held.go.set()

        thread = threading.Thread(target=ask)
        thread.start()
    thread.join()
    assert refused == [503, grpc.StatusCode.UNAVAILABLE]
    assert arrays(call.result())["done"].tolist() == [7]
    client.channel.close()


# --- TLS ---


def _self_signed(folder: pathlib.Path) -> tuple[str, str]:
    """Makes a key and a certificate for localhost."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not there to make a certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    names = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(
        [
            *"openssl req -x509 -nodes -days 2 -newkey ec -pkeyopt".split(),
            "ec_paramgen_curve:prime256v1",
            *f"{names} -keyout {key} -out {certificate}".split(),
        ],
        check=True,
        capture_output=True,
    )
    return key.read_text(), certificate.read_text()


def test_tls(tmp_path):
    small_models.write(tmp_path / "m", 1)
    key, certificate = _self_signed(tmp_path)
    tls = TLS(key, certificate, custom_ca=certificate, client_verify=True)
    settings = Settings((ModelConfig("m", tmp_path / "m"),), rest_port=None, tls=tls)
    with running(settings) as server:
        address = server.grpc_address.replace("127.0.0.1", "localhost")
        pem = certificate.encode()
        known = grpc.ssl_channel_credentials(pem, key.encode(), pem)
        with Grpc(address, known) as client:
            assert client.call(_step()).model_spec.version.value == 1
        for credentials in (grpc.ssl_channel_credentials(pem), None):
            with Grpc(address, credentials) as client, pytest.raises(grpc.RpcError):
                client.call(_step(), timeout=2)
