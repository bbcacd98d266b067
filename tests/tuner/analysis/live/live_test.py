"""The page of a running study: what it is told, whom it answers, and the report behind it."""

from __future__ import annotations

import http.client
import json
import pathlib
import re
import shutil
from collections.abc import Iterator

import pytest

from common.errors import InputError
from tests.tuner.analysis.live.studies_underway import go_on, interrupt, make
from tuner.analysis.live import standing
from tuner.analysis.live.server import LiveServer


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return make(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def half(whole: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return interrupt(whole, tmp_path)


def test_how_a_study_stands(
    whole: pathlib.Path, half: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 104.0, 110.0])
    monkeypatch.setattr(standing.time, "monotonic", lambda: next(clock))
    follower = standing.Follower([half, half.parent / "not_begun"])
    before = standing.stamp([half])
    first = follower.read()
    (study,) = first["studies"]
    assert (study["ended"], study["planned"], study["failed"]) == (4, 6, 0)
    assert first["recent"] == [] and first["left"] is None
    ledger = go_on(whole, half, 2)
    assert standing.stamp([half]) != before
    second = follower.read()
    np_row = second["studies"][0]["variants"][1]
    best = min(ledger[:2], key=lambda one: one["validation"])
    assert (np_row["code"], np_row["ended"], np_row["planned"]) == ("NP", 2, 3)
    assert np_row["best"]["validation"] == best["validation"]
    assert [one["trial"] for one in second["recent"]] == [ledger[1]["trial"]]
    # One trial is left, as long as the nearest of NP; of training so much ended in the seconds
    # since the first reading.
    left = {one["trial"]: one for one in ledger}
    (waiting,) = set(range(3)) - {one["trial"] for one in ledger[:2]}
    units = left[waiting]["hyperparameters"]["units"]
    nearest = min(ledger[:2], key=lambda one: abs(one["hyperparameters"]["units"] - units))
    speed = ledger[1]["seconds"] / 4.0
    assert second["left"] == pytest.approx(nearest["seconds"] / speed)
    go_on(whole, half, 3)
    third = follower.read()
    assert third["left"] == 0 and [one["trial"] for one in third["recent"]] == [
        ledger[2]["trial"], ledger[1]["trial"]
    ]  # fmt: skip


@pytest.fixture
def server(half: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    monkeypatch.setattr("tuner.analysis.live.server._POLL_SECONDS", 0.05)
    written = []

    def write() -> pathlib.Path:
        written.append(1)
        page = half / "report" / "index.html"
        page.parent.mkdir(exist_ok=True)
        page.write_text(f"<p>report {len(written)}</p>")
        return page

    with LiveServer([half], write, half / "report") as server:
        server.start()
        yield server
        server.shutdown()


def get(server: LiveServer, path: str, host: str = "") -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), dict(answer.headers)


def test_studies_of_one_name_and_trials_that_began_before_the_page(
    whole: pathlib.Path, half: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = tmp_path / "twin" / half.name
    shutil.copytree(half, twin)
    clock = iter([100.0, 100.001])
    monkeypatch.setattr(standing.time, "monotonic", lambda: next(clock))
    follower = standing.Follower([half, twin])
    names = [one["name"] for one in follower.read()["studies"]]
    assert names == [half.name, f"{half.name} (2)"]
    go_on(whole, twin, 3)
    found = follower.read()
    assert {one["study"] for one in found["recent"]} == {names[1]}
    # Two ended within a millisecond: no more than two were trained at a time. Two are left.
    first = json.loads((whole / "trials" / "NP.jsonl").read_text().splitlines()[0])
    assert found["left"] == pytest.approx(2 * first["seconds"] / 2)


def test_pages_and_whom_they_are_for(server: LiveServer, half: pathlib.Path) -> None:
    status, page, headers = get(server, "/")
    assert status == 200 and "/live.js" in page and "default-src 'none'" in headers[
        "Content-Security-Policy"
    ]  # fmt: skip
    asked = re.findall(r'(?:href|src)="(/[a-z]+\.(?:css|js))"', page)
    assert set(asked) == {"/theme.css", "/style.css", "/live.css", "/live.js"}
    for path in asked:
        status, _, headers = get(server, path)
        kind = "javascript" if path.endswith(".js") else "text/css"
        assert status == 200 and kind in headers["Content-Type"]
    assert get(server, "/live.html")[0] == 404
    port = server.server_address[1]
    assert get(server, "/", f"localhost:{port}")[0] == 200
    for host in (f"evil.example:{port}", "evil.example", f"127.0.0.1.evil.example:{port}"):
        assert get(server, "/", host)[0] == get(server, "/report/", host)[0] == 403
    (half / "secret").write_text("of the study")
    for path in ("/report/../secret", "/report/%2e%2e/secret", f"/report/{half / 'secret'}"):
        assert get(server, path)[0] == 404


def test_the_report_is_written_when_trials_have_ended(
    server: LiveServer, whole: pathlib.Path, half: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get(server, "/report/")[1] == "<p>report 1</p>"
    assert get(server, "/report/")[1] == "<p>report 1</p>"
    (half / "report" / "tables").mkdir()
    (half / "report" / "tables" / "a.csv").write_text("a\n")
    assert get(server, "/report/tables/a.csv")[1] == "a\n"
    monkeypatch.setattr("tuner.analysis.live.server._FRESH_SECONDS", 0.0)
    version = server.state.version
    go_on(whole, half, 2)
    with server.state.changed:
        assert server.state.changed.wait_for(lambda: server.state.version > version, 60)
    assert get(server, "/report/")[1] == "<p>report 2</p>"


def test_browsers_are_told(server: LiveServer, whole: pathlib.Path, half: pathlib.Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    connection.request("GET", "/events")
    stream = connection.getresponse()
    assert stream.headers["Content-Type"] == "text/event-stream"

    def event() -> dict:
        while not (line := stream.readline()).startswith(b"data: "):
            assert line
        return json.loads(line[6:])

    assert event()["studies"][0]["ended"] == 4
    go_on(whole, half, 2)
    assert event()["studies"][0]["ended"] == 5
    (half / "trials" / "NP.jsonl").write_text("{}\n")
    assert "NP.jsonl" in event()["error"]
    go_on(whole, half, 3)
    assert event()["studies"][0]["ended"] == 6


def test_trials_underway_of_the_same_process(half: pathlib.Path) -> None:
    lines = ["V 1: epoch 2"]
    with LiveServer([half], lambda: half, half, running=lambda: lines) as server:
        server.start()
        with server.state.changed:
            assert server.state.changed.wait_for(lambda: "epoch 2" in server.state.text, 60)
        lines[0] = "V 1: epoch 3"
        with server.state.changed:
            assert server.state.changed.wait_for(lambda: "epoch 3" in server.state.text, 60)
        found = json.loads(server.state.text)
        assert found["running"] == lines and found["studies"][0]["ended"] == 4
        server.shutdown()


def test_a_port_that_is_taken(server: LiveServer, half: pathlib.Path) -> None:
    port = server.server_address[1]
    with pytest.raises(InputError, match=f"--port: cannot listen on 127.0.0.1:{port}"):
        LiveServer([half], lambda: half, half, port)
