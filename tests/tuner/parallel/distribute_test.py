"""Strategies change no number; what cannot be placed is refused in one line."""

from __future__ import annotations

import json
import pathlib
import socket
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from tests.commands import Forked
from tests.tuner import placed, tiny
from tests.zoo import harness
from tuner.parallel import distribute
from tuner.tasks.task import Task
from tuner.training.protocol import Trial

pytestmark = pytest.mark.usefixtures("small_blocks")


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Float32 and the same operations: only their order may differ, in sums over replicas."""
    for name in ("curve", "test"):
        np.testing.assert_allclose(
            np.array(found[name], float), np.array(expected[name], float), rtol=1e-6, err_msg=name
        )
    for one, other in zip(found["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def on_one_device(case: tuple[Task, Trial], **options: Any) -> dict[str, Any]:
    task, trial = case
    return placed.numbers(placed.train(trial, task=task, **options))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], bytes]:
    """The first case on one device, and its checkpoint in the middle of an epoch."""
    folder = tmp_path_factory.mktemp("first")
    with harness.small_blocks(), tiny.copied(folder, [placed.AFTER]):
        path = folder / "last.npz"
        numbers = on_one_device(
            placed.CASES[0], checkpoint_path=lambda trial: path, checkpoint_seconds=0.0
        )
    return numbers, (folder / f"{placed.AFTER}.npz").read_bytes()


def run_mirrored(devices: int, checkpoint: pathlib.Path) -> list[dict[str, Any]]:
    # Logical devices must be made before TensorFlow starts, hence the process.
    done = Forked(placed.run_mirrored, devices, checkpoint).wait()
    assert done.returncode == 0, done.stderr[-5000:]
    printed = done.stdout.splitlines()
    assert f"MirroredStrategy, {devices} replicas" in printed[-2] and "--workers" in printed[-2]
    return json.loads(printed[-1])


def test_two_devices_go_on_from_a_checkpoint_of_one(
    first: tuple[dict[str, Any], bytes], tmp_path: pathlib.Path
) -> None:
    expected, content = first
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(content)
    (found,) = run_mirrored(2, path)
    assert_same(found, expected)
    # They have written some themselves.
    assert path.read_bytes() != content


@pytest.mark.slow
def test_four_devices_equal_one_for_all_heads_and_after_an_interruption(
    tmp_path: pathlib.Path,
) -> None:
    found = run_mirrored(4, tmp_path / "checkpoint.npz")
    for one, case in zip(found, placed.CASES, strict=True):
        assert_same(one, on_one_device(case))


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_two_processes_equal_one(
    count: int, first: tuple[dict[str, Any], bytes], tmp_path: pathlib.Path
) -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    hosts = ["{}:{}".format(*free.getsockname()) for free in sockets]
    for free in sockets:
        free.close()
    cluster = {"worker": hosts}
    places = [{"cluster": cluster, "task": {"type": "worker", "index": i}} for i in range(2)]
    expected, content = first
    # Only the chief's has a checkpoint.
    (tmp_path / "0.npz").write_bytes(content)
    processes = [
        Forked(
            placed.run_multiworker,
            count,
            tmp_path / f"{index}.npz",
            environment={"TF_CONFIG": json.dumps(place)},
        )
        for index, place in enumerate(places)
    ]
    outputs = [process.wait() for process in processes]
    for output in outputs:
        assert output.returncode == 0, output.stderr[-5000:]
    one, *others = json.loads(outputs[0].stdout.splitlines()[-1])
    assert_same(one, expected)
    assert len(others) == count - 1
    for other in others:
        assert_same(other, on_one_device(placed.SECOND))


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
