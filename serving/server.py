"""A development server that speaks TensorFlow Serving's protocol: for development and tests only.

    python -m serving.server --model_name=music --model_base_path=models/music --rest_api_port=8501

serves the latest version in `models/music` over gRPC on port 8500 and over REST, on this machine
alone. Flags, configuration files and answers are TensorFlow Serving's; for production take
`tensorflow_model_server` itself, with the same flags.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from common import command_line
from common.errors import InputError

if TYPE_CHECKING:
    from serving.devserver.settings import Batching, Limits, Loading, ModelConfig, Settings

_FLAGS: tuple[tuple[Any, ...], ...] = (
    # TensorFlow Serving's flags, with its names and defaults: kind, name, default, help, minimum.
    ("string", "model_name", "default", "What clients call the model."),
    ("string", "model_base_path", None, "Folder of the model's versions."),
    ("string", "model_config_file", None, "Several models: a ModelServerConfig as text."),
    ("integer", "model_config_file_poll_wait_seconds", 0, "Seconds between reads of it; 0: once."),
    ("integer", "port", 8500, "Port of gRPC; 0: none.", 0),
    ("integer", "rest_api_port", 0, "Port of REST and the metrics; 0: none.", 0),
    ("integer", "rest_api_timeout_in_ms", 30000, "Milliseconds for a REST request.", 1),
    ("string", "grpc_channel_arguments", "", "For gRPC: grpc.max_connection_age_ms=2000,..."),
    ("bool", "enable_batching", False, "Whether requests share batches."),
    ("string", "batching_parameters_file", None, "BatchingParameters as text."),
    (
        *("bool", "enable_per_model_batching_parameters", False),
        "Whether batching_params.pbtxt in a version counts; the file then gives threads only.",
    ),
    (
        *("bool", "allow_version_labels_for_unavailable_models", False),
        "Whether a new label may name a version that is not loaded yet.",
    ),
    ("string", "monitoring_config_file", None, "Where metrics are: a MonitoringConfig as text."),
    ("string", "ssl_config_file", None, "Keys of the gRPC port: an SSLConfig as text."),
    (
        *("integer", "file_system_poll_wait_seconds", 1),
        "Seconds between scans for versions; 0 or less: once.",
    ),
    ("integer", "max_num_load_retries", 5, "Further attempts to load a version.", 0),
    ("integer", "load_retry_interval_micros", 60_000_000, "Microseconds between two attempts."),
    ("bool", "enable_model_warmup", True, "Whether a version's warm-up requests are replayed."),
    ("bool", "enable_grpc_healthcheck_service", False, "Whether grpc.health.v1 is served."),
    (
        *("bool", "enable_serialization_as_tensor_content", False),
        "Whether numbers travel as bytes (tensor_content) instead of values (float_val ...).",
    ),
    # TensorFlow Serving's defaults of these are 0, for TensorFlow's choice.
    ("integer", "tensorflow_session_parallelism", 1, "Sets both of the next two."),
    ("integer", "tensorflow_intra_op_parallelism", 1, "Threads per operation; 0: one a core."),
    ("integer", "tensorflow_inter_op_parallelism", 1, "Operations of a call at the same time."),
    # Flags of this server only.
    ("string", "host", "127.0.0.1", "Address to listen on; 0.0.0.0: every one."),
    ("bool", "free_ports", False, "gRPC and REST on free ports, which the first line names."),
    ("integer", "max_message_bytes", 64 * 2**20, "Size of a request and of its tensors.", 1),
    ("integer", "max_sequence_length", 1_000_000, "Steps or samples of an input.", 1),
    (
        *("integer", "max_concurrency", None),
        *("Calls of TensorFlow at the same time [1 a core, at least 2].", 1),
    ),
    ("integer", "max_queue", 128, "Further requests that wait; the next is refused.", 0),
    ("float", "grace_seconds", 10.0, "Seconds for running requests when the server stops.", 0.0),
)

for _kind, _name, _default, _help, *_least in _FLAGS:
    _bound = {"lower_bound": _least[0]} if _least else {}
    getattr(flags, f"DEFINE_{_kind}")(_name, _default, _help, **_bound)

UNSUPPORTED = frozenset(
    """
    enable_cors_support enable_profiler enable_signature_method_name_check
    flush_filesystem_caches grpc_max_threads grpc_socket_path mixed_precision num_load_threads
    num_request_iterations_for_warmup num_tflite_interpreters_per_pool num_tflite_pools
    num_unload_threads per_process_gpu_memory_fraction platform_config_file prefer_tflite_model
    remove_unused_fields_from_bundle_metagraph rest_api_enable_cors_support rest_api_num_threads
    saved_model_tags skip_initialize_tpu tensorflow_session_config_file
    thread_pool_factory_config_file use_alts_credentials use_tflite_model version
    xla_cpu_compilation_enabled xla_gpu_compilation_enabled
    """.split()
)
"""Flags of `tensorflow_model_server` that are not supported here."""


def _refuse_unsupported(arguments: list[str]) -> None:
    """Ends the process with one line if the command line has a flag that is not supported here."""
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

    if flags.FLAGS.model_config_file:
        return configuration.read_models(Path(flags.FLAGS.model_config_file))
    base_path = flags.FLAGS.model_base_path
    if not base_path:
        raise InputError("--model_base_path: expected a folder of versions. Received: nothing")
    if not Path(base_path).is_dir():
        raise InputError(f"--model_base_path: expected a folder of versions. Received: {base_path}")
    if Path(base_path, "saved_model.pb").exists():
        raise InputError(
            "--model_base_path: expected the folder of a model's versions. "
            f"Received: {base_path}, which is a version itself; try {Path(base_path).parent}"
        )
    return (ModelConfig(flags.FLAGS.model_name, Path(base_path).absolute()),)


def _batching() -> Batching | None:
    from serving.devserver import configuration
    from serving.devserver.settings import Batching

    file = flags.FLAGS.batching_parameters_file
    if not flags.FLAGS.enable_batching:
        if file:
            raise InputError("--batching_parameters_file: expected --enable_batching with it")
        return None
    return configuration.read_batching(Path(file)) if file else Batching()


def _loading() -> Loading:
    from serving.devserver.settings import Loading

    both, intra, inter = (
        flags.FLAGS[f"tensorflow_{what}_parallelism"]
        for what in ("session", "intra_op", "inter_op")
    )
    if both.present:
        if intra.present or inter.present:
            raise InputError(
                f"--{both.name}: expected it alone, without --{intra.name} and --{inter.name}"
            )
        intra = inter = both
    return Loading(
        poll_seconds=flags.FLAGS.file_system_poll_wait_seconds,
        max_num_retries=flags.FLAGS.max_num_load_retries,
        retry_seconds=flags.FLAGS.load_retry_interval_micros / 1e6,
        warmup=flags.FLAGS.enable_model_warmup,
        labels_for_unavailable_models=flags.FLAGS.allow_version_labels_for_unavailable_models,
        intra_op_threads=intra.value or 0,
        inter_op_threads=inter.value or 0,
        batching=_batching(),
        per_model_batching=flags.FLAGS.enable_per_model_batching_parameters,
    )


def _limits() -> Limits:
    from serving.devserver.settings import Limits

    return Limits(
        max_message_bytes=flags.FLAGS.max_message_bytes,
        max_sequence_length=flags.FLAGS.max_sequence_length,
        max_concurrency=flags.FLAGS.max_concurrency or Limits().max_concurrency,
        max_queue=flags.FLAGS.max_queue,
    )


def _channel_arguments() -> tuple[tuple[str, int | str], ...]:
    arguments: list[tuple[str, int | str]] = []
    for pair in filter(None, flags.FLAGS.grpc_channel_arguments.split(",")):
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
        config_file=Path(flags.FLAGS.model_config_file) if flags.FLAGS.model_config_file else None,
        config_poll_seconds=flags.FLAGS.model_config_file_poll_wait_seconds,
        loading=loading,
        limits=_limits(),
        host=flags.FLAGS.host,
        grpc_port=flags.FLAGS.port or None,
        rest_port=flags.FLAGS.rest_api_port or None,
        rest_timeout_seconds=flags.FLAGS.rest_api_timeout_in_ms / 1e3,
        grpc_channel_arguments=_channel_arguments(),
        tensor_content=flags.FLAGS.enable_serialization_as_tensor_content,
        health=flags.FLAGS.enable_grpc_healthcheck_service,
        grace_seconds=flags.FLAGS.grace_seconds,
    )
    if flags.FLAGS.free_ports:
        settings = dataclasses.replace(settings, grpc_port=0, rest_port=0)
    if settings.grpc_port is None and settings.rest_port is None:
        raise InputError("--port: expected it or --rest_api_port. Received: neither")
    if flags.FLAGS.monitoring_config_file:
        path = configuration.read_metrics_path(Path(flags.FLAGS.monitoring_config_file))
        settings = dataclasses.replace(settings, metrics_path=path)
    if flags.FLAGS.ssl_config_file:
        tls = configuration.read_tls(Path(flags.FLAGS.ssl_config_file))
        settings = dataclasses.replace(settings, tls=tls)
    return settings


def _log_to_standard_error() -> None:
    logger = logging.getLogger("serving.devserver")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _tune_process() -> None:
    """Sets how threads take turns, and how TensorFlow computes; call it before either starts."""
    from serving.runtime import session

    # Between two batches, TensorFlow's thread needs Python's lock, which the event loop holds.
    sys.setswitchinterval(1e-4)
    if sys.platform == "linux":
        # Otherwise gRPC's threads interrupt the event loop at every message. (A container may
        # forbid it.)
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    # What `Session` needs for calls in half the time; oneDNN is no faster for networks like ours.
    os.environ.setdefault(session.ONEDNN, "0")


def main() -> int:
    """Runs the command."""
    settings = _settings()
    _log_to_standard_error()
    from serving.runtime import session

    _tune_process()
    with command_line.quiet_libraries():
        session.count_devices(settings.loading.intra_op_threads)
    from serving.devserver.launch import running

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with running(settings, stop) as server:
        if not stop.is_set():
            print(
                "Development server, not TensorFlow Serving: for development and tests only. "
                f"gRPC: {server.grpc_address or 'off'}. REST: {server.rest_address or 'off'}.",
                flush=True,
            )
        stop.wait()
        print("Stopping.", flush=True)
    core = server.core
    if left := max(core.inside, core.runner.running):
        # TensorFlow cannot be interrupted, and Python would wait for the threads that are in it.
        print(f"Left behind after --grace_seconds: {left} requests.")
        sys.stdout.flush()
        os._exit(0)
    return 0


if __name__ == "__main__":
    _refuse_unsupported(sys.argv[1:])
    command_line.run(main)
