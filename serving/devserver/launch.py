"""Starts and stops a development server, with its event loop in a thread of this process."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import grpc
import uvicorn
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from common.errors import InputError
from serving.devserver import configuration
from serving.devserver.core import Core
from serving.devserver.grpc_service import handlers
from serving.devserver.models import until
from serving.devserver.rest import Rest
from serving.devserver.settings import Settings
from serving.runtime.c_api import Failure

_LOG = logging.getLogger(__name__)

_LAST_SECONDS = 1
"""Time for sending the last answers, once requests have finished or run out of time."""


@dataclasses.dataclass(frozen=True)
class Running:
    """A running server.

    Attributes:
        grpc_address: `host:port` of gRPC; empty if it is off.
        rest_address: `host:port` of REST; empty if it is off.
        core: the server behind both, to be used in the thread of its event loop.
    """

    grpc_address: str
    rest_address: str
    core: Core


@contextmanager
def running(settings: Settings, stop: threading.Event | None = None) -> Iterator[Running]:
    """Runs a server in this process until the context ends.

    It listens once every model can serve. At the end it reports that it does not serve (health),
    refuses new requests, finishes running ones (`grace_seconds`), and frees its ports and models.

    Args:
        settings: configuration of the server.
        stop: ends the server when set; before every model can serve, it then has no addresses.

    Raises:
        InputError: if a model cannot be loaded, or a port is taken.

    Example:
        >>> from pathlib import Path
        >>> from serving.devserver.settings import ModelConfig
        >>> with running(Settings((ModelConfig("music", Path("models/music")),))) as server:
        ...     print(server.grpc_address)  # doctest: +SKIP
        127.0.0.1:43210
    """
    started: Future[Running] = Future()
    stop = stop or threading.Event()

    def run() -> None:
        try:
            uvloop.run(_serve(settings, started, stop))
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            elif not isinstance(error, asyncio.CancelledError):
                _LOG.exception("the server failed")

    thread = threading.Thread(target=run, name="devserver", daemon=True)
    thread.start()
    try:
        try:
            server = started.result()
        except Failure as error:
            raise InputError(error.cause) from error
        yield server
    finally:
        stop.set()
        thread.join()


async def _serve(settings: Settings, started: Future[Running], stop: threading.Event) -> None:
    core = Core(settings)
    work = asyncio.ensure_future(core.models.work())
    try:
        await until(lambda: work.done() or stop.is_set() or core.models.are_settled())
        if work.done():
            work.result()
        if stop.is_set():
            started.set_result(Running("", "", core))
            return
        servicer = health.aio.HealthServicer()
        async with _grpc(core, servicer) as grpc_address, _rest(core) as rest_address:
            watch = asyncio.ensure_future(_watch_config(core))
            started.set_result(Running(grpc_address, rest_address, core))
            await until(stop.is_set)
            watch.cancel()
            await servicer.enter_graceful_shutdown()
            core.is_closed = True
            await until(lambda: not core.inside, settings.grace_seconds)
    finally:
        await core.models.unload_all(_LAST_SECONDS)
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        core.runner.close()


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@asynccontextmanager
async def _grpc(core: Core, servicer: Any) -> AsyncIterator[str]:
    """Serves gRPC; yields its address."""
    settings = core.settings
    if settings.grpc_port is None:
        yield ""
        return
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", settings.limits.max_message_bytes),
            ("grpc.max_send_message_length", -1),
            # A second server on the same port would get every other request.
            ("grpc.so_reuseport", 0),
            *settings.grpc_channel_arguments,
        ]
    )
    server.add_generic_rpc_handlers(handlers(core))
    if settings.health:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    address, tls = _join(settings.host, settings.grpc_port), settings.tls
    try:
        if tls is None:
            port = server.add_insecure_port(address)
        else:
            pair = tls.server_key.encode(), tls.server_cert.encode()
            authority = tls.custom_ca.encode() or None
            credentials = grpc.ssl_server_credentials([pair], authority, tls.client_verify)
            port = server.add_secure_port(address, credentials)
    except RuntimeError:
        raise InputError(f"--port: expected a free port. Received: {address}") from None
    await server.start()
    try:
        yield _join(settings.host, port)
    finally:
        await server.stop(_LAST_SECONDS)


@asynccontextmanager
async def _rest(core: Core) -> AsyncIterator[str]:
    """Serves REST and the metrics; yields its address."""
    settings = core.settings
    if settings.rest_port is None:
        yield ""
        return
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.rest_port), family=family)
    except OSError as error:
        address = _join(settings.host, settings.rest_port)
        raise InputError(
            f"--rest_api_port: expected a free port. Received: {address} ({error.strerror})"
        ) from error
    server = uvicorn.Server(
        uvicorn.Config(
            Rest(core),
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=_LAST_SECONDS,
        )
    )
    with listener:
        serving = asyncio.ensure_future(server.serve([listener]))
        await until(lambda: server.started or serving.done())
        try:
            yield _join(settings.host, listener.getsockname()[1])
        finally:
            server.should_exit = True
            await serving


async def _watch_config(core: Core) -> None:
    """Rereads the configuration file periodically, and retries a configuration that was refused."""
    settings, served, refused = core.settings, core.settings.models, ""
    while settings.config_file is not None and settings.config_poll_seconds > 0:
        await asyncio.sleep(settings.config_poll_seconds)
        try:
            models = await asyncio.to_thread(configuration.read_models, settings.config_file)
            if models != served:
                await core.models.reload(models)
            served, refused = models, ""
        except (InputError, Failure) as error:
            if str(error) != refused:
                _LOG.error("%s", error)
            refused = str(error)
