"""The benchmark of the engine `cuda`, on the emulation: what it counts, not how fast it is."""

from __future__ import annotations

import dataclasses
import types
from typing import Any

import pytest

from benchmarks import gpu
from benchmarks.runner import Runner
from common.errors import InputError
from tests.tuner import tiny
from tests.tuner.tiny_task import TinyTask
from tests.tuner.training.cuda import emulated
from tests.tuner.training.cuda.emulated import STREAMED, Emulation
from tuner.training.cuda import device, engine
from tuner.training.engines import Trainer
from tuner.training.native import engine as native
from tuner.training.protocol import Epoch, Problem, Protocol

pytestmark = emulated.needs_compiler

PROBLEM = tiny.problem(Protocol(max_epochs=2))


def make(problem: Problem) -> engine.Trainer:
    return engine.Trainer(problem, Emulation(STREAMED))


def test_the_device_is_filled_with_trials() -> None:
    rows = list(gpu.figures(Emulation(STREAMED), make, native.Trainer, PROBLEM, [3]))
    # The emulation takes two trials of 0.4 of it each.
    assert [(row["variant"], row["trials"], row["what"]) for row in rows] == [
        (variant, trials, what)
        for variant in ("V", "FGR")
        for trials, what in ((2, "cuda, whole device"), (1, "native, one core"))
    ]
    assert all(row["part"] == "figures" and row["units"] == 3 for row in rows)


def test_an_epoch_is_what_more_epochs_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0

    def counting(problem: Problem) -> Trainer:
        nonlocal clock
        clock += 100.0  # Preparing does not count.

        class Counting:
            def train(self, trials: Any, **options: Any) -> Any:
                nonlocal clock
                for _ in trials:
                    clock += 5.0 + 2.0 * problem.protocol.max_epochs
                    yield types.SimpleNamespace(
                        result=types.SimpleNamespace(curve=[Epoch(1, 1, 1)])
                    )

        return Counting()

    monkeypatch.setattr(gpu.time, "perf_counter", lambda: clock)
    found = gpu.measure(counting, PROBLEM, range(10), epochs=3)
    each = pytest.approx(1e6 * 2.0 / len(PROBLEM.corpus.train))
    assert found == {"seconds": 10 * 3 * 2.0, "microseconds": each}


def test_phases_are_counted_for_each_sequence() -> None:
    rows = list(gpu.phases(Emulation(STREAMED), make, PROBLEM, [3]))
    assert [row["what"] for row in rows[:6]] == [
        *("read", "project", "forward", "head", "backward", "update"),
    ]
    assert {row["trials"] for row in rows} == {1, 2}
    # The emulation's clock ticks when it is looked at.
    assert all(1 <= row["cycles"] <= 4 for row in rows)


def test_a_design_is_that_of_the_study() -> None:
    music = type("Music", (TinyTask,), {"name": "music"})()
    (row,) = gpu.design(make, dataclasses.replace(PROBLEM, task=music), tiny.SPACE, 2)
    assert row["trials"] == 2 and row["what"].endswith(" epochs")


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "obstacle", lambda: "no NVIDIA driver was found")
    with pytest.raises(InputError, match="no GPU to measure: no NVIDIA driver was found"):
        next(iter(gpu.tables(Runner())))
