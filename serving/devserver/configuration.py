"""Reads TensorFlow Serving's configuration files, which are protocol buffers in text format."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import Any

from common.errors import InputError, reason
from serving.devserver.settings import TLS, Batching, ModelConfig
from serving.runtime import messages

_METRICS_PATH = "/monitoring/prometheus/metrics"
_LEAST = {
    "max_batch_size": 1,
    "batch_timeout_micros": 0,
    "max_enqueued_batches": 1,
    "num_batch_threads": 1,
}


def read_models(path: Path) -> tuple[ModelConfig, ...]:
    """Reads `--model_config_file`, a `ModelServerConfig`.

    Raises:
        InputError: if the file is not one, or asks for something that cannot be served.
    """
    config = messages.read_text(path, messages.ModelServerConfig())
    try:
        return models_of(config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def models_of(config: Any) -> tuple[ModelConfig, ...]:
    """Converts a `ModelServerConfig` message.

    Raises:
        InputError: if it asks for something that cannot be served.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise InputError("expected a model_config_list")
    models: dict[str, ModelConfig] = {}
    for model in config.model_config_list.config:
        if model.name in models:
            raise InputError(f"expected each name once. Received: {model.name} twice")
        models[model.name] = _model_of(model)
    return tuple(models.values())


def _model_of(model: Any) -> ModelConfig:
    if not model.name or not Path(model.base_path).is_absolute():
        raise InputError(
            "expected a name and an absolute base_path for each model. "
            f"Received: {model.name!r} and {model.base_path!r}"
        )
    if model.model_platform not in ("", "tensorflow"):
        raise InputError(
            f"model {model.name}: expected the model_platform tensorflow. "
            f"Received: {model.model_platform}"
        )
    policy = model.model_version_policy
    if policy.HasField("specific") and not policy.specific.versions:
        raise InputError(f"model {model.name}: expected versions in the policy specific")
    return ModelConfig(
        model.name,
        Path(model.base_path),
        0 if policy.HasField("all") else policy.latest.num_versions or 1,
        frozenset(policy.specific.versions),
        dict(model.version_labels),
    )


def read_batching(path: Path) -> Batching:
    """Reads `--batching_parameters_file`, or a version's `batching_params.pbtxt`.

    Args:
        path: `BatchingParameters`. TensorFlow Serving fills batches up to one of
            `allowed_batch_sizes`; here they have no effect, and neither has `thread_pool_name`.

    Raises:
        InputError: if the file is not that, or a number is too small.
    """
    message = messages.read_text(path, messages.BatchingParameters())
    given = {name: getattr(message, name).value for name in _LEAST if message.HasField(name)}
    for name, value in given.items():
        if value < _LEAST[name]:
            raise InputError(f"{path}: {name}: expected at least {_LEAST[name]}. Received: {value}")
    return Batching(**given, pad_variable_length_inputs=message.pad_variable_length_inputs)


def read_metrics_path(path: Path) -> str | None:
    """Reads `--monitoring_config_file`, a `MonitoringConfig`.

    Returns:
        The URL path of the metrics, or None if they are off.

    Raises:
        InputError: if the file is not one, or the URL path does not begin with `/`.
    """
    prometheus = messages.read_text(path, messages.MonitoringConfig()).prometheus_config
    where = str(prometheus.path or _METRICS_PATH)
    if not where.startswith("/"):
        raise InputError(f"{path}: path: expected one that begins with /. Received: {where!r}")
    return where if prometheus.enable else None


def read_tls(path: Path) -> TLS:
    """Reads `--ssl_config_file`, an `SSLConfig`.

    Raises:
        InputError: if the file is not one, or its key or certificates are missing or invalid, for
            which gRPC would only report a port that it cannot bind.
    """
    found = messages.read_text(path, messages.SSLConfig())
    tls = TLS(found.server_key, found.server_cert, found.custom_ca, found.client_verify)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder, "key.pem"), Path(folder, "certificate.pem")
        key.write_text(tls.server_key)
        certificate.write_text(tls.server_cert)
        try:
            # Without a password, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, password="")
            if tls.custom_ca or tls.client_verify:
                context.load_verify_locations(cadata=tls.custom_ca)
        except (ssl.SSLError, ValueError) as error:
            raise InputError(
                f"{path}: expected a key, its certificate, and authorities, each PEM. "
                f"Received: {reason(error)}"
            ) from error
    return tls
