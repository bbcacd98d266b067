"""What docker-compose.yaml has run: its health check, and the server's command."""

from __future__ import annotations

import http.server
import pathlib
import re
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests import commands
from tests.serving.deployment import CONFIGURATION, DEPLOY, SERVERS, compose, model, read

# --- The command in the health check of Compose ---


@pytest.fixture
def status() -> Iterator[tuple[int, list[bytes]]]:
    """A server whose answer to every GET is the one text in a list."""
    body = [b""]

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = self.path == f"/v1/models/{model().name}"
            self.send_response(200 if found else 404)
            text = body[0] if found else b"{}"
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port, body
    server.shutdown()
    thread.join()
    server.server_close()


def healthy(port: int) -> bool:
    kind, *command = compose()["serving"]["healthcheck"]["test"]
    assert kind == "CMD"
    rest = SERVERS["compose"]()["rest_api_port"]
    assert command[-1].count(rest) == 1
    command[-1] = command[-1].replace(rest, str(port))
    done = subprocess.run(command, check=False, capture_output=True, timeout=300)
    return done.returncode == 0


def test_health_check_tells_a_model_that_is_loaded(status: tuple[int, list[bytes]]) -> None:
    port, body = status
    text = '{"model_version_status": [{"version": "1",\n "state": "%s",\n "status": {}}]}'
    body[0] = (text % "AVAILABLE").encode()
    assert healthy(port)
    body[0] = (text % "LOADING").encode()
    assert not healthy(port)
    body[0] = b'{"error": "Could not find any versions of model music"}'
    assert not healthy(port)


def test_health_check_tells_a_server_that_is_not_there() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        port = server.server_port
    assert not healthy(port)


# --- On the development server ---

# Flags that TensorFlow Serving does not have.
NOT_TENSORFLOW_SERVINGS = {
    *("free_ports", "grace_seconds", "host", "max_concurrency", "max_message_bytes"),
    *("max_queue", "max_sequence_length"),
}
MODEL = """
import sys
import tensorflow as tf

twice = tf.function(lambda x: {"y": 2 * x}, [tf.TensorSpec([None, 3], name="x")])
tf.saved_model.save(tf.Module(), sys.argv[1], {"serving_default": twice})
"""


@pytest.fixture
def folders(tmp_path: pathlib.Path) -> dict[str, str]:
    """Where a machine has what the containers have at these paths."""
    version = tmp_path / "models" / model().name / str(max(model().labels.values()))
    assert commands.Forked(commands.run_code, MODEL, str(version)).wait().returncode == 0
    config = tmp_path / "config"
    config.mkdir()
    for name in CONFIGURATION:
        text = (DEPLOY / name).read_text(encoding="utf-8")
        (config / name).write_text(text.replace('"/models/', f'"{tmp_path}/models/'))
    return {"/config/": f"{config}/"}


def test_command_of_compose_serves(folders: dict[str, str]) -> None:
    flags = SERVERS["compose"]()
    assert not set(flags) & NOT_TENSORFLOW_SERVINGS
    ports = [flags.pop("port"), flags.pop("rest_api_port")]
    assert len(set(ports)) == 2
    words = [f"--{name}={value}" for name, value in flags.items()]
    for there, here in folders.items():
        words = [word.replace(there, here) for word in words]
    process = commands.start("serving.server", "--free_ports", *words)
    try:
        line = process.printed("REST")
        rest = re.findall(r"127[.]0[.]0[.]1:(\d+)", line)[-1]
        address = f"http://127.0.0.1:{rest}"
        assert healthy(int(rest))
        for label in model().labels:
            answer = requests.post(
                f"{address}/v1/models/{model().name}/labels/{label}:predict",
                json={"instances": [[1.0, 2.0, 3.0]]},
                timeout=300,
            )
            assert answer.json() == {"predictions": [[2.0, 4.0, 6.0]]}
        # What the probe of Prometheus asks.
        probe = read("prometheus.yml")[0]["scrape_configs"][1]
        (target,) = probe["static_configs"][0]["targets"]
        (module,) = read("blackbox.yml")[0]["modules"].values()
        state = requests.get(target.replace("http://serving:8501", address), timeout=300).text
        assert re.search(*module["http"]["fail_if_body_not_matches_regexp"], state)
        path = read("prometheus.yml")[0]["scrape_configs"][0]["metrics_path"]
        assert "# TYPE" in requests.get(address + path, timeout=300).text
    finally:
        process.kill()
        process.wait()
