import pytest

from common.errors import InputError
from serving.clients.transport import Certificates, Target


@pytest.mark.parametrize(
    ("address", "scheme", "place"),
    [
        ("localhost:8500", "grpc", "localhost:8500"),
        ("grpc://10.0.0.1:8500", "grpc", "10.0.0.1:8500"),
        ("grpcs://[::1]:8500/", "grpcs", "[::1]:8500"),
        ("http://localhost:8501", "http", "localhost:8501"),
        ("https://models.example/v/", "https", "models.example/v"),
    ],
)
def test_addresses(address, scheme, place):
    target = Target.at(address, "music")
    assert (target.scheme, target.place) == (scheme, place)
    assert str(target) == f"model music at {address}"


@pytest.mark.parametrize(
    "address", ["", "localhost", "localhost:", "localhost:8500/x", "ftp://a:1", "http://", "a b:1"]
)
def test_other_addresses_are_refused(address):
    with pytest.raises(InputError, match="address: expected host:port") as caught:
        Target.at(address, "music")
    assert repr(address) in str(caught.value)


def test_versions_and_labels_are_named():
    assert str(Target.at("a:1", "music", version=3)) == "model music, version 3, at a:1"
    assert str(Target.at("a:1", "music", label="best")) == "model music, label best, at a:1"
    with pytest.raises(InputError, match="a version or a label. Received: 3 and 'best'"):
        Target.at("a:1", "music", version=3, label="best")


def test_a_model_has_a_name():
    with pytest.raises(InputError, match="expected the name of a model"):
        Target.at("a:1", "")


@pytest.mark.parametrize("address", ["a:1", "http://a"])
def test_certificates_need_tls(address, tmp_path):
    file = tmp_path / "roots.crt"
    file.write_text("-----BEGIN CERTIFICATE-----")
    with pytest.raises(InputError, match="expected grpcs:// or https://"):
        Target.at(address, "music", certificates=Certificates(file))


def test_a_certificate_needs_its_key(tmp_path):
    file = tmp_path / "own.crt"
    file.write_text("-----BEGIN CERTIFICATE-----")
    with pytest.raises(InputError, match="certificate with its key. Received: only one"):
        Certificates(certificate=file)


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"not a certificate"])
def test_certificates_are_pem(content, tmp_path):
    file = tmp_path / "roots.crt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"certificates: expected a file of PEM. Received: .*crt"):
        Certificates(file)
