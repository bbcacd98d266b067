"""What `benchmarks.serving` compares, by name: servers, and the model without one."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.remote import Remote, cores
from benchmarks.serving_peers import processes
from benchmarks.serving_peers.latencies import Latencies
from benchmarks.serving_peers.names import MODEL, REAL, SIGNATURES, STAND_IN

_START_TIMEOUT = 120.0


@dataclasses.dataclass(frozen=True)
class Setup:
    """What all are measured on.

    Attributes:
        folder: for files.
        cases: file of the requests and their answers, see `cases`.
        base_path: folder of the model's versions, of which there is one.
    """

    folder: Path
    cases: Path
    base_path: Path

    @property
    def version(self) -> Path:
        """The version's folder."""
        return self.base_path / "1"

    def onnx(self, signature: str) -> Path:
        """The file of a signature in ONNX."""
        return self.folder / f"{signature}.onnx"


class Answering:
    """An object of `benchmarks.remote` that asks and measures.

    Attributes:
        start: seconds from the start of a server's process to its first right answer; None where
            there is no server.
    """

    def __init__(self, remote: Remote, start: float | None = None, **arguments: Any) -> None:
        """Keeps what every call needs.

        Args:
            remote: has a method `measure`.
            start: see the class.
            **arguments: further ones of `measure`.
        """
        self._remote, self.start, self._arguments = remote, start, arguments

    def measure(
        self, signature: str, concurrency: int, warm_up: float, seconds: float
    ) -> Latencies:
        """Asks for a while; the arguments are those of `load.Load.measure`."""
        found = self._remote.call(
            "measure",
            signature=signature,
            concurrency=concurrency,
            warm_up=warm_up,
            seconds=seconds,
            **self._arguments,
        )
        return Latencies(**found)


Open = Callable[[Setup], contextlib.AbstractContextManager[Answering]]
"""Starts what answers, checks its answers, and ends it again."""


def _served(command: Callable[[Setup, int], list[str]]) -> Open:
    @contextlib.contextmanager
    def opened(setup: Setup) -> Iterator[Answering]:
        (port,) = processes.free_ports(1)
        address = f"127.0.0.1:{port}"
        arguments: dict[str, Any] = {
            "cases_path": str(setup.cases),
            "model": MODEL,
            "cores": cores(),
        }
        with Remote("benchmarks.serving_peers.load:Load", **arguments) as load:
            load.call("ready")
            with processes.Server(command(setup, port)) as server:
                load.call("first_answer", address=address, timeout=_START_TIMEOUT)
                start = time.perf_counter() - server.started
                load.call("check", address=address)
                yield Answering(load, start, address=address)

    return opened


def _alone(setup: Setup, port: int) -> list[str]:
    (rest_port,) = processes.free_ports(1)
    return processes.stand_in(MODEL, setup.base_path, port, rest_port)


def _in_batches(setup: Setup, port: int) -> list[str]:
    # All sequences are equally long, and Ray Serve pads none.
    batching = processes.batching(setup.folder / "batching.txt", pad=False)
    return [*_alone(setup, port), *batching]


def _ray(mode: str) -> Open:
    return _served(lambda setup, port: processes.ray_serve(setup.version, port, mode))


def _in_process(kind: str, options: Callable[[Setup], dict[str, Any]]) -> Open:
    @contextlib.contextmanager
    def opened(setup: Setup) -> Iterator[Answering]:
        with Remote(
            f"benchmarks.serving_peers.in_process:{kind}",
            # As many threads as the servers.
            environment={"TF_NUM_INTRAOP_THREADS": "2", "TF_NUM_INTEROP_THREADS": "2"},
            cases_path=str(setup.cases),
            cores=cores(),
            **options(setup),
        ) as remote:
            remote.call("check")
            yield Answering(remote)

    return opened


PEERS: dict[str, Open] = {
    STAND_IN: _served(_alone),
    f"{STAND_IN}, batches": _served(_in_batches),
    REAL: _served(
        lambda setup, port: processes.tensorflow_serving(MODEL, setup.base_path, port)
    ),
    "Ray Serve": _ray("one"),
    "Ray Serve, batches": _ray("batch"),
    "TensorFlow in process": _in_process(
        "TensorFlow", lambda setup: {"folder": str(setup.version)}
    ),
    "ONNX Runtime in process": _in_process(
        "OnnxRuntime", lambda setup: {"paths": {name: str(setup.onnx(name)) for name in SIGNATURES}}
    ),
}
"""In the order of the table."""
