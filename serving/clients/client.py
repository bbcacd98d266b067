"""A model on a server, over gRPC or REST."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from serving.clients import checks, ragged
from serving.clients.errors import ServingError
from serving.clients.predictor import Array, Predictor
from serving.clients.retrying import Patience
from serving.clients.streaming import Stream
from serving.clients.transport import (
    Certificates,
    Description,
    Target,
    Transport,
    VersionStatus,
)
from serving.runtime.specs import DEFAULT_SIGNATURE, MAX_BATCH, Signature


class Client:
    """A model on a server, as a `serving.clients.predictor.Predictor`; threads may share it.

    Inputs are checked against the model's signature before they are sent. The signatures are
    requested once, when they are first needed.

    Args:
        address: `host:port` or `grpc://host:port` for gRPC, `grpcs://host:port` for gRPC with TLS,
            `http://host:port` or `https://host:port` for REST. (gRPC is faster. Neither needs
            TensorFlow.)
        model: name of the model.
        version: number of the version; if not given, the latest.
        label: label of the version, instead of its number.
        timeout: seconds to wait for an answer, including retries. (Over REST, a server that keeps
            sending data may take longer.)
        retries: how often to retry when the server is unreachable or busy (UNAVAILABLE,
            RESOURCE_EXHAUSTED; HTTP 503 and 429, whose Retry-After is respected).
        backoff: seconds before the second attempt, doubled before every further one; each pause is
            shortened by a random fraction of up to a half.
        root_certificates: PEM file of certificates to verify the server; if None, the system's.
        client_certificate: PEM file of the client's certificate, if the server requires one.
        client_key: PEM file of the client's private key.

    Raises:
        InputError: if the address is invalid, a file is missing, or a package is not installed.

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
        self._transport: Transport | None = _transport(self._target)
        self._signatures: Mapping[str, Signature] | None = None
        self._lock = threading.Lock()

    def _open(self) -> Transport:
        if self._transport is None:
            raise ServingError("CANCELLED", f"{self._target}: the client is closed")
        return self._transport

    def signatures(self) -> Mapping[str, Signature]:
        """Returns the signatures of the model, by name.

        Raises:
            ServingError: if the server does not return them.
        """
        with self._lock:
            if self._signatures is None:
                self._signatures = self._open().describe().signatures
            return self._signatures

    def predict(
        self, inputs: Mapping[str, npt.ArrayLike], signature: str = DEFAULT_SIGNATURE
    ) -> dict[str, Array]:
        """Runs a signature of the model.

        Args:
            inputs: an array for every input of the signature, whose first dimension is the batch.
            signature: name of the signature.

        Returns:
            An array for every output, by name. Strings are object arrays of `bytes`.

        Raises:
            ServingError: if the inputs do not match the signature, or the server does not answer.
        """
        spec = checks.signature_of(str(self._target), self.signatures(), signature)
        arrays = checks.prepared(str(self._target), spec, inputs)
        return self._open().predict(arrays, signature, spec)

    def predict_sequences(
        self,
        sequences: Sequence[npt.ArrayLike],
        signature: str = DEFAULT_SIGNATURE,
        *,
        batch: int = MAX_BATCH,
    ) -> list[dict[str, Any]]:
        """Runs a signature of the model on sequences of different lengths.

        Args:
            sequences: arrays `[time, ...]`.
            signature: name of a signature with two inputs: `lengths`, and the padded sequences.
            batch: largest number of sequences per call. A server that batches refuses more than its
                `max_batch_size`, which is 32 in exports of `serving.export`.

        Returns:
            The outputs for every sequence by name, cut to the length of the sequence.

        Raises:
            ServingError: as `predict` does.
            ValueError: if the sequences differ in more than time, or `batch` is not positive.
        """
        return ragged.predict_sequences(self, sequences, signature, batch=batch)

    def pinned(self) -> Predictor:
        """Returns a predictor that is bound to the version that answers now.

        It shares this client's connections and is closed with them.

        Raises:
            ServingError: if the server does not answer.
        """
        if self._target.version is not None:
            return self
        description = self._open().describe()
        return self if description.version is None else _Pinned(self, description)

    def stream(self, batch: int = 1) -> Stream:
        """Starts sequences to be read frame by frame, all by the version that serves now.

        Args:
            batch: number of parallel sequences.

        Raises:
            ServingError: if the model cannot stream, or the server does not answer.
        """
        return Stream(self, batch)

    def status(self) -> tuple[VersionStatus, ...]:
        """Returns the status of each version of the model, the highest version first.

        Raises:
            ServingError: if the server does not answer, or has no such model.
        """
        return self._open().status()

    def close(self) -> None:
        """Closes the connections; later calls raise `ServingError`."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Pinned:
    """One version of a model."""

    def __init__(self, client: Client, description: Description) -> None:
        self._client, self._description = client, description

    def signatures(self) -> Mapping[str, Signature]:
        return self._description.signatures

    def predict(
        self, inputs: Mapping[str, npt.ArrayLike], signature: str = DEFAULT_SIGNATURE
    ) -> dict[str, Array]:
        version = self._description.version
        where = f"{self._client._target}, version {version}"
        spec = checks.signature_of(where, self.signatures(), signature)
        arrays = checks.prepared(where, spec, inputs)
        try:
            return self._client._open().predict(arrays, signature, spec, version)
        except ServingError as error:
            if error.code != "NOT_FOUND":
                raise
            raise ServingError(
                "NOT_FOUND",
                f"{where}: expected the version that began to answer, whose states mean nothing to "
                f"another. Received: it is served no more ({error}); begin a new stream",
            ) from error


def _transport(target: Target) -> Transport:
    if target.scheme in ("grpc", "grpcs"):
        from serving.clients.grpc_client import GrpcClient

        return GrpcClient(target)
    from serving.clients.rest_client import RestClient

    return RestClient(target)
