"""Starts and stops a development server: in this process, or as the process."""

from __future__ import annotations

import dataclasses
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import uvicorn
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from common.errors import InputError
from serving.standin import configuration, rest
from serving.standin.core import Core
from serving.standin.errors import ServingError
from serving.standin.grpc_service import Services
from serving.standin.settings import TLS, Settings
from serving.standin.versions import State

_LOG = logging.getLogger(__name__)

_SPARE = 16
"""Threads of gRPC for calls that do not wait in the queue: status, health, a reload."""

_LAST_SECONDS = 1
"""Time for the last answers to leave once no request runs any more, or shall."""


@dataclasses.dataclass(frozen=True)
class Running:
    """A server that runs.

    Attributes:
        grpc_address: `host:port` of gRPC; empty if it is off.
        rest_address: `host:port` of REST; likewise.
        core: the server behind both.
    """

    grpc_address: str
    rest_address: str
    core: Core


class _RestServer(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@contextmanager
def running(settings: Settings, is_cancelled: threading.Event | None = None) -> Iterator[Running]:
    """Runs a server in this process until the context ends.

    It listens once every model serves. At the end it says that it does not serve (health), refuses
    new requests, finishes those that run (`grace_seconds`), and gives back all memory and ports.

    Args:
        settings: what it is told.
        is_cancelled: ends the wait for models that have no version yet.

    Raises:
        InputError: if a model cannot be loaded, or a port is taken.

    Example:
        >>> from pathlib import Path
        >>> from serving.standin.settings import ModelConfig
        >>> with running(Settings((ModelConfig("music", Path("models/music")),))) as server:
        ...     print(server.grpc_address)  # doctest: +SKIP
        127.0.0.1:43210
    """
    core = Core(settings)
    stopped = threading.Event()
    try:
        core.manager.start()
        for status in core.manager.wait_until_available(is_cancelled or threading.Event()):
            if status.state == State.END and status.error is not None:
                raise InputError(f"version {status.version}: {status.error.message}")
        servicer = health.HealthServicer()
        with _grpc(core, servicer) as grpc_address, _rest(core) as rest_address:
            watcher = threading.Thread(target=_watch_config, args=(core, stopped), daemon=True)
            watcher.start()
            try:
                yield Running(grpc_address, rest_address, core)
            finally:
                servicer.enter_graceful_shutdown()
                core.gate.close()
                core.gate.wait_until_empty(settings.grace_seconds)
    except ServingError as error:
        raise InputError(error.message) from error
    finally:
        stopped.set()
        core.manager.stop(_LAST_SECONDS)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def _grpc(core: Core, servicer: health.HealthServicer) -> Iterator[str]:
    """Serves gRPC; yields its address."""
    settings = core.settings
    if settings.grpc_port is None:
        yield ""
        return
    inside = settings.limits.max_concurrency + settings.limits.max_queue
    # Each request holds a thread while it waits, so that those who wait for a batch to fill never
    # keep out those who would fill it.
    threads = ThreadPoolExecutor(settings.grpc_threads or inside + _SPARE, "grpc")
    server = grpc.server(
        threads,
        maximum_concurrent_rpcs=inside + _SPARE,
        options=[
            ("grpc.max_receive_message_length", settings.limits.max_message_bytes),
            ("grpc.max_send_message_length", -1),
            # A second server on the same port would get every other request.
            ("grpc.so_reuseport", 0),
            *settings.grpc_channel_arguments,
        ],
    )
    server.add_generic_rpc_handlers(Services(core).handlers())
    if settings.health:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    address = _join(settings.host, settings.grpc_port)
    try:
        if settings.tls is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, _credentials(settings.tls))
    except RuntimeError:
        raise InputError(f"--port: expected a port that is free. Received: {address}") from None
    server.start()
    try:
        yield _join(settings.host, port)
    finally:
        server.stop(_LAST_SECONDS).wait()
        threads.shutdown(wait=False)


def _credentials(tls: TLS) -> Any:
    return grpc.ssl_server_credentials(
        [(tls.server_key.encode(), tls.server_cert.encode())],
        root_certificates=tls.custom_ca.encode() or None,
        require_client_auth=tls.client_verify,
    )


@contextmanager
def _rest(core: Core) -> Iterator[str]:
    """Serves REST and the metrics; yields its address."""
    settings = core.settings
    if settings.rest_port is None:
        yield ""
        return
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Of the protocol by name: only then asyncio turns Nagle's algorithm off, 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.rest_port))
    except OSError as error:
        listener.close()
        raise InputError(
            "--rest_api_port: expected a port that is free. "
            f"Received: {_join(settings.host, settings.rest_port)} ({error.strerror})"
        ) from None
    workers = ThreadPoolExecutor(
        settings.rest_threads or settings.limits.max_concurrency + _SPARE, "rest"
    )
    server = _RestServer(
        uvicorn.Config(
            rest.application(core, workers),
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=_LAST_SECONDS,
        )
    )
    thread = threading.Thread(target=server.run, args=([listener],), name="rest", daemon=True)
    thread.start()
    server.listens.wait()
    try:
        yield _join(settings.host, listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        workers.shutdown(wait=False)
        listener.close()


def _watch_config(core: Core, stopped: threading.Event) -> None:
    """Reads the configuration file again and again."""
    settings = core.settings
    if settings.config_file is None or settings.config_poll_seconds <= 0:
        return
    served = settings.models
    while not stopped.wait(settings.config_poll_seconds):
        try:
            models = configuration.read_models(settings.config_file)
            if models != served:
                served = models
                core.manager.reload(models)
        except (InputError, ServingError) as error:
            _LOG.error("%s", error)
