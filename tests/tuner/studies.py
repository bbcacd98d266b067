"""Studies of the tiny task: run under observers, and read back."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess

from tuner.parallel.messages import EpochEnd, WorkerDied
from tuner.parallel.pool import InProcess, Pool
from tuner.study.presets import StudyConfig
from tuner.study.study import Study
from tuner.training.native.engine import Trainer
from tuner.training.protocol import Failure, Trial, TrialRecord


class Silence:
    """An observer that counts."""

    def __init__(self) -> None:
        self.done: list[TrialRecord | Failure] = []
        self.remaining: list[Trial] = []
        self.started: list[Trial] = []
        self.finished: list[TrialRecord] = []
        self.failed: list[Failure] = []
        self.deaths: list[WorkerDied] = []
        self.adopted: list[TrialRecord] = []

    def begin(self, done: list[TrialRecord | Failure], remaining: list[Trial]) -> None:
        self.done, self.remaining = list(done), list(remaining)

    def propose(self, trial: Trial) -> None:
        self.remaining.append(trial)

    def adopt(self, records: list[TrialRecord]) -> None:
        self.adopted += records

    def start(self, trial: Trial) -> None:
        self.started.append(trial)

    def end_epoch(self, end: EpochEnd) -> None:
        pass

    def worker_died(self, death: WorkerDied) -> None:
        self.deaths.append(death)

    def finish(self, record: TrialRecord) -> None:
        self.finished.append(record)

    def fail(self, failure: Failure) -> None:
        self.failed.append(failure)


HERE = InProcess(Trainer)


def run(
    directory: pathlib.Path,
    config: StudyConfig,
    pool: Pool = HERE,
    engine: str = "native",
    observer: Silence | None = None,
    **options: object,
) -> Silence:
    observer = observer or Silence()
    Study(directory, config).run(pool, observer, engine, **options)
    return observer


def lines(directory: pathlib.Path) -> dict[str, list[dict]]:
    """All ledgers in the order of their trials, without the time that these took."""
    return {
        path.stem: sorted(
            (
                {key: value for key, value in json.loads(line).items() if key != "seconds"}
                for line in path.read_text().splitlines()
            ),
            key=lambda line: line["trial"],
        )
        for path in sorted((directory / "trials").glob("*.jsonl"))
    }


def children() -> list[int]:
    """The workers of this process."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    return [int(pid) for pid, parent, args in rows if int(parent) == os.getpid() and "-m" in args]


class Killer(Silence):
    """Kills workers once, in the middle of trials."""

    workers: int | None = None
    """How many; all by default."""

    def end_epoch(self, end: EpochEnd) -> None:
        if not self.deaths and end.epoch == 1:
            for pid in children()[: self.workers]:
                os.kill(pid, signal.SIGKILL)
