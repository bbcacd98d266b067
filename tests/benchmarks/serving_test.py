"""The benchmark of serving: what it asks, what it compares, and what it makes of the times."""

from __future__ import annotations

import os
import pathlib
import sys
import time
from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import report
from benchmarks.serving_peers import cases, processes, results
from benchmarks.serving_peers.cases import Case
from benchmarks.serving_peers.in_process import TensorFlow
from benchmarks.serving_peers.latencies import Latencies, Window
from benchmarks.serving_peers.load import Load
from benchmarks.targets import TARGETS
from tests.benchmarks.twice_server import TWICE, Twice, serving


def test_cases_survive_a_file(tmp_path: pathlib.Path) -> None:
    cases.save(tmp_path / "cases.npz", TWICE)
    read = cases.load(tmp_path / "cases.npz")
    assert set(read) == set(TWICE)
    for signature, several in TWICE.items():
        assert len(read[signature]) == len(several)
        for found, wanted in zip(read[signature], several, strict=True):
            assert found.inputs["x"].dtype == wanted.inputs["x"].dtype
            np.testing.assert_array_equal(found.inputs["x"], wanted.inputs["x"])
            np.testing.assert_array_equal(found.outputs["y"], wanted.outputs["y"])


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"y": np.array([[1.0, 2.0]])}, 0.0),
        ({"y": np.array([[1.0, 2.25]]), "z": np.zeros(1)}, 0.25),
        ({"y": np.array([[0.5, 2.25]])}, 0.5),
        ({"y": np.array([[1.0, np.nan]])}, np.inf),
        ({"y": np.array([[1.0]])}, np.inf),
        ({"z": np.array([[1.0, 2.0]])}, np.inf),
    ],
)
def test_every_wrong_answer_has_an_error(answer: dict[str, np.ndarray], error: float) -> None:
    assert Case({}, {"y": np.array([[1.0, 2.0]])}).error(answer) == error


def test_only_what_is_answered_in_the_window_counts() -> None:
    window = Window(2.0, 5.0)
    assert [window.counts(when) for when in (1.9, 2.0, 5.0, 5.1)] == [False, True, True, False]


def test_median_of_repeats() -> None:
    several = [Latencies(rate, rate + 1, rate + 2, rate + 3) for rate in (5.0, 1.0, 3.0)]
    assert Latencies.median(several) == Latencies(3.0, 4.0, 5.0, 6.0)
    with pytest.raises(ValueError, match="no request"):
        Latencies.of([], 1.0)


def latencies(*rates: float) -> list[Latencies]:
    return [Latencies(rate, 1.5, 2.5, 3.5) for rate in rates]


FOUND = {
    ("step", "stand-in", 1): latencies(500, 400, 900),
    ("serving_default", "Ray Serve", 16): latencies(150, 100),
    ("serving_default", "Ray Serve, batches", 16): latencies(200),
    ("serving_default", "stand-in", 16): latencies(250),
    ("serving_default", "stand-in, batches", 16): latencies(450, 550),
}


def test_lines_compare_with_the_stand_in_at_the_same_work() -> None:
    rows = results.rows(FOUND)
    assert [row["server"] for row in rows] == [
        *("stand-in", "stand-in, batches", "Ray Serve", "Ray Serve, batches", "stand-in"),
    ]
    assert [row["times_stand_in"] for row in rows] == [1.0, 2.0, 0.5, 0.8, 1.0]
    assert (rows[1]["fewest"], rows[1]["requests_per_second"], rows[1]["most"]) == (450, 500, 550)
    assert rows[4]["requests_per_second"] == 500


def test_targets_and_tables_read_the_lines() -> None:
    rows = [{key: str(value) for key, value in row.items()} for row in results.rows(FOUND)]
    starts = [
        {"what": "first answer", "of": "stand-in", "runs": "3", "seconds": "3.5"},
        {"what": "first answer", "of": "stand-in, batches", "runs": "3", "seconds": "4.5"},
        {"what": "first answer", "of": "Ray Serve", "runs": "3", "seconds": "18"},
        {"what": "serving.export", "of": "V", "runs": "1", "seconds": "7"},
        {"what": "serving.export", "of": "FGR", "runs": "1", "seconds": "9"},
    ]
    found = {"serving": rows, "serving_start": starts, "soak": [{"requests_lost": "0"}]}
    measured = []
    for target in TARGETS:
        try:
            measured.append(target.measure(found))
        except KeyError:
            continue
    # Against none, against the better of Ray's two, step, start, export, lost requests.
    assert measured == [2.0, 2.5, 1.5, 4.5, 9.0, 0.0]
    text = report.TABLES["serving_sequence"](found)
    assert "| stand-in, batches | 500 (2.00×) |" in text
    assert "| stand-in | 1.5 / 2.5 / 3.5 |" in report.TABLES["serving_step_latency"](found)


# --- The client ---


@pytest.fixture
def load(tmp_path: pathlib.Path) -> Load:
    cases.save(tmp_path / "cases.npz", TWICE)
    return Load(str(tmp_path / "cases.npz"), "twice", sorted(os.sched_getaffinity(0)))


def test_client_waits_for_the_server_checks_it_and_measures(load: Load) -> None:
    (port,) = processes.free_ports(1)
    address = f"127.0.0.1:{port}"
    with futures.ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(load.first_answer, address, 20.0)
        with serving(Twice(), port):
            waiting.result(20)
            load.check(address)
            found = Latencies(**load.measure(address, "serving_default", 4, 0.1, 0.4))
    assert 0 < found.p50 <= found.p95 <= found.p99 < 400
    # Little's law, of four requests that are always under way; the mean may be above the median.
    assert 0.5 < found.rate * found.p50 / 1e3 < 6


def test_client_does_not_time_wrong_answers(load: Load) -> None:
    with serving(Twice(factor=2.001)) as address:
        with pytest.raises(ValueError, match="serving_default: an answer is wrong by 0.00"):
            load.first_answer(address, 20.0)
        with pytest.raises(ValueError, match="wrong"):
            load.check(address)


def test_client_gives_up(load: Load) -> None:
    (port,) = processes.free_ports(1)
    with pytest.raises(TimeoutError, match="no answer"):
        load.first_answer(f"127.0.0.1:{port}", 0.1)


def test_an_error_ends_the_measurement(load: Load) -> None:
    with serving(Twice(refuse=grpc.StatusCode.RESOURCE_EXHAUSTED, every=3)) as address:
        with pytest.raises(grpc.aio.AioRpcError):
            load.measure(address, "serving_default", 2, 0.0, 5.0)


def test_model_without_a_server(tmp_path: pathlib.Path) -> None:
    cases.save(tmp_path / "cases.npz", TWICE)
    spec = [tf.TensorSpec([None, 3], name="x")]
    for factor, right in ((2.0, True), (3.0, False)):
        times = tf.function(lambda x, factor=factor: {"y": factor * x}, spec)
        folder = str(tmp_path / str(factor))
        tf.saved_model.save(
            tf.Module(), folder, {name: times.get_concrete_function() for name in TWICE}
        )
        peer = TensorFlow(str(tmp_path / "cases.npz"), sorted(os.sched_getaffinity(0)), folder)
        if right:
            peer.check()
            assert peer.measure("step", 2, 0.0, 0.2)["rate"] > 10
        else:
            with pytest.raises(ValueError, match="wrong"):
                peer.check()


# --- Servers as processes ---


def test_a_server_ends_with_its_children(tmp_path: pathlib.Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(300)\n"
    )
    with processes.Server([sys.executable, "-c", code]) as server:
        end = time.monotonic() + 300
        while not server.messages().strip() and time.monotonic() < end:
            time.sleep(0.01)
        child = int(server.messages())
        assert server.status() is None
    end = time.monotonic() + 300
    while time.monotonic() < end:
        try:
            # A child whose parent is gone may stay as a zombie where nobody collects it.
            state = pathlib.Path(f"/proc/{child}/stat").read_text().rsplit(") ", 1)[1][0]
        except OSError:
            break
        if state == "Z":
            break
        time.sleep(0.01)
    else:
        pytest.fail("the child lives")


def test_what_a_server_said_is_told_with_the_error() -> None:
    with pytest.raises(ValueError) as caught:
        with processes.Server([sys.executable, "-c", "print('no such model')"]) as server:
            end = time.monotonic() + 300
            while server.status() is None and time.monotonic() < end:
                time.sleep(0.01)
            raise ValueError("no answer")
    assert "no such model" in "".join(caught.value.__notes__)


def test_tensorflow_serving_is_its_program_or_its_image(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("TF_SERVING_IMAGE", raising=False)
    assert not processes.has_tensorflow_serving()
    program = tmp_path / "tensorflow_model_server"
    program.write_text("#!/bin/sh")
    program.chmod(0o755)
    assert processes.has_tensorflow_serving()
    command = processes.tensorflow_serving("music", tmp_path / "m", 8500)
    assert command[:3] == [program.name, "--model_name=music", f"--model_base_path={tmp_path}/m"]
    monkeypatch.setenv("TF_SERVING_IMAGE", "tensorflow/serving:0")
    command = processes.tensorflow_serving("music", tmp_path / "m", 8500)
    assert command[:2] == ["docker", "run"] and f"--volume={tmp_path}/m:/models/music:ro" in command
    after = command[command.index("tensorflow/serving:0") + 1 :]
    assert after[:3] == ["--model_name=music", "--model_base_path=/models/music", "--port=8500"]
