"""What REST refuses before it runs anything: sizes, strangers' pages, and too many at once."""

from __future__ import annotations

import gzip
import json
import socket
import threading

import pytest

from serving.devserver.launch import running
from serving.devserver.settings import Limits, ModelConfig, Settings
from tests.serving.devserver import small_models
from tests.serving.devserver.callers import SECONDS, Held
from tests.serving.devserver.callers import rest as call


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "m"
    small_models.write(folder, 12)
    return (ModelConfig("m", folder),)


@pytest.fixture(scope="module")
def server(models):
    limits = Limits(max_message_bytes=100_000)
    with running(Settings(models, limits=limits, grpc_port=None)) as server:
        yield server


@pytest.fixture(scope="module")
def post(server):
    def post(body, headers=None):
        path = "/v1/models/m:predict"
        return call(server.rest_address, "POST", path, body, headers)[:2]

    return post


def _first_line(server, *parts):
    """Sends parts of a request to predict, and returns the answer's first line."""
    host, port = server.rest_address.split(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        for part in (b"POST /v1/models/m:predict HTTP/1.1\r\nHost: localhost\r\n", *parts):
            connection.sendall(part)
        return connection.recv(1000).split(b"\r\n")[0]


def test_bodies_in_gzip(post):
    body = json.dumps({"signature_name": "double", "inputs": [[1, 2]]}).encode()
    packed, headers = gzip.compress(body), {"Content-Encoding": "gzip"}
    assert post(packed, headers=headers) == (200, {"outputs": [[2.0, 4.0]]})
    for broken in (packed[:-9], body, b""):
        status, answer = post(broken, headers=headers)
        assert status == 400 and "expected a body in gzip" in answer["error"]
    status, _ = post(gzip.compress(b" " * 10_000_000), headers=headers)
    assert status == 413


def test_a_page_of_somebody_else_cannot_ask(server):
    """A browser sends what any page says, and tells whose page it is."""
    path = "/v1/models/m"
    port = server.rest_address.split(":")[1]
    for headers, wanted in (
        ({"Host": "evil.example"}, 403),
        ({"Host": f"evil.example:{port}"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}, 200),
        ({"Host": f"[::1]:{port}"}, 200),
    ):
        status, answer, _ = call(server.rest_address, "GET", path, headers=headers)
        assert status == wanted, headers
        assert status == 200 or answer["error"].startswith(("Host: ", "Origin: "))


def test_bodies_over_the_limit(server, post):
    status, answer = post(" " * 100_001)
    assert status == 413 and "100000 bytes" in answer["error"]
    # In chunks, of which no header tells the number.
    chunks = [b"c350\r\n" + b" " * 50_000 + b"\r\n"] * 3
    assert b" 413 " in _first_line(server, b"Transfer-Encoding: chunked\r\n\r\n", *chunks)


def test_timeout_and_full_queue(models, monkeypatch):
    limits = Limits(max_concurrency=1, max_queue=0)
    body = {"signature_name": "slow", "inputs": [small_models.LONG]}
    with running(Settings(models, grpc_port=None, rest_timeout_seconds=0.3)) as server:
        status, answer, _ = call(server.rest_address, "POST", "/v1/models/m:predict", body)
        assert (status, answer) == (504, {"error": "The deadline was exceeded."})
    body, held = {"signature_name": "slow", "inputs": [7]}, Held(monkeypatch)
    with running(Settings(models, grpc_port=None, limits=limits)) as server:
        answers = []

        def work():
            answers.append(call(server.rest_address, "POST", "/v1/models/m:predict", body))

        thread = threading.Thread(target=work)
        thread.start()
        while not server.core.runner.running:
            threading.Event().wait(0.005)
        status, answer, headers = call(server.rest_address, "POST", "/v1/models/m:predict", body)
        assert (status, headers["Retry-After"]) == (429, "1")
        assert "queue is full" in answer["error"]
        # Refused before its body came.
        assert b" 429 " in _first_line(server, b"Content-Length: 1000000\r\n\r\n")
        held.go.set()
        thread.join()
        ((status, answer, _),) = answers
        assert (status, answer) == (200, {"outputs": [7]})


def test_a_body_that_does_not_end_is_given_up(models):
    settings = Settings(models, grpc_port=None, rest_timeout_seconds=0.2)
    with running(settings) as server:
        assert b" 408 " in _first_line(server, b"Content-Length: 1000000\r\n\r\n{")
        assert server.core.inside == 0
