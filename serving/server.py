"""A development server that speaks TensorFlow Serving's protocol: for development and tests only.

    python -m serving.server --model_name=music --model_base_path=models/music --rest_api_port=8501

serves the latest version in `models/music` over gRPC on port 8500 and over REST, on this machine
alone. Flags, configuration files and answers are TensorFlow Serving's; for production take
`tensorflow_model_server` itself, with the same flags.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from common import command_line
from common.errors import InputError

if TYPE_CHECKING:
    from serving.devserver.settings import Batching, Limits, Loading, ModelConfig, Settings

# --- TensorFlow Serving's flags, by its names and with its defaults ---

_MODEL_NAME = flags.DEFINE_string("model_name", "default", "What clients call the model.")
_MODEL_BASE_PATH = flags.DEFINE_string("model_base_path", None, "Folder of the model's versions.")
_MODEL_CONFIG_FILE = flags.DEFINE_string(
    "model_config_file", None, "Several models: a ModelServerConfig as text. Replaces both above."
)
_MODEL_CONFIG_FILE_POLL_WAIT_SECONDS = flags.DEFINE_integer(
    "model_config_file_poll_wait_seconds", 0, "Seconds between two looks at it; 0: one look."
)
_PORT = flags.DEFINE_integer("port", 8500, "Port of gRPC; 0: none.", lower_bound=0)
_REST_API_PORT = flags.DEFINE_integer(
    "rest_api_port", 0, "Port of REST and the metrics; 0: none.", lower_bound=0
)
_REST_API_TIMEOUT_IN_MS = flags.DEFINE_integer(
    "rest_api_timeout_in_ms", 30000, "Milliseconds that a REST request may take.", lower_bound=1
)
_GRPC_CHANNEL_ARGUMENTS = flags.DEFINE_string(
    "grpc_channel_arguments", "", "For gRPC: grpc.max_connection_age_ms=2000,..."
)
_ENABLE_BATCHING = flags.DEFINE_bool("enable_batching", False, "Whether requests share batches.")
_BATCHING_PARAMETERS_FILE = flags.DEFINE_string(
    "batching_parameters_file", None, "BatchingParameters as text."
)
_ENABLE_PER_MODEL_BATCHING_PARAMETERS = flags.DEFINE_bool(
    "enable_per_model_batching_parameters",
    False,
    "Whether batching_params.pbtxt in a version counts; the file above then only gives threads.",
)
_ALLOW_VERSION_LABELS = flags.DEFINE_bool(
    "allow_version_labels_for_unavailable_models",
    False,
    "Whether a new label may name a version that is not loaded yet.",
)
_MONITORING_CONFIG_FILE = flags.DEFINE_string(
    "monitoring_config_file", None, "Whether and where metrics are: a MonitoringConfig as text."
)
_SSL_CONFIG_FILE = flags.DEFINE_string(
    "ssl_config_file", None, "Keys of the gRPC port: an SSLConfig as text. REST stays plain."
)
_FILE_SYSTEM_POLL_WAIT_SECONDS = flags.DEFINE_integer(
    "file_system_poll_wait_seconds",
    1,
    "Seconds between two looks for versions; 0: one look; negative: none.",
)
_MAX_NUM_LOAD_RETRIES = flags.DEFINE_integer(
    "max_num_load_retries", 5, "Further attempts to load a version.", lower_bound=0
)
_LOAD_RETRY_INTERVAL_MICROS = flags.DEFINE_integer(
    "load_retry_interval_micros", 60_000_000, "Microseconds between two attempts."
)
_ENABLE_MODEL_WARMUP = flags.DEFINE_bool(
    "enable_model_warmup", True, "Whether the warm-up requests of a version are replayed."
)
_ENABLE_GRPC_HEALTHCHECK_SERVICE = flags.DEFINE_bool(
    "enable_grpc_healthcheck_service", False, "Whether grpc.health.v1 is served."
)
_ENABLE_SERIALIZATION_AS_TENSOR_CONTENT = flags.DEFINE_bool(
    "enable_serialization_as_tensor_content",
    False,
    "Whether numbers travel as bytes (tensor_content) instead of values (float_val ...).",
)
_TENSORFLOW_SESSION_PARALLELISM = flags.DEFINE_integer(
    "tensorflow_session_parallelism", 0, "Both of the next two; 0: TensorFlow's choice."
)
_TENSORFLOW_INTRA_OP_PARALLELISM = flags.DEFINE_integer(
    "tensorflow_intra_op_parallelism", 0, "Threads of one operation."
)
_TENSORFLOW_INTER_OP_PARALLELISM = flags.DEFINE_integer(
    "tensorflow_inter_op_parallelism", 0, "Operations at the same time."
)

# --- Flags of this server alone ---

_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0: every one.")
_FREE_PORTS = flags.DEFINE_bool(
    "free_ports", False, "Serve gRPC and REST on ports that are free, which the first line names."
)
_MAX_MESSAGE_BYTES = flags.DEFINE_integer(
    "max_message_bytes", 64 * 2**20, "Size of a request and of its tensors.", lower_bound=1
)
_MAX_SEQUENCE_LENGTH = flags.DEFINE_integer(
    "max_sequence_length", 1_000_000, "Steps or samples of an input.", lower_bound=1
)
_MAX_CONCURRENCY = flags.DEFINE_integer(
    "max_concurrency",
    None,
    "Calls of TensorFlow at the same time: 4 a core, unless given.",
    lower_bound=1,
)
_MAX_QUEUE = flags.DEFINE_integer(
    "max_queue", 128, "Requests that wait; the next is refused.", lower_bound=0
)
_GRACE_SECONDS = flags.DEFINE_float(
    "grace_seconds", 10.0, "Time for running requests when the server stops.", lower_bound=0.0
)

UNSUPPORTED = frozenset(
    {
        "enable_cors_support",
        "enable_profiler",
        "enable_signature_method_name_check",
        "flush_filesystem_caches",
        "grpc_max_threads",
        "grpc_socket_path",
        "mixed_precision",
        "num_load_threads",
        "num_request_iterations_for_warmup",
        "num_tflite_interpreters_per_pool",
        "num_tflite_pools",
        "num_unload_threads",
        "per_process_gpu_memory_fraction",
        "platform_config_file",
        "prefer_tflite_model",
        "remove_unused_fields_from_bundle_metagraph",
        "rest_api_enable_cors_support",
        "rest_api_num_threads",
        "saved_model_tags",
        "skip_initialize_tpu",
        "tensorflow_session_config_file",
        "thread_pool_factory_config_file",
        "use_alts_credentials",
        "use_tflite_model",
        "version",
        "xla_cpu_compilation_enabled",
        "xla_gpu_compilation_enabled",
    }
)
"""Flags of `tensorflow_model_server` that have no meaning here."""


def _refuse_unsupported(arguments: list[str]) -> None:
    """Ends the process with one line if the command line has a flag that has no meaning here."""
    for argument in arguments:
        name = argument.lstrip("-").split("=", 1)[0]
        if argument.startswith("-") and name in UNSUPPORTED:
            print(
                f"error: --{name}: not supported by the development server; "
                "expected one of the flags that --help lists",
                file=sys.stderr,
            )
            sys.exit(2)


def _models() -> tuple[ModelConfig, ...]:
    from serving.devserver import configuration
    from serving.devserver.settings import ModelConfig

    if _MODEL_CONFIG_FILE.value:
        return configuration.read_models(Path(_MODEL_CONFIG_FILE.value))
    base_path = _MODEL_BASE_PATH.value
    if not base_path:
        raise InputError("--model_base_path: expected a folder of versions. Received: nothing")
    if not Path(base_path).is_dir():
        raise InputError(f"--model_base_path: expected a folder of versions. Received: {base_path}")
    if Path(base_path, "saved_model.pb").exists():
        raise InputError(
            "--model_base_path: expected the folder of a model's versions. "
            f"Received: {base_path}, which is a version itself; try {Path(base_path).parent}"
        )
    return (ModelConfig(_MODEL_NAME.value, Path(base_path).absolute()),)


def _batching() -> Batching | None:
    from serving.devserver import configuration
    from serving.devserver.settings import Batching

    file = _BATCHING_PARAMETERS_FILE.value
    if not _ENABLE_BATCHING.value:
        if file:
            raise InputError("--batching_parameters_file: expected --enable_batching with it")
        return None
    return configuration.read_batching(Path(file)) if file else Batching()


def _loading() -> Loading:
    from serving.devserver.settings import Loading

    both = _TENSORFLOW_SESSION_PARALLELISM.value
    intra, inter = _TENSORFLOW_INTRA_OP_PARALLELISM.value, _TENSORFLOW_INTER_OP_PARALLELISM.value
    if both and (intra or inter):
        raise InputError(
            "--tensorflow_session_parallelism: expected it alone, without "
            "--tensorflow_intra_op_parallelism and --tensorflow_inter_op_parallelism"
        )
    return Loading(
        poll_seconds=_FILE_SYSTEM_POLL_WAIT_SECONDS.value,
        max_num_retries=_MAX_NUM_LOAD_RETRIES.value,
        retry_seconds=_LOAD_RETRY_INTERVAL_MICROS.value / 1e6,
        warmup=_ENABLE_MODEL_WARMUP.value,
        labels_for_unavailable_models=_ALLOW_VERSION_LABELS.value,
        intra_op_threads=both or intra,
        inter_op_threads=both or inter,
        batching=_batching(),
        per_model_batching=_ENABLE_PER_MODEL_BATCHING_PARAMETERS.value,
    )


def _limits() -> Limits:
    from serving.devserver.settings import Limits

    return Limits(
        max_message_bytes=_MAX_MESSAGE_BYTES.value,
        max_sequence_length=_MAX_SEQUENCE_LENGTH.value,
        max_concurrency=_MAX_CONCURRENCY.value or Limits().max_concurrency,
        max_queue=_MAX_QUEUE.value,
    )


def _channel_arguments() -> tuple[tuple[str, int | str], ...]:
    arguments: list[tuple[str, int | str]] = []
    for pair in filter(None, _GRPC_CHANNEL_ARGUMENTS.value.split(",")):
        name, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--grpc_channel_arguments: expected name=value. Received: {pair!r}")
        arguments.append((name, int(value) if value.lstrip("-").isdecimal() else value))
    return tuple(arguments)


def _settings() -> Settings:
    """Reads the flags."""
    from serving.devserver import configuration
    from serving.devserver.settings import Settings

    loading = _loading()
    settings = Settings(
        models=_models(),
        config_file=Path(_MODEL_CONFIG_FILE.value) if _MODEL_CONFIG_FILE.value else None,
        config_poll_seconds=_MODEL_CONFIG_FILE_POLL_WAIT_SECONDS.value,
        loading=loading,
        limits=_limits(),
        host=_HOST.value,
        grpc_port=_PORT.value or None,
        rest_port=_REST_API_PORT.value or None,
        rest_timeout_seconds=_REST_API_TIMEOUT_IN_MS.value / 1e3,
        grpc_channel_arguments=_channel_arguments(),
        tensor_content=_ENABLE_SERIALIZATION_AS_TENSOR_CONTENT.value,
        health=_ENABLE_GRPC_HEALTHCHECK_SERVICE.value,
        grace_seconds=_GRACE_SECONDS.value,
    )
    if _FREE_PORTS.value:
        settings = dataclasses.replace(settings, grpc_port=0, rest_port=0)
    if settings.grpc_port is None and settings.rest_port is None:
        raise InputError("--port: expected it or --rest_api_port. Received: neither")
    if _MONITORING_CONFIG_FILE.value:
        path = configuration.read_metrics_path(Path(_MONITORING_CONFIG_FILE.value))
        settings = dataclasses.replace(settings, metrics_path=path)
    if _SSL_CONFIG_FILE.value:
        tls = configuration.read_tls(Path(_SSL_CONFIG_FILE.value))
        settings = dataclasses.replace(settings, tls=tls)
    return settings


def _log_to_standard_error() -> None:
    logger = logging.getLogger("serving.devserver")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def main() -> int:
    """Runs the command."""
    settings = _settings()
    _log_to_standard_error()
    from serving.runtime import c_api

    with command_line.quiet_libraries():
        c_api.start()
    from serving.devserver.launch import running

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with running(settings, is_cancelled=stop) as server:
        print(
            "Development server, not TensorFlow Serving: for development and tests only. "
            f"gRPC: {server.grpc_address or 'off'}. REST: {server.rest_address or 'off'}.",
            flush=True,
        )
        stop.wait()
        print("Stopping.", flush=True)
    if server.core.inside:
        # TensorFlow cannot be interrupted, and Python would wait for the threads that are in it.
        print(f"Left behind after --grace_seconds: {server.core.inside} requests.")
        sys.stdout.flush()
        os._exit(0)
    return 0


if __name__ == "__main__":
    _refuse_unsupported(sys.argv[1:])
    command_line.run(main)
