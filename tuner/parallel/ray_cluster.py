"""A Ray cluster: how to reach it, and what its nodes can do for a study.

Ray itself is passed as a parameter, so that nothing but `connect` imports it.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Sequence
from typing import Any

from common.command_line import log
from common.errors import InputError, reason
from tuner.parallel import ray_node
from tuner.parallel.ray_node import Facts
from tuner.training import engines
from tuner.training.engines import Engine

_CONNECT_SECONDS = 10.0

# Ray's servers speak gRPC, hence HTTP/2: both sides begin with their settings (RFC 9113, 3.4).
_SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS


def connect(address: str) -> Any:
    """Connects this process to a cluster.

    Args:
        address: `auto` for the cluster that this machine belongs to, `host:port` of a cluster's
            head, or `ray://host:port` of its server for remote clients.

    Returns:
        The module `ray`.

    Raises:
        InputError: if Ray is not installed, no cluster can be reached, or the cluster runs another
            version of Ray or Python.
    """
    place = None if address == "auto" else _parse(address)
    try:
        import ray
        import ray.autoscaler.sdk
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise InputError(
            f"--ray={address}: Ray is not installed; it comes with the extra [ray]"
        ) from error
    if place:
        _check(address, place)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise InputError(f"--ray={address}: cannot use the cluster: {reason(error)}") from error
    return ray


def _parse(address: str) -> tuple[str, int]:
    """Returns host and port."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal() and int(port) < 2**16):
        raise InputError(
            f"--ray: expected auto, HOST:PORT or ray://HOST:PORT. Received: {address!r}"
        )
    return host.strip("[]"), int(port)


def _check(address: str, place: tuple[str, int]) -> None:
    """Checks that a server like Ray's is there, since Ray itself would try for many minutes."""
    try:
        with socket.create_connection(place, _CONNECT_SECONDS) as server:
            server.sendall(_GREETING)
            answer = server.recv(len(_SETTINGS))
    except OSError as error:
        raise InputError(f"--ray={address}: cannot reach the cluster: {reason(error)}") from error
    if answer[3:4] != _SETTINGS[3:4]:
        raise InputError(f"--ray={address}: expected a Ray cluster. Received: another server")


@dataclasses.dataclass(frozen=True)
class Resources:
    """The resources that Ray counts on a node.

    Attributes:
        node: ID of the node.
        name: address of the node.
        cpus: number of processors.
        gpus: number of accelerators.
    """

    node: str
    name: str
    cpus: int
    gpus: int


def nodes(ray: Any) -> list[Resources]:
    """Returns the nodes that are alive and have a processor for workers."""
    found = []
    for node in ray.nodes():
        counts = node["Resources"]
        cpus, gpus = int(counts.get("CPU", 0)), int(counts.get("GPU", 0))
        if node["Alive"] and cpus:
            found.append(Resources(node["NodeID"], node["NodeManagerAddress"], cpus, gpus))
    return found


def placed_on(ray: Any, node: str) -> Any:
    """Returns the scheduling strategy for a given node and no other."""
    return ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)


def difference(found: Facts) -> str:
    """Explains why results of a node may differ from this machine's; empty if they do not."""
    here = engines.versions()
    parts = [
        f"{name} {found.versions.get(name, 'none')}, not {here.get(name, 'none')}"
        for name in sorted(here.keys() | found.versions)
        if here.get(name) != found.versions.get(name)
    ]
    return f"it has {', '.join(parts)}" if parts else ""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a cluster currently offers to a study.

    Attributes:
        nodes: the nodes that can train.
        workers: number of workers on these nodes, or on the first one that joins.
    """

    nodes: tuple[Resources, ...]
    workers: int

    def __str__(self) -> str:
        count = len(self.nodes)
        cpus, gpus = (sum(getattr(node, kind) for node in self.nodes) for kind in ("cpus", "gpus"))
        return (
            f"cluster: {count} node{'' if count == 1 else 's'} with {cpus} CPUs and {gpus} GPUs; "
            "nodes that join are used"
        )


def last_line(error: Exception) -> str:
    """Returns the relevant line of an error with traces of other processes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def plan(ray: Any, used: Sequence[Engine], most: int | None) -> Plan:
    """Asks all nodes what they can do.

    Args:
        ray: the module returned by `connect`.
        used: the engines that will train.
        most: maximum number of workers at a time; None for as many as there is room for.

    Raises:
        InputError: if there are nodes, but none can train: they have different versions of the
            libraries, or cannot import this project.
    """
    # A task that requests no GPU should still see those of the node.
    sighted = {"env_vars": {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}}
    look = ray.remote(num_cpus=0)(ray_node.facts)
    asked = {}
    for node in nodes(ray):
        options = {"runtime_env": sighted} if node.gpus else {}
        there = look.options(scheduling_strategy=placed_on(ray, node.node), **options)
        asked[node] = there.remote(node.cpus, used)
    usable, workers, why = [], 0, ""
    for node, ref in asked.items():
        try:
            found = ray.get(ref)
            why = difference(found)
        except (ray.exceptions.RayError, ImportError) as error:
            why = last_line(error)
        if why:
            log(f"--ray: node {node.name} is not used: {why}")
            continue
        usable.append(node)
        workers += found.workers
    if asked and not usable:
        raise InputError(f"--ray: expected nodes with what this machine has. Received: {why}")
    return Plan(tuple(usable), max(1, min(workers, most or workers)))
