"""Strategies change no number; what cannot be placed is refused in one line."""

from __future__ import annotations

import functools
import json
import socket
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from tests.commands import Forked
from tests.tuner import placed
from tuner.parallel import distribute

pytestmark = pytest.mark.usefixtures("small_blocks")


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Float32 and the same operations: only their order may differ, in sums over replicas."""
    for name in ("curve", "test"):
        np.testing.assert_allclose(
            np.array(found[name], float), np.array(expected[name], float), rtol=1e-6, err_msg=name
        )
    for one, other in zip(found["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@functools.cache
def on_one_device(case: int) -> dict[str, Any]:
    task, trial = placed.CASES[case]
    return placed.numbers(placed.train(trial, task=task))


def run_mirrored(devices: int) -> list[dict[str, Any]]:
    # Logical devices must be made before TensorFlow starts, hence the process.
    done = Forked(placed.run_mirrored, devices).wait()
    assert done.returncode == 0, done.stderr[-5000:]
    printed = done.stdout.splitlines()
    assert f"MirroredStrategy, {devices} replicas" in printed[-2] and "--workers" in printed[-2]
    return json.loads(printed[-1])


def test_two_devices_equal_one_after_an_interruption() -> None:
    (interrupted,) = run_mirrored(2)
    assert_same(interrupted, on_one_device(0))


@pytest.mark.slow
def test_four_devices_equal_one_for_the_other_heads() -> None:
    for case, found in enumerate(run_mirrored(4), start=1):
        assert_same(found, on_one_device(case))


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_two_processes_equal_one(count: int) -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    hosts = ["{}:{}".format(*free.getsockname()) for free in sockets]
    for free in sockets:
        free.close()
    cluster = {"worker": hosts}
    places = [{"cluster": cluster, "task": {"type": "worker", "index": i}} for i in range(2)]
    processes = [
        Forked(placed.run_multiworker, count, environment={"TF_CONFIG": json.dumps(place)})
        for place in places
    ]
    outputs = [process.wait() for process in processes]
    for output in outputs:
        assert output.returncode == 0, output.stderr[-5000:]
    # The first trial went on from a checkpoint that only the chief had.
    first, *others = json.loads(outputs[0].stdout.splitlines()[-1])
    assert_same(first, on_one_device(0))
    assert len(others) == count - 1
    for other in others:
        task, trial = placed.SECOND
        assert_same(other, placed.numbers(placed.train(trial, task=task)))


class FakeResolver:
    def __init__(self, tpu: str) -> None:
        if tpu == "gone":
            raise ValueError("Could not lookup TPU metadata\nfrom name 'gone'")
        self.tpu = tpu


@pytest.fixture
def fake_tpu(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Stands in for the TPU; records what is asked of it, in order."""
    calls: list[tuple[str, str]] = []

    def record(name: str) -> Any:
        return lambda resolver: calls.append((name, resolver.tpu))

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", FakeResolver)
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", record("connect"))
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", record("initialize"))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", record("strategy"))
    return calls


@pytest.mark.parametrize(
    ("tpu", "environment", "expected"),
    [
        ("", {}, "local"),
        ("", {"TPU_NAME": "mine"}, "mine"),
        ("", {"COLAB_TPU_ADDR": "10.0.0.2:8470"}, "10.0.0.2:8470"),
        ("other", {"TPU_NAME": "mine"}, "other"),
    ],
)
def test_the_tpu_is_found_and_started(
    fake_tpu: list[tuple[str, str]], tpu: str, environment: dict[str, str], expected: str
) -> None:
    distribute.make_strategy("tpu", tpu, environment)
    assert fake_tpu == [(step, expected) for step in ("connect", "initialize", "strategy")]


def test_a_tpu_out_of_reach_is_one_line(fake_tpu: list[tuple[str, str]]) -> None:
    with pytest.raises(InputError) as caught:
        distribute.make_strategy("tpu", "gone", {})
    message = str(caught.value)
    assert message.startswith("--strategy=tpu: cannot reach the TPU 'gone'; name it by --tpu")
    assert "Could not lookup TPU metadata from name" in message and "\n" not in message
    assert fake_tpu == []
