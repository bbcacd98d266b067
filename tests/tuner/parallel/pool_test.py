"""Worker processes: what they tell, what happens when they die, that none is left behind."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from common.errors import InputError
from tests.commands import Forked
from tests.tuner import fake_worker
from tuner.parallel import pool
from tuner.parallel.messages import EpochEnd, Event, Started, WorkerDied
from tuner.training.engines import Engine
from tuner.training.protocol import Failure, TrialResult


def study(folder: pathlib.Path) -> None:
    """The study of a person, who may kill it: three trials that never end, on two workers."""
    os.setsid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    fake_worker.study(folder, 3, lambda event: None)


def train(
    folder: pathlib.Path,
    trials: int = 3,
    command: tuple[str, ...] | None = None,
    tell: Callable[[Event], None] | None = None,
    engine: Engine = fake_worker.FAKE,
) -> list[Event]:
    """Trains some trials on two workers; returns the events."""
    events: list[Event] = []
    fake_worker.study(folder, trials, tell or events.append, command, engine)
    return events


@pytest.fixture
def misbehave(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, str]], None]:
    return lambda behaviors: monkeypatch.setenv("FAKE_BEHAVIOR", json.dumps(behaviors))


def outcomes(events: list[Event]) -> dict[int, TrialResult]:
    return {event.trial.index: event for event in events if isinstance(event, TrialResult)}


def epochs(events: list[Event], index: int) -> list[int]:
    """The epochs that were told of a trial."""
    advanced = [event for event in events if isinstance(event, EpochEnd)]
    return [event.epoch for event in advanced if event.trial.index == index]


def children() -> list[int]:
    """The processes that this one has started and that are alive."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat=,comm="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 3) for line in listed.stdout.splitlines()]
    return [
        int(pid)
        for pid, parent, status, name in rows
        if int(parent) == os.getpid() and not status.startswith("Z") and name != "ps"
    ]


def alive(pid: int) -> bool:
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return listed.stdout.strip()[:1] not in ("", "Z")


def sleeping(folder: pathlib.Path) -> list[int]:
    """The workers whose trials sleep."""
    return [int(path.suffix.removeprefix(".pid-")) for path in folder.glob("*.pid-*")]


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_trials_are_trained_in_processes_without_tensorflow(
    tmp_path: pathlib.Path, misbehave: Callable[[dict[int, str]], None]
) -> None:
    # What a task prints must not get into the messages.
    misbehave({1: "chats"})
    before = children()
    events = train(tmp_path, trials=5)
    started = [event.trial.index for event in events if isinstance(event, Started)]
    assert sorted(started) == list(range(5))
    finished = outcomes(events)
    assert sorted(finished) == list(range(5))
    for index, outcome in finished.items():
        assert [point.epoch for point in outcome.result.curve] == [0, 1, 2, 3]
        assert outcome.result.validation.mean == 6.0 + index
        assert outcome.weights[0].shape == (5, 12) and (outcome.weights[0] == index).all()
        assert epochs(events, index) == [1, 2, 3]
    assert os.getpid() not in {outcome.result.parameters for outcome in finished.values()}
    assert {outcome.result.engine for outcome in finished.values()} <= {"", "keras"}
    assert children() == before


def test_a_worker_that_dies_is_replaced(
    tmp_path: pathlib.Path, misbehave: Callable[[dict[int, str]], None]
) -> None:
    misbehave({0: "dies once", 1: "dies", 2: "dies every epoch", 3: "exits", 4: "needs memory"})
    events = train(tmp_path, trials=7)
    finished = outcomes(events)
    assert sorted(finished) == [0, 2, 5, 6]
    for index, outcome in finished.items():
        assert [point.epoch for point in outcome.result.curve] == [0, 1, 2, 3]
        # Every epoch was run once: the next worker went on from the checkpoint.
        assert epochs(events, index) == [1, 2, 3]

    deaths = {
        index: [
            event.reason
            for event in events
            if isinstance(event, WorkerDied) and event.trial.index == index
        ]
        for index in range(7)
    }
    assert {index: len(reasons) for index, reasons in deaths.items()} == {
        0: 1,
        1: 2,
        2: 3,
        3: 2,
        4: 2,
        5: 0,
        6: 0,
    }
    assert "SIGKILL" in deaths[0][0] and "memory" in deaths[0][0]
    failures = {event.trial.index: event for event in events if isinstance(event, Failure)}
    assert sorted(failures) == [1, 3, 4]
    assert "SIGSEGV" in failures[1].reason and "a library complains" in failures[1].reason
    assert "status 3" in failures[3].reason
    assert "MemoryError: cannot allocate 9 TB" in failures[4].reason
    assert all("\n" not in failure.reason for failure in failures.values())
    assert failures[1].engine == "native"


@pytest.mark.parametrize(
    ("behavior", "error", "text"),
    [("raises", ValueError, "units too many"), ("disk full", OSError, "No space left on device")],
)
def test_an_error_in_a_trial_ends_the_run(
    tmp_path: pathlib.Path,
    misbehave: Callable[[dict[int, str]], None],
    behavior: str,
    error: type[Exception],
    text: str,
) -> None:
    misbehave({0: "sleeps", 1: behavior})
    before = children()
    with pytest.raises(error, match=text) as caught:
        train(tmp_path)
    assert "fake_worker.py" in caught.value.__notes__[0]
    if isinstance(caught.value, OSError):
        assert caught.value.filename == str(tmp_path / "1.npz")
    assert children() == before


def test_an_error_in_recording_ends_the_run(tmp_path: pathlib.Path) -> None:
    def full(event: Event) -> None:
        raise OSError("no space for the ledger")

    before = children()
    with pytest.raises(OSError, match="ledger"):
        train(tmp_path, tell=full)
    assert children() == before


def test_workers_that_cannot_start_end_the_run(tmp_path: pathlib.Path) -> None:
    command = (sys.executable, "-c", "raise SystemExit('no such library')")
    seen: list[Event] = []
    with pytest.raises(ChildProcessError, match=r"status 1.*no such library"):
        train(tmp_path, command=command, tell=seen.append)
    # That is no trial's fault. Each of two workers is tried three times.
    assert len(seen) <= 5 and all(isinstance(event, WorkerDied) for event in seen)


# A worker that dies before it is ready, unless its number, by the order of starts, is among some.
DYING = """
import itertools, os, runpy, sys
folder, alive = sys.argv[1:3]
sys.argv[1:3] = []
for number in itertools.count():
    try:
        os.mkdir(f"{folder}/start-{number}")
        break
    except FileExistsError:
        pass
if str(number) not in alive.split(",") and number < 9:
    sys.exit("no memory for imports")
runpy.run_module("tuner.parallel.worker", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("workers", "alive"),
    [
        # At first three of four, one death each.
        (4, "0,4,5,6"),
        # There is room for one only: it trains everything.
        (2, "1"),
    ],
)
def test_workers_that_cannot_start_do_not_end_others(
    tmp_path: pathlib.Path, workers: int, alive: str
) -> None:
    command = (sys.executable, "-c", DYING, str(tmp_path), alive)
    events: list[Event] = []
    fake_worker.study(tmp_path, 4, events.append, command, workers=workers)
    assert sorted(outcomes(events)) == [0, 1, 2, 3]
    died = [event for event in events if isinstance(event, WorkerDied)]
    # One more if the first is overtaken.
    assert len(died) in (3, 4) and all("no memory for imports" in event.reason for event in died)


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGKILL, False), (signal.SIGTERM, False), (signal.SIGINT, True)],
    ids=["kill -9", "SIGTERM", "Ctrl-C"],
)
def test_no_worker_outlives_the_study(
    tmp_path: pathlib.Path, number: signal.Signals, whole_group: bool
) -> None:
    behavior = json.dumps(dict.fromkeys(range(3), "sleeps"))
    process = Forked(study, tmp_path, environment={"FAKE_BEHAVIOR": behavior})
    try:
        wait_until(lambda: len(sleeping(tmp_path)) == 2)
        pids = sleeping(tmp_path)
        assert all(map(alive, pids))
        # A terminal sends Ctrl-C to all processes.
        (os.killpg if whole_group else os.kill)(process.pid, number)
        assert process.wait().returncode != 0
    finally:
        process.kill()
    wait_until(lambda: not any(map(alive, pids)))


def test_a_worker_leaves_ctrl_c_to_the_study_and_ends_on_sigterm(
    tmp_path: pathlib.Path, misbehave: Callable[[dict[int, str]], None]
) -> None:
    misbehave({0: "sleeps"})
    seen: list[Event] = []

    def interfere(event: Event) -> None:
        seen.append(event)
        if isinstance(event, Started):
            wait_until(lambda: sleeping(tmp_path))
            (pid,) = sleeping(tmp_path)
            os.kill(pid, signal.SIGINT)
            time.sleep(0.2)
            assert alive(pid)
            os.kill(pid, signal.SIGTERM)
        if isinstance(event, WorkerDied):
            raise StopIteration

    with pytest.raises(StopIteration):
        train(tmp_path, trials=1, tell=interfere)
    assert isinstance(seen[-1], WorkerDied) and "SIGTERM" in seen[-1].reason


def test_the_number_of_workers() -> None:
    assert pool.parse_workers("7") == 7
    assert pool.parse_workers("auto") is None
    for text in ("0", "-1", "two", "1.5", ""):
        with pytest.raises(InputError, match="--workers: expected auto or a positive integer"):
            pool.parse_workers(text)
