"""The runner takes turns, compares, and writes down what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from absl import flags

from benchmarks import runner, table
from benchmarks.remote import Missing
from benchmarks.runner import Case, Measured, Peer, Runner
from common import machine


class Fake:
    """Stands for `Remote`: a run takes as many seconds as a list of the peer's options says."""

    log: list[str]

    def __init__(self, target: str, on: list[int], times: list[float], **_: Any) -> None:
        self._name, self._times, self._on = target, iter(times), on
        self.log.append(f"{target} starts")

    def call(self, method: str, **work: Any) -> None:
        if self._name == "missing":
            raise Missing("no torch")
        self.log.append(f"{self._name} {method} {work.get('size', '')}".rstrip())

    def start(self, method: str) -> None:
        self.call(method)

    def result(self) -> dict[str, float]:
        return {"seconds": next(self._times), "loss": 2.0 + self._on[0]}

    def close(self) -> None:
        self.log.append(f"{self._name} ends")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(runner, "Remote", Fake)
    monkeypatch.setattr(runner, "cores", lambda: [1, 0])
    Fake.log = []
    flags.FLAGS.mark_as_parsed()
    return Fake.log


def case(name: str, times: list[float], size: int = 1, **options: Any) -> Case:
    peer = Peer(name, {"times": times}, **options)
    return Case({"name": name, "size": size}, peer, {"size": size})


def test_cases_take_turns_and_warm_up_once(log: list[str]) -> None:
    with Runner() as bench:
        cases = [case("a", [9, 1, 2]), case("b", [6, 4, 5])]
        one, two = bench.measure(cases)
        assert log == [
            *("a starts", "a prepare 1", "a run", "a run"),
            *("b starts", "b prepare 1", "b run", "b run"),
            *("a run", "b run") * 2,
        ]
    assert sorted(log[-2:]) == ["a ends", "b ends"]
    assert (one.median(), two.median()) == (2, 5)
    assert one.spread("seconds", "ms", 1e3, 1) == {"ms": 2e3, "ms_min": 1e3, "ms_max": 9e3}
    assert two.spread("loss") == {"loss": 3.0, "loss_min": 3.0, "loss_max": 3.0}


def test_other_work_is_prepared_anew_and_one_number_has_no_spread(log: list[str]) -> None:
    peer = Peer("a", {"times": [1, 2, 3]})
    cases = [Case({"size": size}, peer, {"size": size}) for size in (1, 2)]
    with Runner() as bench:
        measured = bench.measure(cases, repeats=1, warm_up=False)
        assert log[1:] == ["a prepare 1", "a run", "a prepare 2", "a run"]
    assert [one.spread("seconds", digits=0) for one in measured] == [{"seconds": 1}, {"seconds": 2}]


def test_processes_work_at_once_and_their_mean_counts(log: list[str]) -> None:
    with Runner() as bench:
        (one,) = bench.measure([case("a", [1, 2, 3], processes=2)], warm_up=False)
    assert log[:6] == ["a starts", "a starts", "a prepare 1", "a prepare 1", "a run", "a run"]
    # On cores 1 and 0.
    assert one.median("loss") == 2.5


def test_one_server_at_a_time(log: list[str]) -> None:
    peers = [Peer(name, {"times": [1, 2]}) for name in "ab"]
    cases = [Case({"n": n}, peer, {"size": n}) for peer in peers for n in (1, 2)]
    with Runner() as bench:
        bench.measure(cases, repeats=2, warm_up=False, one_at_a_time=True)
        each = [
            [f"{name} starts"]
            + [f"{name} {what}" for n in (1, 2) for what in (f"prepare {n}", "run")]
            + [f"{name} ends"]
            for name in "ab"
        ]
        assert log == [*each[0], *each[1]] * 2


def test_a_missing_library_leaves_out_its_line(
    log: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with Runner() as bench:
        measured = bench.measure([case("missing", []), case("a", [1, 2, 3])])
    assert [one.labels["name"] for one in measured] == ["a"]
    assert capsys.readouterr().out == "missing, 1: skipped (no torch)\n"


def test_other_work_is_found_by_its_loss() -> None:
    def measured(name: str, loss: float) -> Measured:
        return Measured(case(name, []), [{"loss": loss}])

    runner.check_losses([measured("keras", 60.0), measured("native", 60.01)])
    with pytest.raises(RuntimeError, match="native, 1 does other work"):
        runner.check_losses([measured("keras", 60.0), measured("native", 60.1)])


def test_results_survive_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": 'a, "b"', "ms": 1.5}, {"name": "c", "ms": ""}]
    path = table.save("made_up", rows, ("numpy", "no-such-package"), tmp_path)
    facts, found = table.read(path)
    assert found == [{"name": 'a, "b"', "ms": "1.5"}, {"name": "c", "ms": ""}]
    assert facts["machine"] == machine.describe()
    assert facts["versions"].startswith("python 3.") and "numpy 2." in facts["versions"]
    assert len(path.read_text().splitlines()) == 2 + 1 + 2
    capsys.readouterr()
    table.show(rows)
    assert capsys.readouterr().out == '  name   ms\na, "b"  1.5\n     c     \n'
