"""The command, as its users start it and as they mistype it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import commands
from tests.serving.devserver import small_models
from tests.serving.devserver.callers import (
    SECONDS,
    Grpc,
    arrays,
    process,
    refusal,
    rest,
    turns,
    wait_for,
)

RUNNING = b"serving_devserver_running_requests 1.0"
"""What the metrics say while one request runs."""


def metrics_on(folder: Path) -> str:
    """Returns the flag that turns metrics on at `/metrics`."""
    path = folder / "monitoring.config"
    path.write_text('prometheus_config { enable: true path: "/metrics" }')
    return f"--monitoring_config_file={path}"


def test_the_process_serves_finishes_and_ends(tmp_path):
    small_models.write(tmp_path / "m", 1)
    flags = [
        "--grace_seconds=300",
        metrics_on(tmp_path),
        "--enable_grpc_healthcheck_service",
        "--grpc_channel_arguments=grpc.max_connection_age_ms=100000",
    ]
    with process(tmp_path / "m", *flags, stderr=subprocess.PIPE) as (child, address, rest_address):
        assert rest(rest_address, "GET", "/v1/models/m")[0] == 200
        with Grpc(address) as client:
            assert client.version() == 1
            # Runs for some seconds, into the shutdown.
            running_call = client.prediction.Predict.future(turns(300_000), timeout=SECONDS)
            wait_for(lambda: RUNNING in rest(rest_address, "GET", "/metrics")[1])
            child.send_signal(signal.SIGTERM)
            assert child.stdout.readline() == "Stopping.\n"
            assert arrays(running_call.result())["done"].tolist() == [300_000]
            assert refusal(client.version) == "UNAVAILABLE"
        assert child.wait() == 0
        assert "Traceback" not in child.stderr.read()


def test_a_call_whose_client_has_gone_does_not_stop_the_end(tmp_path):
    small_models.write(tmp_path / "m", 1)
    flags = ["--grace_seconds=300", metrics_on(tmp_path)]
    with process(tmp_path / "m", *flags) as (child, address, rest_address):
        with Grpc(address) as client:
            call = client.prediction.Predict.future(turns(small_models.LONG), timeout=None)
            wait_for(lambda: RUNNING in rest(rest_address, "GET", "/metrics")[1])
            call.cancel()
        canceled = b'request_count{model_name="m",status="CANCELLED"} 1.0'
        wait_for(lambda: canceled in rest(rest_address, "GET", "/metrics")[1])
        child.send_signal(signal.SIGTERM)
        assert child.stdout.read() == (
            "Stopping.\nLeft behind after --grace_seconds: 1 requests.\n"
        )
        assert child.wait() == 0


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
