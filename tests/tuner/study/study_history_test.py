"""What a study remembers of the machines and commands that worked on it."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from common import machine
from tests.tuner import tiny
from tuner.study.study import Study


def facts(directory: pathlib.Path, command: str, trials: int = 1) -> dict[str, Any]:
    """Begins or continues a study whose trials nobody trains, and returns its study.json."""

    class Silence:
        def begin(self, done: object, remaining: object) -> None:
            pass

    class Nothing:
        def run(self, problem: object, queue: object, on_event: object) -> None:
            pass

    Study(directory, tiny.config(("V",), trials=trials), command).run(Nothing(), Silence())
    return json.loads((directory / "study.json").read_text())


def test_commands_and_machines_are_kept_once_and_in_their_order(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "describe", lambda: "a desk")
    first = facts(tmp_path, "run --trials=1")
    assert (first["commands"], first["machines"]) == (["run --trials=1"], ["a desk"])
    assert facts(tmp_path, "run --trials=1") == first
    monkeypatch.setattr(machine, "describe", lambda: "a cupboard")
    later = facts(tmp_path, "run --trials=2", trials=2)
    assert later["commands"] == ["run --trials=1", "run --trials=2"]
    assert later["machines"] == ["a desk", "a cupboard"]
    assert {**later, "commands": 0, "machines": 0} == {**first, "commands": 0, "machines": 0}


def test_a_study_of_an_earlier_release_goes_on(tmp_path: pathlib.Path) -> None:
    first = facts(tmp_path, "run")
    path = tmp_path / "study.json"
    late = ("commands", "machines", "sampler")
    early = {name: fact for name, fact in first.items() if name not in late}
    del early["protocol"]["optimizer"]
    early["space"]["one_minus_momentum"] = [0.01, 1.0]
    del early["space"]["momentum"]
    path.write_text(json.dumps(early))
    unchanged = {name: early[name] for name in ("protocol", "space")}
    assert facts(tmp_path, "run") == first | unchanged
    assert first["machines"] == [machine.describe()]
