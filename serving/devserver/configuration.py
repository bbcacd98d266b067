"""Reads TensorFlow Serving's configuration files, which are protocol buffers in text format."""

from __future__ import annotations

import collections
import ssl
import tempfile
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf import text_format

from common.errors import InputError, reason
from serving.devserver.settings import (
    METRICS_PATH,
    TLS,
    All,
    Batching,
    Latest,
    ModelConfig,
    Specific,
    VersionPolicy,
)
from serving.runtime import messages

_Message = TypeVar("_Message")

_PLATFORMS = ("", "tensorflow")


def _read(path: Path, message: _Message) -> _Message:
    """Parses the text of a file into a message.

    Raises:
        InputError: if the file cannot be read or does not contain such a message.
    """
    name = type(message).__name__
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected text in UTF-8. Received: bytes") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        line = "" if error.GetLine() is None else f", line {error.GetLine()}"
        what = " ".join(str(error).split()).split(" : ", 1)[-1]
        raise InputError(f"{path}{line}: expected a {name} as text. Received: {what}") from None
    return message


def read_models(path: Path) -> tuple[ModelConfig, ...]:
    """Reads `--model_config_file`.

    Args:
        path: a `ModelServerConfig` in text format.

    Raises:
        InputError: if the file is not one, or asks for something that cannot be served.
    """
    config = _read(path, messages.ModelServerConfig())
    try:
        return models_of(config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def models_of(config: Any) -> tuple[ModelConfig, ...]:
    """Converts a `ModelServerConfig`.

    Args:
        config: the protocol message.

    Raises:
        InputError: if it asks for something that cannot be served.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise InputError("expected a model_config_list")
    models = tuple(_model_of(model) for model in config.model_config_list.config)
    for name, count in collections.Counter(model.name for model in models).items():
        if count > 1:
            raise InputError(f"Illegal to list model {name} multiple times in config list")
    return models


def _model_of(model: Any) -> ModelConfig:
    if not model.name:
        raise InputError("expected a name for every model")
    if not Path(model.base_path).is_absolute():
        raise InputError(
            f"Expected model {model.name} to have an absolute path, "
            f"but got base_path()={model.base_path}"
        )
    if model.model_platform not in _PLATFORMS:
        raise InputError(f"Model {model.name} requests unsupported platform {model.model_platform}")
    return ModelConfig(
        model.name,
        Path(model.base_path),
        _policy_of(model.name, model.model_version_policy),
        dict(model.version_labels),
    )


def _policy_of(name: str, policy: Any) -> VersionPolicy:
    match policy.WhichOneof("policy_choice"):
        case None | "latest":
            return Latest(policy.latest.num_versions or 1)
        case "all":
            return All()
        case "specific":
            if not policy.specific.versions:
                raise InputError(f"expected versions in the specific policy of model {name}")
            return Specific(frozenset(policy.specific.versions))
        case other:
            raise InputError(
                f"expected the version policy latest, all or specific for model {name}. "
                f"Received: {other}"
            )


def read_batching(path: Path) -> Batching:
    """Reads `--batching_parameters_file`, or a version's `batching_params.pbtxt`.

    Args:
        path: `BatchingParameters` in text format.

    Raises:
        InputError: if the file is not that, or TensorFlow Serving would refuse it.
    """
    message = _read(path, messages.BatchingParameters())
    given = {
        name: getattr(message, name).value
        for name in (
            "max_batch_size",
            "batch_timeout_micros",
            "max_enqueued_batches",
            "num_batch_threads",
        )
        if message.HasField(name)
    }
    for name, value in given.items():
        least = 0 if name == "batch_timeout_micros" else 1
        if value < least:
            raise InputError(f"{path}: {name}: expected at least {least}. Received: {value}")
    batching = Batching(
        **given,
        allowed_batch_sizes=tuple(message.allowed_batch_sizes),
        pad_variable_length_inputs=message.pad_variable_length_inputs,
    )
    sizes = batching.allowed_batch_sizes
    if any(size < 1 for size in sizes) or list(sizes) != sorted(set(sizes)):
        raise InputError(
            f"{path}: allowed_batch_sizes: expected rising positive numbers. "
            f"Received: {', '.join(map(str, sizes))}"
        )
    if sizes and sizes[-1] != batching.max_batch_size:
        raise InputError(
            f"{path}: allowed_batch_sizes: expected max_batch_size, {batching.max_batch_size}, "
            f"as the last one. Received: {sizes[-1]}"
        )
    return batching


def read_metrics_path(path: Path) -> str | None:
    """Reads `--monitoring_config_file`.

    Args:
        path: a `MonitoringConfig` in text format.

    Returns:
        The URL path of the metrics, or None if they are off.

    Raises:
        InputError: if the file is not one, or the URL path does not begin with `/`.
    """
    prometheus = _read(path, messages.MonitoringConfig()).prometheus_config
    if not prometheus.enable:
        return None
    where = str(prometheus.path or METRICS_PATH)
    if not where.startswith("/"):
        raise InputError(f"{path}: path: expected one that begins with /. Received: {where!r}")
    return where


def read_tls(path: Path) -> TLS:
    """Reads `--ssl_config_file`.

    Args:
        path: an `SSLConfig` in text format.

    Raises:
        InputError: if the file is not one, or its key or certificates are missing or invalid.
    """
    message = _read(path, messages.SSLConfig())
    for name in ("server_key", "server_cert"):
        if "-----BEGIN" not in getattr(message, name):
            raise InputError(f"{path}: {name}: expected PEM text")
    if message.client_verify and "-----BEGIN" not in message.custom_ca:
        raise InputError(f"{path}: custom_ca: expected PEM text, since client_verify asks for it")
    _check_key(path, message)
    return TLS(message.server_key, message.server_cert, message.custom_ca, message.client_verify)


def _check_key(path: Path, message: Any) -> None:
    """Refuses keys and certificates for which gRPC would just report a port it cannot bind."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder, "key.pem"), Path(folder, "certificate.pem")
        key.write_text(message.server_key)
        certificate.write_text(message.server_cert)
        try:
            # Without one, OpenSSL would ask for a password on the terminal.
            context.load_cert_chain(certificate, key, password="")
            if message.custom_ca:
                context.load_verify_locations(cadata=message.custom_ca)
        except (ssl.SSLError, ValueError) as error:
            raise InputError(
                f"{path}: expected a key, its certificate, and authorities, each PEM. "
                f"Received: {reason(error)}"
            ) from error
