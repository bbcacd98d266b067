"""How a client connects: with certificates, and without TensorFlow."""

import subprocess
import sys

import pytest

from common.errors import InputError
from serving.client import Client, ServingError
from tests.serving.clients import certificate_files, known, servers

SERVERS = {"grpc": servers.grpc_server, "rest": servers.rest_server}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return certificate_files.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=SERVERS)
def secure(request, certificates):
    with SERVERS[request.param](certificates) as fake:
        yield fake


def test_tls_with_certificates_on_both_sides(secure, certificates):
    with Client(
        secure.address,
        "known",
        root_certificates=certificates.roots,
        client_certificate=certificates.certificate,
        client_key=str(certificates.key),
    ) as client:
        known.assert_equal(client.predict(known.batch()), known.predict(known.batch()))


def test_a_server_nobody_vouches_for_is_not_asked(secure, certificates, tmp_path):
    other = certificate_files.make(tmp_path, "other")
    secure.calls.clear()
    with (
        Client(secure.address, "known", retries=0, root_certificates=other.roots) as client,
        pytest.raises(ServingError) as caught,
    ):
        client.signatures()
    assert caught.value.code in ("UNAVAILABLE", "UNAUTHENTICATED")
    assert "ertificate" in str(caught.value) or "CERTIFICATE" in str(caught.value)
    assert secure.calls == []


def test_a_client_without_certificate_is_not_answered(secure, certificates):
    secure.calls.clear()
    with (
        Client(secure.address, "known", retries=0, root_certificates=certificates.roots) as client,
        pytest.raises(ServingError),
    ):
        client.signatures()
    assert secure.calls == []


def test_certificates_are_files(tmp_path):
    with pytest.raises(InputError, match="certificates: expected a file. Received: .*absent"):
        Client("https://localhost:1", "known", root_certificates=tmp_path / "absent")


def test_neither_way_needs_tensorflow():
    code = """
import os
import sys
import threading
before = dict(os.environ)
from serving.client import Client, ServingError
from tests.serving.clients import known, servers
assert not {"grpc", "numpy.testing", "orjson", "requests"} & set(sys.modules)
with servers.rest_server() as server, Client(server.address, "known") as client:
    client.predict_sequences([known.frames(1, 3)[0]])
    client.stream().step(known.frames(1, 1)[:, 0])
    client.status()
print("tensorflow" in sys.modules, "grpc" in sys.modules)
screen = os.fstat(2)
clients = []
make = lambda: clients.append(Client("127.0.0.1:1", "known", retries=0))
threads = [threading.Thread(target=make) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
for client in clients:
    try:
        client.signatures()
    except ServingError as error:
        assert error.code == "UNAVAILABLE", error
assert len(clients) == 8 and os.fstat(2) == screen and dict(os.environ) == before
print("tensorflow" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False False\nFalse\n"
