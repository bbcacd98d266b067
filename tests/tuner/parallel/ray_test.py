"""Studies on the nodes of a Ray cluster, all of them on this computer; `make ray-test` has Ray."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from common.errors import InputError
from tests import commands
from tests.commands import Forked
from tests.tuner import studies, tiny
from tests.tuner.parallel.eager_engine import EAGER
from tuner.parallel import ray_cluster
from tuner.parallel.messages import EpochEnd
from tuner.parallel.ray_pool import RayPool
from tuner.training import engines
from tuner.training.protocol import Protocol

ray = pytest.importorskip("ray")

EPOCHS = 80
# Long enough for something to happen in the middle of a trial.
CONFIG = tiny.config(
    ("V", "CIFG"), trials=2, protocol=Protocol(max_epochs=EPOCHS, patience=EPOCHS, order_seed=5)
)


@pytest.fixture(scope="module", autouse=True)
def eager() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(engines.ENGINES, "native", EAGER)
        yield


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    # Nothing is trained on the head, as in a cluster on Kubernetes.
    head = {"num_cpus": 0, "include_dashboard": False, "ray_client_server_port": port}
    with pytest.MonkeyPatch.context() as patch:
        # Seconds for which the work of a client that has gone is kept.
        patch.setenv("RAY_CLIENT_RECONNECT_GRACE_PERIOD", "1")
        made = Cluster(initialize_head=True, head_node_args=head)
        made.client_address = f"ray://127.0.0.1:{port}"
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def pool(cluster: Any) -> Iterator[RayPool]:
    made = RayPool.connect(cluster.address, [EAGER], None)
    while sum(node.cpus for node in ray_cluster.nodes(ray)) < 2:
        cluster.add_node(num_cpus=1)
    yield made
    ray.shutdown()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict]]:
    """The ledgers of an undisturbed study on this computer."""
    directory = tmp_path_factory.mktemp("local")
    studies.run(directory, CONFIG)
    return studies.lines(directory)


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def workers() -> dict[int, int]:
    """The workers of agents on this computer, and the agents."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 3) for line in listed.stdout.splitlines()]
    agents = {pid for pid, _, _, command in rows if command.startswith("ray::Agent")}
    return {
        int(pid): int(parent)
        for pid, parent, status, command in rows
        if parent in agents and not status.startswith("Z")
    }


def alive(pid: int) -> bool:
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return listed.stdout.strip()[:1] not in ("", "Z")


class Disturber(studies.Silence):
    """Does something once, in the middle of a trial."""

    def __init__(self, disturb: Callable[[], None]) -> None:
        super().__init__()
        self.epochs: list[EpochEnd] = []
        self._disturb: Callable[[], None] | None = disturb

    def end_epoch(self, end: EpochEnd) -> None:
        self.epochs.append(end)
        if self._disturb and end.epoch == EPOCHS // 4:
            disturb, self._disturb = self._disturb, None
            disturb()

    def check(self) -> None:
        """Checks that trials lost their worker, and went on from a checkpoint, not anew."""
        assert self.deaths and not self.failed
        for death in self.deaths:
            assert re.search("^node .* (has left the cluster|has lost its workers: )", death.reason)
            assert "\n" not in death.reason
            epochs = [end.epoch for end in self.epochs if end.trial == death.trial]
            assert epochs.count(1) <= 1


def test_a_node_is_killed_and_another_joins(
    cluster: Any, pool: RayPool, tmp_path: pathlib.Path, expected: dict[str, list[dict]]
) -> None:
    doomed = cluster.add_node(num_cpus=2)

    def disturb() -> None:
        cluster.remove_node(doomed, allow_graceful=False)
        cluster.add_node(num_cpus=1)

    observer = Disturber(disturb)
    studies.run(tmp_path, CONFIG, pool, observer=observer)
    assert studies.lines(tmp_path) == expected
    observer.check()
    assert not any((tmp_path / "running").iterdir())


def test_an_agent_that_is_killed_is_replaced(
    pool: RayPool, tmp_path: pathlib.Path, expected: dict[str, list[dict]]
) -> None:
    def disturb() -> None:
        # As Ray does when a node's memory runs out. The workers go with it.
        os.kill(min(workers().values()), signal.SIGKILL)

    observer = Disturber(disturb)
    studies.run(tmp_path, CONFIG, pool, observer=observer)
    assert studies.lines(tmp_path) == expected
    observer.check()


def drive(directory: pathlib.Path, address: str) -> None:
    """The study in a process of its own, which may be killed."""
    engines.ENGINES["native"] = EAGER
    studies.run(directory, CONFIG, RayPool.connect(address, [EAGER], None))


def test_the_driver_is_killed_and_goes_on(
    cluster: Any, pool: RayPool, tmp_path: pathlib.Path, expected: dict[str, list[dict]]
) -> None:
    # A client outside the cluster; then one that belongs to it.
    process = Forked(drive, tmp_path, cluster.client_address)
    try:
        wait_until(
            lambda: process.poll() is not None
            or (any((tmp_path / "trials").glob("*")) and any((tmp_path / "running").glob("[!.]*")))
        )
        assert process.poll() is None, process.wait().stderr
        underway = workers()
        process.send_signal(signal.SIGKILL)
        process.wait()
    finally:
        process.kill()
    assert underway
    wait_until(lambda: not any(map(alive, underway)))
    done = sum(map(len, studies.lines(tmp_path).values()))
    assert 0 < done < 4

    studies.run(tmp_path, CONFIG, pool)
    assert studies.lines(tmp_path) == expected


def test_the_plan_of_a_cluster(cluster: Any, pool: RayPool, tmp_path: pathlib.Path) -> None:
    planned = commands.run(
        *tiny.study_command(tmp_path / "study", "--data=a", "--dry_run"),
        f"--ray={cluster.address}",
    )
    assert planned.returncode == 0, planned.stderr
    found = re.search(r"cluster: \d nodes with (\d) CPUs and 0 GPUs; nodes that", planned.stdout)
    assert found and f"and {found[1]} workers" in planned.stdout and planned.stderr == ""


def test_another_version_is_one_line(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "__version__", "2.0.0")
    with pytest.raises(InputError, match=r"cannot use the cluster: Version mismatch: .*2\.60"):
        ray_cluster.connect(cluster.address)
