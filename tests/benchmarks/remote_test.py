"""Objects in processes of their own, through stand-ins of a peer."""

from __future__ import annotations

import importlib
import os
import pathlib

import pytest

from benchmarks.remote import Missing, Remote, RemoteError, cores


class Peer:
    def __init__(self, start: int = 0, left: str = "") -> None:
        print("what libraries print goes to nobody")
        self._start, self._left = start, left

    def add(self, number: int) -> dict[str, int]:
        return {"sum": self._start + number, "pid": os.getpid()}

    def threads(self) -> dict[str, object]:
        return {"omp": os.environ["OMP_NUM_THREADS"], "core": cores(), "x": os.environ.get("X")}

    def fail(self) -> None:
        raise ValueError("two is not three")

    def lack(self) -> None:
        importlib.import_module("no_such_library")

    def die(self) -> None:
        os.write(2, b"no more memory\n")
        os._exit(7)

    def close(self) -> None:
        if self._left:
            pathlib.Path(self._left).touch()


TARGET = "tests.benchmarks.remote_test:Peer"


def test_two_work_at_once_on_a_core_each_and_close(tmp_path: pathlib.Path) -> None:
    core, left = cores()[-1], tmp_path / "closed"
    with (
        Remote(TARGET, start=1, left=str(left)) as one,
        Remote(TARGET, start=2, on=[core], environment={"X": "y"}) as two,
    ):
        for peer in (one, two):
            peer.start("add", number=0)
        sums = (two.result(), one.result())
        assert [each["sum"] for each in sums] == [2, 1]
        assert len({os.getpid(), *(each["pid"] for each in sums)}) == 3
        assert two.call("threads") == {"omp": "1", "core": [core], "x": "y"}
        # The last of several results.
        one.start("add", number=1)
        assert one.call("add", number=2)["sum"] == 3
        assert not left.exists()
    assert left.exists()


def test_what_goes_wrong_is_told() -> None:
    with Remote(TARGET) as peer:
        with pytest.raises(RemoteError, match="two is not three"):
            peer.call("fail")
        with pytest.raises(Missing, match="no_such_library"):
            peer.call("lack")
        assert peer.call("add", number=5)["sum"] == 5
        with pytest.raises(RemoteError, match="(?s)the process ended.*no more memory"):
            peer.call("die")
    with Remote("benchmarks.peers.nobody:Peer") as peer, pytest.raises(Missing, match="nobody"):
        peer.call("add", number=1)
