"""The soak: nothing that goes wrong stays uncounted."""

from __future__ import annotations

import http.server
import json
import os
import pathlib
import threading
import time
import types
from collections.abc import Callable

import grpc
import pytest

from benchmarks import plots
from benchmarks.serving_peers import cases, soak_results, soaking
from benchmarks.serving_peers.latencies import Latencies
from benchmarks.serving_peers.soak_load import SoakLoad
from benchmarks.serving_peers.soak_results import Summary
from benchmarks.serving_peers.soaking import Growth, Sample
from tests.benchmarks.twice_server import THRICE, TWICE, Twice, serving


@pytest.fixture
def load(tmp_path: pathlib.Path) -> SoakLoad:
    """Even versions double, odd ones triple."""
    paths = [tmp_path / "even.npz", tmp_path / "odd.npz"]
    for path, several in zip(paths, (TWICE, THRICE), strict=True):
        cases.save(path, several)
    return SoakLoad([str(path) for path in paths], "twice", sorted(os.sched_getaffinity(0)))


def run_until(enough: Callable[[dict], bool], load: SoakLoad, *where: object) -> dict:
    """Asks longer and longer: what a busy machine answers in a time is not known."""
    seconds = 0.2
    while True:
        counted = load.run(*where, time.time() + seconds)
        if enough(counted) or seconds > 100:
            return counted
        seconds *= 3


def run(load: SoakLoad, servicer: Twice) -> dict:
    with serving(servicer) as address:
        return run_until(
            lambda counted: sum(counted["statuses"].values()) > 30,
            *(load, address, "127.0.0.1:1", 3, 0),
        )


def test_right_answers_are_counted_by_version(load: SoakLoad) -> None:
    counted = run(load, Twice(version=2))
    answered = counted["statuses"].pop("OK")
    assert not counted["statuses"]
    assert counted["versions"] == {"2": answered}
    assert len(counted["times"]) == answered > 10
    assert counted["worst"] < 1e-6


def test_an_answer_of_another_version_is_wrong(load: SoakLoad) -> None:
    assert set(run(load, Twice(factor=3.0, version=3))["statuses"]) == {"OK"}
    counted = run(load, Twice(factor=2.0, version=3))
    assert counted["statuses"]["WRONG"] > 10
    assert "of version 3" in counted["messages"][0]


@pytest.mark.parametrize("code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL])
def test_errors_are_counted_and_the_client_goes_on(load: SoakLoad, code: grpc.StatusCode) -> None:
    counted = run(load, Twice(refuse=code, every=3))
    assert counted["statuses"][code.name] > 3
    assert counted["statuses"]["OK"] > counted["statuses"][code.name]
    assert "as the test wants" in counted["messages"][0]


def test_a_server_that_is_gone_loses_requests(load: SoakLoad) -> None:
    counted = run_until(
        lambda counted: len(counted["statuses"]) > 1, load, "127.0.0.1:1", "127.0.0.1:1", 1, 1
    )
    assert set(counted["statuses"]) == {"UNAVAILABLE", "ConnectionRefusedError"}


class Rest(http.server.BaseHTTPRequestHandler):
    """Doubles, but refuses, fails and errs now and then."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert (self.path, asked["signature_name"]) == ("/v1/models/twice:predict", "step")
        Rest.asked += 1
        factor = 2.5 if Rest.asked % 7 == 0 else 2.0
        rows = [[factor * number for number in row] for row in asked["inputs"]["x"]]
        text = json.dumps({"outputs": {"y": rows}}).encode()
        self.send_response({3: 429, 5: 500}.get(Rest.asked % 6, 200))
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


def test_requests_over_rest_are_counted_too(load: SoakLoad) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rest) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        place = f"127.0.0.1:{server.server_port}"
        counted = run_until(lambda _: Rest.asked > 20, load, "127.0.0.1:1", place, 0, 2)
        server.shutdown()
        thread.join()
    assert set(counted["statuses"]) == {"OK", "429", "500", "WRONG"}
    assert sum(counted["statuses"].values()) == Rest.asked
    # REST does not say which version has answered.
    assert counted["versions"] == {}


# --- Versions ---


@pytest.fixture
def publisher(tmp_path: pathlib.Path) -> soaking.Publisher:
    exports = []
    for name in ("even", "odd"):
        folder = tmp_path / name
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").write_text(name)
        exports.append(folder)
    base_path = tmp_path / "model"
    base_path.mkdir()
    return soaking.Publisher(exports, base_path)


def test_versions_come_and_go(publisher: soaking.Publisher, tmp_path: pathlib.Path) -> None:
    base_path = tmp_path / "model"
    for version in (2, 3, 4, 5):
        assert publisher.publish() == version
    publisher.prune()
    assert sorted(entry.name for entry in base_path.iterdir()) == ["4", "5"]
    assert (base_path / "4" / "saved_model.pb").read_text() == "even"
    assert (base_path / "5" / "saved_model.pb").read_text() == "odd"
    assert (base_path / "5" / "variables").is_dir()


def test_a_version_waits_for_the_one_before(
    publisher: soaking.Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(soaking, "time", types.SimpleNamespace(time=lambda: now, sleep=sleep))
    asked = []

    def loaded(version: int) -> bool:
        asked.append(version)
        return asked.count(version) == 2

    seconds = soaking.keep_publishing(publisher, loaded, 0.15, now + 0.7)
    assert asked == sorted(asked)
    assert asked[:4] == [2, 2, 3, 3]
    assert len(seconds) == publisher.version - 1 >= 2
    assert all(took >= 0.1 for took in seconds)


def test_the_watcher_sees_a_process() -> None:
    watcher = soaking.Watcher(os.getpid(), 0.01)
    watcher.start()
    while len(watcher.samples) < 3:
        time.sleep(0.01)
    samples = watcher.stop()
    assert len(samples) >= 3
    assert all(sample.resident_mib > 10 and sample.threads >= 2 for sample in samples)


# --- Results ---


def samples(slope: float) -> list[Sample]:
    """Eleven minutes; the first one, in which the server warms up, does not count."""
    return [
        Sample(60.0 * minute, 100.0 if minute == 0 else 500 + slope * minute, 30 + minute, 12)
        for minute in range(11)
    ]


def counted(**statuses: int) -> dict:
    return {
        "statuses": {"OK": 600, **statuses},
        "versions": {"2": 300, "3": 300},
        "times": [(float(second), 0.25) for second in range(1, 601)],
        "worst": 1e-7,
        "messages": [],
    }


def summary(slope: float = 1.0, status: int = 0, **statuses: int) -> Summary:
    return Summary.of(counted(**statuses), samples(slope), [1.5, 2.5, 8.0], status)


def test_a_good_soak_has_no_faults() -> None:
    found = summary(RESOURCE_EXHAUSTED=7)
    assert found.faults(growth=2.0) == []
    assert (found.answered, found.refused, found.lost) == (600, 7, {})
    assert found.latencies == Latencies(1.0, 250.0, 250.0, 250.0)
    assert found.growth == Growth(501.0, 505.0, 510.0, 1.0)
    row = found.row()
    assert (row["reloads"], row["slowest_reload_seconds"], row["most_threads"]) == (3, 8.0, 40)
    assert row["requests_lost"] == 0
    assert "requests answered" in found.text()


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (summary(DEADLINE_EXCEEDED=1), "1 requests lost: DEADLINE_EXCEEDED"),
        (summary(WRONG=2), "2 requests lost: WRONG"),
        (summary(slope=2.5), "memory grew by 2.5 MiB a minute"),
        (summary(status=-9), "ended with status -9"),
        (Summary.of(counted(), samples(0), [], 0), "no other version"),
        (
            Summary.of({**counted(), "versions": {"1": 600}}, samples(0), [1.5, 2.5], 0),
            "no other version",
        ),
    ],
)
def test_every_fault_is_named(found: Summary, fault: str) -> None:
    (named,) = found.faults(growth=2.0)
    assert fault in named


def test_lines_and_plot() -> None:
    lines = soak_results.lines(counted()["times"], samples(1.0))
    assert [line["minutes"] for line in lines] == [float(minute) for minute in range(1, 11)]
    assert all(line["requests_per_second"] == 1.0 for line in lines)
    rows = [{key: str(value) for key, value in line.items()} for line in lines]
    assert plots.soak(rows) == plots.soak(rows)
    assert plots.soak(rows) != plots.soak(rows[:5])
