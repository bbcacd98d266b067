"""What REST refuses before it runs anything: sizes, strangers' pages, and too many at once."""

from __future__ import annotations

import gzip
import json
import socket
import threading

import pytest

from serving.devserver.settings import Limits
from tests.serving.devserver import small_models
from tests.serving.devserver.callers import SECONDS, Held, rest, serving, wait_for

PREDICT = "/v1/models/m:predict"


@pytest.fixture(scope="module")
def address(two_versions):
    with serving(two_versions, limits=Limits(max_message_bytes=100_000)) as (server, _):
        yield server.rest_address


def _first_line(address, *parts):
    """Sends parts of a request to predict, and returns the answer's first line."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        for part in (f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\n".encode(), *parts):
            connection.sendall(part)
        return connection.recv(1000).split(b"\r\n")[0]


def test_bodies_in_gzip(address):
    body = json.dumps({"signature_name": "double", "inputs": [[1, 2]]}).encode()
    packed, headers = gzip.compress(body), {"Content-Encoding": "gzip"}
    answered = rest(address, "POST", PREDICT, packed, headers)[:2]
    assert answered == (200, {"outputs": [[2.0, 4.0]]})
    bomb = gzip.compress(b" " * 10_000_000)
    for content, status in ((packed[:-9], 400), (body, 400), (b"", 400), (bomb, 413)):
        assert rest(address, "POST", PREDICT, content, headers)[0] == status


def test_a_page_of_somebody_else_cannot_ask(address):
    """A browser sends what any page says, and tells whose page it is."""
    port = address.split(":")[1]
    for headers, wanted in (
        ({"Host": "evil.example"}, 403),
        ({"Host": f"evil.example:{port}"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}, 200),
        ({"Host": f"[::1]:{port}"}, 200),
    ):
        assert rest(address, "GET", "/v1/models/m", headers=headers)[0] == wanted, headers


def test_bodies_over_the_limit(address):
    assert rest(address, "POST", PREDICT, " " * 100_001)[0] == 413
    # In chunks, of which no header tells the number.
    chunks = [b"c350\r\n" + b" " * 50_000 + b"\r\n"] * 3
    assert b" 413 " in _first_line(address, b"Transfer-Encoding: chunked\r\n\r\n", *chunks)


def test_timeout(two_versions):
    body = {"signature_name": "slow", "inputs": [small_models.LONG]}
    with serving(two_versions, rest_timeout_seconds=0.3) as (server, _):
        assert rest(server.rest_address, "POST", PREDICT, body)[0] == 504
        # And a body that does not end.
        line = _first_line(server.rest_address, b"Content-Length: 1000000\r\n\r\n{")
        assert b" 408 " in line and server.core.inside == 0


def test_full_queue(two_versions, monkeypatch):
    body, held, answers = {"signature_name": "slow", "inputs": [7]}, Held(monkeypatch), []
    with serving(two_versions, limits=Limits(max_concurrency=1, max_queue=0)) as (server, _):

        def ask():
            answers.append(rest(server.rest_address, "POST", PREDICT, body))

        thread = threading.Thread(target=ask)
        thread.start()
        wait_for(lambda: server.core.runner.running)
        ask()
        # Refused before its body came.
        line = _first_line(server.rest_address, b"Content-Length: 1000000\r\n\r\n")
        held.go.set()
        thread.join()
    assert b" 429 " in line
    (refused, _, headers), (status, answer, _) = answers
    assert (refused, headers["Retry-After"]) == (429, "1")
    assert (status, answer) == (200, {"outputs": [7]})
