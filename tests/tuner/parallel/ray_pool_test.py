"""Trials on the nodes of a cluster that comes and goes; Ray is a stand-in within this process."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import random
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest

from common.errors import InputError
from tests.tuner import fake_worker, tiny
from tests.tuner.parallel import fake_ray
from tests.tuner.parallel.fake_ray import FakeRay, RayError, ThreadWorker
from tuner.parallel import ray_cluster, ray_node, ray_pool
from tuner.parallel.messages import Assignment, EpochEnd, Event, Started, WorkerDied, WorkerReady
from tuner.parallel.pool import ListedTrials
from tuner.parallel.ray_pool import RayPool
from tuner.training import engines
from tuner.training.engines import ENGINES
from tuner.training.protocol import Failure, Trial, TrialResult
from tuner.training.trial_state import Checkpoint

DYING = dataclasses.replace(ENGINES["native"], module="tests.tuner.parallel.ray_pool_test")


class Trainer(fake_worker.Trainer):
    """Trains nothing; the first of its trials loses its worker in every epoch.

    Attributes:
        gate: its first epoch waits for it.
    """

    gate = threading.Event()
    gate.set()

    def train(self, trials: Iterable[Trial], **options: object) -> Iterator[TrialResult]:
        notice = options["on_epoch_end"]

        def end_epoch(trial: Trial, state: object) -> None:
            if trial.index == 0:
                self.gate.wait()
            notice(trial, state)
            if trial.index == 0:
                raise EOFError

        yield from super().train(trials, **options | {"on_epoch_end": end_epoch})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_node, "WorkerProcess", ThreadWorker)
    monkeypatch.setattr(ray_pool, "_LOOK_SECONDS", 0.01)


def train(
    ray: FakeRay,
    folder: pathlib.Path,
    trials: int = 6,
    tell: Callable[[Event], object] = lambda event: None,
    most: int | None = None,
    engine: engines.Engine = fake_worker.FAKE,
) -> list[Event]:
    """Trains some trials; returns what happened."""
    events: list[Event] = []
    queue = ListedTrials(
        Assignment(
            dataclasses.replace(tiny.TRIAL, index=index),
            engine,
            folder / f"{index}.npz",
            "tiny",
        )
        for index in range(trials)
    )

    def notice(event: Event) -> None:
        events.append(event)
        tell(event)

    RayPool(ray, (engine,), most).run(tiny.problems(), queue, notice)
    return events


def finished(events: list[Event]) -> list[int]:
    return sorted(event.trial.index for event in events if isinstance(event, TrialResult))


def epochs(events: list[Event], index: int) -> list[int]:
    return [
        event.epoch
        for event in events
        if isinstance(event, EpochEnd) and event.trial.index == index
    ]


def test_trials_are_trained_on_all_nodes(tmp_path: pathlib.Path) -> None:
    ray = FakeRay(head=0, a=1, b=2)
    events = train(ray, tmp_path)
    assert finished(events) == list(range(6))
    assert all(epochs(events, index) == [1, 2, 3] for index in range(6))
    # No agent where there are no processors, and one where there are several.
    assert sorted(actor.node for actor in ray.actors) == ["a", "b"]


def test_workers_spread_over_the_nodes() -> None:
    ray = FakeRay(a=2, b=3)
    nodes = ray_pool.Nodes(ray, tiny.problems(), (fake_worker.FAKE,), 4)
    assert nodes.limit == 0
    while nodes.limit < 4:
        assert nodes.wait([]) == []
    workers = [nodes.spawn(fake_worker.FAKE) for _ in range(4)]
    assert sorted(worker.node.resources.name for worker in workers) == ["a", "a", "b", "b"]
    # There was no room for one of the three on b.
    workers[0].terminate()
    nodes.shrink(workers[0], 3)
    assert nodes.limit == 3 and workers[0].node.room == 1
    nodes.close()
    assert nodes.limit == 0 and ray.requests == [4, 0]


def test_an_agent_that_waits_hears_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_pool, "_EXCHANGE_SECONDS", 60.0)
    nodes = ray_pool.Nodes(FakeRay(a=2), tiny.problems(), (fake_worker.FAKE,), None)
    workers = []
    while nodes.limit < 2:
        nodes.wait([])
    for _ in range(2):
        workers.append(nodes.spawn(fake_worker.FAKE))
        # The second is wanted when there is nothing that would end the agent's waiting.
        while not (spoken := nodes.wait(workers)):
            pass
        assert spoken == workers[-1:]
        assert isinstance(spoken[0].receive(), WorkerReady)
        nodes._look()
    nodes.close()


def test_what_killed_agents_left_is_removed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    corpus = np.zeros(1, np.uint8)
    living, killed = ray_node.Agent(corpus), ray_node.Agent(corpus)
    killed._lock.release()
    young = tmp_path / "lstm-odyssey-agent-young"
    young.mkdir()
    for agent in (living, killed):
        os.utime(agent._folder.name, (0, 0))
    last = ray_node.Agent(corpus)
    assert set(tmp_path.glob("lstm*")) == {
        young,
        *(pathlib.Path(agent._folder.name) for agent in (living, last)),
    }
    for agent in (living, last):
        assert agent.exchange([ray_node.Close()], 60.0) == []
    assert set(tmp_path.glob("lstm*")) == {young}


def test_a_node_that_leaves_takes_no_trial_with_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(a=1)
    whole: list[int] = []
    gone = threading.Event()
    # Otherwise the trial's end could come together with its second epoch.
    monkeypatch.setattr(fake_worker, "_behave", lambda _, epoch, path: epoch < 3 or gone.wait(300))

    def leave(event: Event) -> None:
        if isinstance(event, EpochEnd) and event.epoch == 2 and "a" in ray.alive:
            checkpoint = Checkpoint.load(tmp_path / "0.npz", event.trial, "fake")
            # It is here before the node is gone, or anybody asks for it.
            whole.append(checkpoint.state.epoch)
            ray.remove("a")
            ray.alive["b"] = 1
            gone.set()

    events = train(ray, tmp_path, trials=2, tell=leave)
    assert finished(events) == [0, 1]
    (death,) = [event for event in events if isinstance(event, WorkerDied)]
    assert death.reason == "node a has left the cluster"
    assert whole and whole[0] >= 2
    # The other node went on from there.
    assert epochs(events, 0) == [1, 2, 3]


@pytest.mark.parametrize("seed", range(2))
def test_nodes_come_and_go(tmp_path: pathlib.Path, seed: int) -> None:
    ray = FakeRay(node=2)
    generator = random.Random(seed)

    def disturb(event: Event) -> None:
        if ray.alive and generator.random() < 0.15:
            ray.remove(generator.choice(sorted(ray.alive)))
        if generator.random() < 0.15 or not ray.alive:
            ray.alive[f"node{len(ray.actors)}-{generator.random()}"] = generator.randint(1, 3)

    events = train(ray, tmp_path, trials=15, tell=disturb)
    assert finished(events) == list(range(15))
    assert any(isinstance(event, WorkerDied) for event in events)


def test_a_trial_that_takes_all_nodes_with_it_fails(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(node0=1)
    # No node is so quick that it ends an epoch before it leaves.
    monkeypatch.setattr(Trainer, "gate", threading.Event())

    def leave(event: Event) -> None:
        if isinstance(event, Started) and event.trial.index == 0:
            number = len(ray.actors)
            ray.remove(f"node{number - 1}")
            ray.alive[f"node{number}"] = 1

    events = train(ray, tmp_path, trials=2, tell=leave, engine=DYING)
    Trainer.gate.set()
    (failure,) = [event for event in events if isinstance(event, Failure)]
    assert failure.trial.index == 0 and "node9 has left the cluster" in failure.reason
    assert finished(events) == [1]


def test_a_worker_that_dies_is_replaced(tmp_path: pathlib.Path) -> None:
    events = train(FakeRay(a=2), tmp_path, trials=3, engine=DYING)
    assert finished(events) == [0, 1, 2]
    # Once in every epoch but the last, at whose end there is nothing left to do but the result.
    died = [event for event in events if isinstance(event, WorkerDied)]
    assert {event.trial.index for event in died} == {0} and len(died) == 3
    assert epochs(events, 0) == [1, 2, 3]
    assert all(event.reason == "it has ended" for event in died)


def test_a_node_with_other_versions_is_not_used(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = ray_node.facts
    here = engines.versions()

    def of(cpus: int, used: object) -> ray_node.Facts:
        # The node with two processors is the one.
        other = {"numpy": "1.0"} if cpus == 2 else {}
        return dataclasses.replace(facts(cpus, used), versions=here | other)

    monkeypatch.setattr(ray_node, "facts", of)
    plan = RayPool(FakeRay(a=2, b=1), (fake_worker.FAKE,)).plan()
    assert str(plan) == "cluster: 1 node with 1 CPUs and 0 GPUs; nodes that join are used"
    assert plan.workers == 1
    expected = f"--ray: node a is not used: it has numpy 1.0, not {here['numpy']}\n"
    assert capsys.readouterr().err == expected
    ray = FakeRay(a=2, b=1)
    assert finished(train(ray, tmp_path)) == list(range(6))
    assert capsys.readouterr().err == expected
    with pytest.raises(InputError, match=r"--ray: expected nodes .* it has numpy 1\.0"):
        RayPool(FakeRay(a=2), (fake_worker.FAKE,)).plan()


def test_a_node_where_no_agent_starts_is_not_used(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = ray_node.facts

    def of(cpus: int, used: object) -> ray_node.Facts:
        if cpus == 2:
            raise RayError("a trace\nModuleNotFoundError: No module named 'numba'")
        return facts(cpus, used)

    monkeypatch.setattr(ray_node, "facts", of)
    assert finished(train(FakeRay(a=2, b=1), tmp_path)) == list(range(6))
    assert "node a is not used: ModuleNotFoundError: No module" in capsys.readouterr().err


def install(monkeypatch: pytest.MonkeyPatch, ray: FakeRay | None) -> None:
    for name in fake_ray.MODULES:
        monkeypatch.setitem(sys.modules, name, ray)


@pytest.mark.parametrize(
    ("address", "installed", "said"),
    [
        ("auto", False, "--ray=auto: Ray is not installed"),
        ("head", True, "--ray: expected auto, HOST:PORT or ray://HOST:PORT. Received: 'head'"),
        ("ray://head:port", True, "Received: 'ray://head:port'"),
        ("head:66666", True, "Received: 'head:66666'"),
        ("127.0.0.1:1", True, "--ray=127.0.0.1:1: cannot reach the cluster: Connection refused"),
    ],
)
def test_a_wrong_address_is_one_line(
    address: str, installed: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeRay() if installed else None)
    with pytest.raises(InputError) as caught:
        ray_cluster.connect(address)
    assert said in str(caught.value)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n", b""])
def test_another_server_is_one_line(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeRay())
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(InputError, match=r"expected a Ray cluster\. Received: another server"):
            ray_cluster.connect(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()
