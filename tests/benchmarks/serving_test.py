"""The benchmark of serving: what it asks, what it compares, and what it makes of the times."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from benchmarks import serving
from benchmarks.peers import cases, served
from benchmarks.peers.cases import Case
from benchmarks.peers.in_process import InProcess
from benchmarks.peers.served import Served, Server
from benchmarks.runner import Case as Line
from benchmarks.runner import Measured, Peer


def _doubled(seed: int) -> list[Case]:
    rows = np.random.default_rng(seed).normal(size=(3, 1, 3)).astype(np.float32)
    return [Case({"x": row}, {"y": 2 * row}) for row in rows]


TWICE = {"serving_default": _doubled(1), "step": _doubled(2)}


@dataclasses.dataclass
class Twice(prediction_service_pb2_grpc.PredictionServiceServicer):
    """A server that doubles, in the place of `served.Server`; every few requests it refuses one."""

    factor: float = 2.0
    every: int = 10**9
    asked: int = 0
    closed: bool = False
    # Of the first four requests after those that are compared, each waits for the others.
    barrier: threading.Barrier = dataclasses.field(default_factory=lambda: threading.Barrier(4))

    def __call__(self, command: list[str]) -> Twice:
        self.started = time.perf_counter()
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"127.0.0.1:{command[1]}")
        # The client is there first.
        threading.Timer(0.05, self._server.start).start()
        return self

    def check(self) -> None:
        pass

    def close(self) -> None:
        self._server.stop(None).wait()
        self.closed = True

    def Predict(self, request, context):
        self.asked += 1
        if 1 + 2 * 3 < self.asked <= 1 + 2 * 3 + 4:
            self.barrier.wait(25)
        if self.asked % self.every == 0:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "as the test wants")
        response = predict_pb2.PredictResponse()
        rows = self.factor * tf.make_ndarray(request.inputs["x"])
        response.outputs["y"].CopyFrom(tf.make_tensor_proto(rows.astype(np.float32)))
        return response


@pytest.fixture
def file(tmp_path: pathlib.Path) -> str:
    (tmp_path / "cases").write_bytes(pickle.dumps(TWICE))
    return str(tmp_path / "cases")


@contextlib.contextmanager
def client(file: str, server: Twice, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(served, "Server", server)
    load = Served(file, "twice", ["serve", served.PORT], warm_up=0.1, seconds=0.4, patience=300)
    try:
        yield load
    finally:
        load.close()


def patiently(peer: Served | InProcess) -> dict[str, float]:
    """Asks longer and longer: what a busy machine answers in a time is not known."""
    while True:
        try:
            return peer.run()
        except ValueError as error:
            assert "no request was answered" in str(error) and peer._seconds < 60
            peer._seconds *= 3


def test_client_waits_for_the_server_checks_it_and_measures(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Twice()
    with client(file, server, monkeypatch) as load:
        assert server.asked == 1 + 2 * 3
        load.prepare("step", 4)
        found = patiently(load)
    assert server.closed and not server.barrier.broken
    assert 0.05 < found["start"] < 300
    assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"]
    assert found["requests_per_second"] > 0


def test_client_does_not_time_wrong_answers(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Twice(factor=2.001)
    with pytest.raises(ValueError, match=r"y: an answer is wrong by 0\.00"):
        with client(file, server, monkeypatch):
            pass
    assert server.closed


def test_an_error_ends_the_measurement(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with client(file, Twice(every=9), monkeypatch) as load:
        load.prepare("serving_default", 4)
        with pytest.raises(grpc.aio.AioRpcError):
            load.run()


def test_a_server_that_ends_is_told_of(file: str) -> None:
    command = [sys.executable, "-c", "print('no such model')"]
    with pytest.raises(RuntimeError, match="(?s)ended with 0.*no such model"):
        Served(file, "twice", command, warm_up=0, seconds=1, patience=300)


def test_a_server_ends_with_its_children() -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(300)\n"
    )
    server = Server([sys.executable, "-c", code])
    while not server.messages().strip():
        server.check()
        time.sleep(0.01)
    child = int(server.messages())
    server.close()
    end = time.monotonic() + 300
    with contextlib.suppress(OSError):
        # A child whose parent is gone may stay as a zombie where nobody collects it.
        stat = pathlib.Path(f"/proc/{child}/stat")
        while stat.read_text().rsplit(") ", 1)[1][0] != "Z":
            assert time.monotonic() < end, "the child lives"
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ({"y": np.array([[1.0, 2.25]]), "z": np.zeros(1)}, "wrong by 0.25"),
        ({"y": np.array([[1.0, np.nan]])}, "wrong by nan"),
        ({"y": np.array([[1.0]])}, "another shape"),
        ({"z": np.array([[1.0, 2.0]])}, "missing"),
    ],
)
def test_every_wrong_answer_is_found(answer: dict[str, np.ndarray], fault: str) -> None:
    right = Case({}, {"y": np.array([[1.0, 2.0]])})
    right.check({"y": np.array([[1.0, 2.0]]), "z": np.zeros(1)})
    with pytest.raises(ValueError, match=fault):
        right.check(answer)
    # Frames that were not asked for do not count.
    Case({}, {"y": np.zeros((1, 2, 3))}).check({"y": np.zeros((1, 9, 3))})
    with pytest.raises(ValueError, match="no request"):
        cases.summary([], 1.0)


def test_model_without_a_server(tmp_path: pathlib.Path, file: str) -> None:
    spec = [tf.TensorSpec([None, 3], name="x")]
    for factor in (2.0, 3.0):
        times = tf.function(lambda x, factor=factor: {"y": factor * x}, spec)
        folder = str(tmp_path / str(factor) / "1")
        signatures = {name: times.get_concrete_function() for name in TWICE}
        tf.saved_model.save(tf.Module(), folder, signatures)
    peer = InProcess(file, str(tmp_path / "2.0"), warm_up=0.0, seconds=0.2)
    peer.prepare("step", 2)
    assert patiently(peer)["requests_per_second"] > 0
    peer.close()
    with pytest.raises(ValueError, match="wrong"):
        InProcess(file, str(tmp_path / "3.0"), warm_up=0.0, seconds=0.2)


def test_lines_compare_with_the_first_at_the_same_work() -> None:
    def measured(signature: str, server: str, concurrency: int, *rates: float) -> Measured:
        labels = {"signature": signature, "server": server, "concurrency": concurrency}
        names = ("p50_ms", "p95_ms", "p99_ms")
        runs = [{"requests_per_second": rate, **dict.fromkeys(names, rate + 1)} for rate in rates]
        return Measured(Line(labels, Peer(""), {}), runs)

    rows = list(
        serving.rows(
            [
                measured("step", "ours", 1, 500, 400, 900),
                measured("serving_default", "ours", 16, 250),
                measured("serving_default", "batches", 16, 450, 550),
                measured("step", "Ray Serve", 1, 150, 100),
            ]
        )
    )
    assert [(row["signature"], row["server"], row["times_first"]) for row in rows] == [
        *(("serving_default", "ours", 1.0), ("serving_default", "batches", 2.0)),
        *(("step", "ours", 1.0), ("step", "Ray Serve", 0.25)),
    ]
    line = rows[2]
    rate = "requests_per_second"
    assert (line[rate], line[f"{rate}_min"], line[f"{rate}_max"]) == (500, 400, 900)
    assert (line["p50_ms"], line["repeats"]) == (501, 3)


def test_tensorflow_serving_is_its_program_or_its_image(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("TF_SERVING_IMAGE", raising=False)
    assert serving.tensorflow_serving(tmp_path / "m") == []
    program = tmp_path / "tensorflow_model_server"
    program.write_text("#!/bin/sh")
    program.chmod(0o755)
    command = serving.tensorflow_serving(tmp_path / "m")
    assert command[:3] == [program.name, "--model_name=music", f"--model_base_path={tmp_path}/m"]
    monkeypatch.setenv("TF_SERVING_IMAGE", "tensorflow/serving:0")
    command = serving.tensorflow_serving(tmp_path / "m")
    assert command[:2] == ["docker", "run"] and f"--volume={tmp_path}/m:/models/music:ro" in command
    after = command[command.index("tensorflow/serving:0") + 1 :]
    wanted = ["--model_name=music", "--model_base_path=/models/music", f"--port={served.PORT}"]
    assert after[:3] == wanted
