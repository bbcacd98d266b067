"""The command, as its users start it and as they mistype it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import grpc
import numpy as np
import pytest

from tests import commands
from tests.serving.devserver import small_models
from tests.serving.devserver.callers import SECONDS, Grpc, arrays, request_for, rest

FRAME, H = np.random.default_rng(0).normal(size=(2, 3, small_models.FEATURES)).astype(np.float32)


def _wait_until_running(address: str) -> None:
    while True:
        status, content, _ = rest(address, "GET", "/metrics")
        assert status == 200
        if b"serving_devserver_running_requests 1.0" in content:
            return


def test_the_process_serves_finishes_and_ends(tmp_path):
    base = tmp_path / "m"
    reference = small_models.write(base, 1)
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }')
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "serving.server", "--model_name=m"),
            f"--model_base_path={base}",
            "--free_ports",
            "--grace_seconds=300",
            f"--monitoring_config_file={monitoring}",
            "--enable_grpc_healthcheck_service",
            "--grpc_channel_arguments=grpc.max_connection_age_ms=100000",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("Development server, not TensorFlow Serving"), process.stderr.read()
        addresses = dict(part.split(": ") for part in line.strip().rstrip(".").split(". ")[-2:])
        assert all(address.startswith("127.0.0.1:") for address in addresses.values())
        status, _, _ = rest(addresses["REST"], "GET", "/v1/models/m")
        assert status == 200
        with Grpc(addresses["gRPC"]) as client:
            answer = client.predict("step", frame=FRAME, h=H)
            np.testing.assert_allclose(
                answer["logits"], reference.step(FRAME, H)["logits"], rtol=1e-5
            )
            # Runs for some seconds, into the shutdown.
            slow = request_for("slow", turns=np.array([300_000], np.int32))
            running_call = client.prediction.Predict.future(slow, timeout=SECONDS)
            _wait_until_running(addresses["REST"])
            process.send_signal(signal.SIGTERM)
            assert process.stdout.readline() == "Stopping.\n"
            assert arrays(running_call.result())["done"].tolist() == [300_000]
            with pytest.raises(grpc.RpcError) as error:
                client.predict("step", frame=FRAME, h=H)
            assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        assert process.wait() == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--per_process_gpu_memory_fraction=0.5"], "--per_process_gpu_memory_fraction: not supp"),
        (["--num_load_threads", "2"], "--num_load_threads: not supported"),
        ([], "--model_base_path: expected a folder of versions. Received: nothing"),
        (["--model_base_path=/none"], "--model_base_path: expected a folder of versions"),
        (["--model_config_file=/none"], "/none: No such file"),
        (["--model_base_path=.", "--port=0"], "--port: expected it or --rest_api_port"),
        (["--model_base_path=.", "--batching_parameters_file=x"], "expected --enable_batching"),
        (["--model_base_path=.", "--grpc_channel_arguments=a"], "expected name=value"),
        (["--model_base_path=.", "--rest_api_timeout_in_ms=0"], "rest_api_timeout_in_ms"),
    ],
)
def test_wrong_command_lines_get_one_line_at_once(arguments, text):
    done = commands.run("serving.server", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_has_labels_and_is_quick():
    done = commands.run("serving.server", "--help")
    assert done.returncode == 0
    assert "for development and tests only" in done.stdout
    assert "--model_base_path" in done.stdout and "--max_queue" in done.stdout
    # What takes seconds to import must wait until the flags are right.
    code = "import sys, serving.server; print({'grpc', 'tensorflow'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
