"""Where a model is served, and the interface of the connections to it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from common.errors import InputError
from serving.clients.predictor import Array
from serving.clients.retrying import Patience
from serving.runtime.specs import Signature

_ADDRESS = re.compile(r"(?:(?P<scheme>grpcs?|https?)://)?(?P<place>[^/\s]+)(?P<path>/\S*)?")
_PORT = re.compile(r".*:\d{1,5}")


@dataclasses.dataclass(frozen=True)
class Certificates:
    """PEM files for a TLS connection.

    Attributes:
        roots: certificates that verify the server; if None, the system's.
        certificate: the client's own certificate, if the server requires one.
        key: the client's private key.
    """

    roots: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        for path in (self.roots, self.certificate, self.key):
            if path is not None and not path.is_file():
                raise InputError(f"certificates: expected a file. Received: {path}")
            if path is not None and b"-----BEGIN " not in path.read_bytes():
                raise InputError(f"certificates: expected a file of PEM. Received: {path}")
        if (self.certificate is None) != (self.key is None):
            raise InputError(
                "certificates: expected the client's certificate with its key. Received: only one"
            )


_PATIENT, _PLAIN = Patience(), Certificates()


@dataclasses.dataclass(frozen=True)
class Target:
    """A model on a server.

    Attributes:
        address: the address as the user wrote it, for error messages.
        scheme: `grpc`, `grpcs`, `http` or `https`.
        place: `host:port`; for HTTP including the path, if any.
        model: name of the model.
        version: number of the version; None for the latest, or for that of the label.
        label: label of the version.
        patience: how long to wait and how often to try.
        certificates: files for `grpcs` and `https`.

    Example:
        >>> Target.at("https://models.example:8501/v/", "music").place
        'models.example:8501/v'
    """

    address: str
    scheme: str
    place: str
    model: str
    version: int | None = None
    label: str | None = None
    patience: Patience = _PATIENT
    certificates: Certificates = _PLAIN

    @classmethod
    def at(
        cls,
        address: str,
        model: str,
        version: int | None = None,
        label: str | None = None,
        patience: Patience = _PATIENT,
        certificates: Certificates = _PLAIN,
    ) -> Target:
        """Parses an address.

        Args:
            address: `host:port` or `grpc://host:port` for gRPC, `grpcs://host:port` for gRPC with
                TLS, `http://host:port` or `https://host:port` for REST.
            model: name of the model.
            version: number of the version.
            label: label of the version.
            patience: how long to wait and how often to try.
            certificates: files for `grpcs` and `https`.

        Raises:
            InputError: if the address is invalid, certificates are given for a connection without
                TLS, the model has no name, or both a version and a label are given.
        """
        match = _ADDRESS.fullmatch(address)
        scheme = (match["scheme"] or "grpc") if match else ""
        path = ((match["path"] or "") if match else "").rstrip("/")
        grpc = scheme in ("grpc", "grpcs")
        if match is None or (grpc and (path or not _PORT.fullmatch(match["place"]))):
            raise InputError(
                "address: expected host:port or grpcs://host:port (gRPC), or http://host:port or "
                f"https://host:port (REST). Received: {address!r}"
            )
        if scheme in ("grpc", "http") and certificates != _PLAIN:
            raise InputError(
                "address: expected grpcs:// or https://, since there are certificates. "
                f"Received: {address!r}"
            )
        if not model:
            raise InputError("model: expected the name of a model. Received: nothing")
        if version is not None and label is not None:
            raise InputError(
                f"model: expected a version or a label. Received: {version} and {label!r}"
            )
        place = match["place"] + path
        return cls(address, scheme, place, model, version, label, patience, certificates)

    def __str__(self) -> str:
        which = "" if self.version is None else f", version {self.version},"
        which = which if self.label is None else f", label {self.label},"
        return f"model {self.model}{which} at {self.address}"


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """The status of a version of a model.

    Attributes:
        version: number of the version.
        state: `START`, `LOADING`, `AVAILABLE`, `UNLOADING` or `END`.
        code: `OK`, or the code of the version's error.
        message: message of the error.
    """

    version: int
    state: str
    code: str = "OK"
    message: str = ""


@dataclasses.dataclass(frozen=True)
class Description:
    """A server's description of the version of a model that answers.

    Attributes:
        signatures: signatures of the version, by name.
        version: number of the version; None if the server does not report it.
    """

    signatures: Mapping[str, Signature]
    version: int | None = None


class Transport(Protocol):
    """A connection to a model; methods raise `ServingError` and respect the target's patience."""

    def describe(self) -> Description:
        """Requests the signatures of the model, and the version that they belong to."""

    def predict(
        self,
        inputs: Mapping[str, Array],
        name: str,
        signature: Signature,
        version: int | None = None,
    ) -> dict[str, Array]:
        """Runs a signature of the model.

        Args:
            inputs: arrays as returned by `checks.prepared`.
            name: name of the signature.
            signature: the signature.
            version: number of the version to run; None for the target's.
        """

    def status(self) -> tuple[VersionStatus, ...]:
        """Returns the status of each version of the model, the highest version first."""

    def close(self) -> None:
        """Closes the connections."""
