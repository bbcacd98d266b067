"""A model on a server, over gRPC or REST."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from serving.clients import checks, ragged
from serving.clients.predictor import DEFAULT_SIGNATURE, Array
from serving.clients.retrying import Patience
from serving.clients.streaming import Stream
from serving.clients.transport import Certificates, Target, Transport, VersionStatus
from serving.specs import Signature


class Client:
    """A model on a server, as a `serving.clients.predictor.Predictor`; threads may share it.

    Inputs are compared with the model's signature before they are sent. What the signatures are is
    asked once, when it is first needed.

    Args:
        address: `host:port` or `grpc://host:port` for gRPC, `grpcs://host:port` for gRPC with TLS,
            `http://host:port` or `https://host:port` for REST. (gRPC is the faster one; it imports
            TensorFlow, since its generated code does, and REST does not.)
        model: name of the model.
        version: its number; if not given, the latest.
        label: a label of the version instead of its number.
        timeout: seconds for one answer, retries included. (Over REST, a server that keeps sending
            may take longer.)
        retries: how often to ask again where nobody is there or the server is busy (UNAVAILABLE,
            RESOURCE_EXHAUSTED; HTTP 503 and 429, whose Retry-After is respected).
        backoff: seconds before the second attempt, twice as many before every further one, of which
            a random part of up to a half is left out.
        root_certificates: file, PEM, of who vouches for the server; if not given, the system's.
        client_certificate: file, PEM, for a server that asks for one.
        client_key: its private key, PEM.

    Raises:
        InputError: if the address is none, a file is not there, or a package is not installed.

    Example:
        >>> with Client("localhost:8500", "music") as client:  # doctest: +SKIP
        ...     client.predict({"sequence": rolls, "lengths": lengths})["logits"].shape
        (2, 61, 88)
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 10.0,
        retries: int = 3,
        backoff: float = 0.1,
        root_certificates: Path | str | None = None,
        client_certificate: Path | str | None = None,
        client_key: Path | str | None = None,
    ) -> None:
        paths = (root_certificates, client_certificate, client_key)
        self._target = Target.at(
            address,
            model,
            version,
            label,
            Patience(timeout, retries, backoff),
            Certificates(*(None if path is None else Path(path) for path in paths)),
        )
        self._transport = _transport(self._target)
        self._signatures: Mapping[str, Signature] | None = None
        self._lock = threading.Lock()

    def signatures(self) -> Mapping[str, Signature]:
        """What the model can be asked, by name of the signature.

        Raises:
            ServingError: if the server does not say.
        """
        with self._lock:
            if self._signatures is None:
                self._signatures = self._transport.signatures()
            return self._signatures

    def predict(
        self, inputs: Mapping[str, npt.ArrayLike], signature: str = DEFAULT_SIGNATURE
    ) -> dict[str, Array]:
        """Asks the model.

        Args:
            inputs: an array for every input of the signature, whose first dimension is the batch.
            signature: which signature to ask.

        Returns:
            An array for every output. Strings are object arrays of `bytes`.

        Raises:
            ServingError: if the inputs are not what the signature takes, or there is no answer.
        """
        spec = checks.signature_of(str(self._target), self.signatures(), signature)
        arrays = checks.prepared(str(self._target), spec, inputs)
        return self._transport.predict(arrays, signature, spec)

    def predict_sequences(
        self, sequences: Sequence[npt.ArrayLike], signature: str = DEFAULT_SIGNATURE
    ) -> list[dict[str, Any]]:
        """Asks the model about sequences of different lengths.

        Args:
            sequences: arrays `[time, ...]`.
            signature: one with two inputs: `lengths`, and the padded sequences.

        Returns:
            The outputs for every sequence by name, cut to its own length.

        Raises:
            ServingError: as `predict` does.
            ValueError: if the sequences differ in more than time.
        """
        return ragged.predict_sequences(self, sequences, signature)

    def stream(self, batch: int = 1) -> Stream:
        """Begins sequences that are read frame by frame.

        Args:
            batch: how many sequences run side by side.

        Raises:
            ServingError: if the model does not stream, or the server gives no answer.
        """
        return Stream(self, batch)

    def status(self) -> tuple[VersionStatus, ...]:
        """Asks how the versions of the model are, the highest first.

        Raises:
            ServingError: if the server does not say, or knows no such model.
        """
        return self._transport.status()

    def close(self) -> None:
        """Ends the connections."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _transport(target: Target) -> Transport:
    if target.scheme in ("grpc", "grpcs"):
        from serving.clients.grpc_client import GrpcClient

        return GrpcClient(target)
    from serving.clients.rest_client import RestClient

    return RestClient(target)
