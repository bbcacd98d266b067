"""Objects in processes of their own, through stand-ins of a peer."""

from __future__ import annotations

import importlib
import os

import pytest

from benchmarks.remote import Missing, Remote, RemoteError, cores


class Peer:
    def __init__(self, start: int = 0) -> None:
        print("what libraries print must not reach the parent as an answer")
        self._start = start

    def add(self, number: int) -> dict[str, int]:
        return {"sum": self._start + number, "pid": os.getpid()}

    def threads(self) -> dict[str, object]:
        return {"omp": os.environ["OMP_NUM_THREADS"], "core": cores(), "x": os.environ.get("X")}

    def fail(self) -> None:
        raise ValueError("two is not three")

    def lack(self) -> None:
        importlib.import_module("no_such_library")

    def die(self) -> None:
        os._exit(7)


TARGET = "tests.benchmarks.remote_test:Peer"


def test_methods_answer_from_another_process() -> None:
    with Remote(TARGET, start=40) as peer:
        first, second = peer.call("add", number=2), peer.call("add", number=3)
    assert (first["sum"], second["sum"]) == (42, 43)
    assert first["pid"] == second["pid"] != os.getpid()


def test_one_thread_on_the_named_core() -> None:
    core = cores()[-1]
    with Remote(TARGET, core=core, environment={"X": "y"}) as peer:
        assert peer.call("threads") == {"omp": "1", "core": [core], "x": "y"}


def test_two_work_at_once_and_answer_in_any_order() -> None:
    with Remote(TARGET, start=1) as one, Remote(TARGET, start=2) as two:
        for peer in (one, two):
            peer.start("add", number=0)
        assert (two.result()["sum"], one.result()["sum"]) == (2, 1)


def test_the_last_of_several_results() -> None:
    with Remote(TARGET) as peer:
        peer.start("add", number=1)
        peer.start("add", number=2)
        assert peer.result()["sum"] == 2


def test_an_error_brings_its_traceback_and_leaves_the_object() -> None:
    with Remote(TARGET) as peer:
        with pytest.raises(RemoteError, match="two is not three"):
            peer.call("fail")
        assert peer.call("add", number=5)["sum"] == 5


@pytest.mark.parametrize("target", ["benchmarks.peers.nobody:Peer", TARGET])
def test_a_missing_library_is_no_error(target: str) -> None:
    with Remote(target) as peer, pytest.raises(Missing, match="no_such|nobody"):
        peer.call("lack")


def test_a_death_is_told() -> None:
    with Remote(TARGET) as peer, pytest.raises(RemoteError, match="status 7"):
        peer.call("die")
