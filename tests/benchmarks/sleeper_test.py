"""The benchmark's engine that sleeps."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from benchmarks import sleeper
from tests.tuner import tiny


def test_trials_wait_for_the_gate_and_say_how_long_the_worker_waited(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    monkeypatch.setenv(sleeper.GATE, str(gate))
    trials = [dataclasses.replace(tiny.TRIAL, index=index) for index in range(2)]
    trials = [dataclasses.replace(each, values={"learning_rate": 0.01}) for each in trials]
    results = list(sleeper.Trainer(tiny.problem()).train(trials))
    assert [each.trial.index for each in results] == [0, 1]
    assert all(0 <= each.result.seconds < 1 for each in results)
