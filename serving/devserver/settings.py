"""Configuration of a development server, wherever it was read from."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

CORES = os.cpu_count() or 1
"""Number of cores of this machine, from which limits are derived."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Attributes:
        name: name of the model, as clients use it.
        base_path: folder of the model's versions.
        latest: how many versions to serve, those with the highest numbers; 0 for all.
        specific: numbers of the versions to serve instead; empty for `latest`.
        labels: numbers of versions by label.
    """

    name: str
    base_path: Path
    latest: int = 1
    specific: frozenset[int] = frozenset()
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def choose(self, present: Iterable[int]) -> set[int]:
        """Chooses which of the versions on disk to serve.

        Example:
            >>> ModelConfig("music", Path("models/music"), latest=2).choose([1, 10, 9])
            {9, 10}
        """
        if self.specific:
            return set(present) & self.specific
        return set(sorted(present)[-self.latest :])


@dataclasses.dataclass(frozen=True)
class Batching:
    """How requests are batched; the defaults are TensorFlow Serving's.

    Attributes:
        max_batch_size: largest number of rows in a batch.
        batch_timeout_micros: how long a request waits for others, in microseconds.
        max_enqueued_batches: largest number of waiting batches; further requests are refused.
        num_batch_threads: number of batches of a version that run at the same time.
        pad_variable_length_inputs: whether requests of different lengths can share a batch, padded
            with the first element of each tensor.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = CORES
    pad_variable_length_inputs: bool = False


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on requests of clients.

    Attributes:
        max_message_bytes: size of a request, and of the tensors that it encodes.
        max_sequence_length: size of any dimension after the batch.
        max_concurrency: number of calls of TensorFlow at the same time.
        max_queue: number of further requests that wait; the next one is refused.
    """

    max_message_bytes: int = 64 * 2**20
    max_sequence_length: int = 1_000_000
    max_concurrency: int = max(CORES, 2)
    max_queue: int = 128


@dataclasses.dataclass(frozen=True)
class Loading:
    """How versions are loaded.

    Attributes:
        poll_seconds: time between scans of the base paths; 0 or less: only on start and reload.
        max_num_retries: attempts to load a version after the first one failed.
        retry_seconds: time between two attempts.
        warmup: whether warm-up requests of a version are replayed before it serves.
        labels_for_unavailable_models: whether a new label may name a version that is not loaded.
        intra_op_threads: threads per operation, see `Session`.
        inter_op_threads: operations of a call at the same time, see `Session`.
        batching: parameters of batching, or None to run each request on its own.
        per_model_batching: whether a version's own `batching_params.pbtxt` is used.
    """

    poll_seconds: float = 1.0
    max_num_retries: int = 5
    retry_seconds: float = 60.0
    warmup: bool = True
    labels_for_unavailable_models: bool = False
    intra_op_threads: int = 1
    inter_op_threads: int = 1
    batching: Batching | None = None
    per_model_batching: bool = False


@dataclasses.dataclass(frozen=True)
class TLS:
    """Keys and certificates of the gRPC port, each as PEM text.

    Attributes:
        server_key: private key.
        server_cert: certificate chain.
        custom_ca: authority that signs the clients' certificates; `client_verify` needs it.
        client_verify: whether clients must show a certificate.
    """

    server_key: str
    server_cert: str
    custom_ca: str = ""
    client_verify: bool = False


@dataclasses.dataclass(frozen=True)
class Settings:
    """The configuration of a server.

    Attributes:
        models: the models to serve.
        config_file: file that `models` were read from, to be reread; None for no file.
        config_poll_seconds: time between reads of `config_file`; 0 for a single read.
        loading: how versions are loaded.
        limits: limits on requests of clients.
        host: address to listen on.
        grpc_port: port of gRPC, 0 for a free one, None for no gRPC.
        rest_port: port of REST and metrics, 0 for a free one, None for neither.
        rest_timeout_seconds: time that a REST request may take.
        grpc_channel_arguments: names and values for gRPC.
        tensor_content: whether numbers in gRPC answers are sent as bytes, not repeated fields.
        metrics_path: URL path of the metrics, or None for no metrics.
        tls: keys and certificates, or None for gRPC without TLS.
        health: whether gRPC's health service is served.
        grace_seconds: time for running requests to finish when the server stops.
    """

    models: tuple[ModelConfig, ...]
    config_file: Path | None = None
    config_poll_seconds: float = 0.0
    loading: Loading = dataclasses.field(default_factory=Loading)
    limits: Limits = dataclasses.field(default_factory=Limits)
    host: str = "127.0.0.1"
    grpc_port: int | None = 0
    rest_port: int | None = 0
    rest_timeout_seconds: float = 30.0
    grpc_channel_arguments: tuple[tuple[str, int | str], ...] = ()
    tensor_content: bool = False
    metrics_path: str | None = None
    tls: TLS | None = None
    health: bool = True
    grace_seconds: float = 10.0
