"""Who trains the trials of a study: a pool of worker processes, or this process itself."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol as Interface

from common.errors import InputError
from tuner.parallel import sharing
from tuner.parallel.crew import Crew
from tuner.parallel.messages import Assignment, Event, Setup
from tuner.tasks.task import Corpus, Task
from tuner.training import engines
from tuner.training.protocol import Protocol

# Of the control group, such as a container's; Linux only.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


class Pool(Interface):
    """Trains trials for a study.

    Attributes:
        engine: name of the engine.
        workers: how many trials are trained at a time.
    """

    @property
    def engine(self) -> str: ...  # noqa: D102
    @property
    def workers(self) -> int: ...  # noqa: D102

    def run(
        self,
        task: Task,
        corpus: Corpus,
        protocol: Protocol,
        assignments: Iterator[Assignment],
        tell: Callable[[Event], None],
    ) -> None:
        """Trains all trials.

        Args:
            task: what is learned.
            corpus: its data.
            protocol: training rules.
            assignments: the trials in the order in which they are to be started; the next one is
                taken when somebody is free for it.
            tell: is told what happens; every trial ends with a `TrialResult` or a `Failure`.
                What it raises ends the run.

        Raises:
            OSError: if a checkpoint cannot be written.
            Exception: whatever else the engine raises.
        """


@dataclasses.dataclass(frozen=True)
class InProcess:
    """Trains one trial at a time in this process.

    Attributes:
        train: the engine.
        engine: its name.
    """

    train: engines.Train
    engine: str = "keras"

    @property
    def workers(self) -> int:
        """One trial at a time."""
        return 1

    def run(
        self,
        task: Task,
        corpus: Corpus,
        protocol: Protocol,
        assignments: Iterator[Assignment],
        tell: Callable[[Event], None],
    ) -> None:
        """Trains all trials one after the other; see `Pool.run`."""
        engines.carry_out(self.train, task, corpus, protocol, assignments, tell)


@dataclasses.dataclass(frozen=True)
class WorkerPool:
    """Trains one trial in each of some worker processes.

    The order in which trials finish changes no number. A worker that dies is replaced, and its
    trial goes on from its checkpoint; after `DEATHS` deaths without a new epoch in between
    the trial has failed, and the others go on.

    Attributes:
        engine: name of the engine.
        workers: most processes at a time.
        command: what starts a worker; the numbers of two descriptors are appended.
    """

    engine: str
    workers: int
    command: tuple[str, ...] = (sys.executable, "-m", "tuner.parallel.worker")

    def run(
        self,
        task: Task,
        corpus: Corpus,
        protocol: Protocol,
        assignments: Iterator[Assignment],
        tell: Callable[[Event], None],
    ) -> None:
        """Trains all trials; see `Pool.run`.

        Raises:
            ChildProcessError: if workers keep dying before they can train anything.
        """
        with tempfile.TemporaryFile() as file:
            sharing.save(corpus, file)
            setup = Setup(task, protocol, self.engine)
            crew = Crew(self.command, setup, file, assignments, tell)
            try:
                crew.run(self.workers)
            finally:
                crew.dismiss()


def count(text: str) -> int | None:
    """Reads how many workers a person wants.

    Args:
        text: a positive integer, or `auto`.

    Returns:
        The number; None for `auto`, which is then `fitting`.

    Raises:
        InputError: if it is anything else.

    Example:
        >>> count("3"), count("auto")
        (3, None)
    """
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--workers: expected auto or a positive integer. Received: {text!r}")
    return int(text)


def fitting(engine: str) -> int:
    """Says how many workers suit this machine: one a core, but one in all for an accelerator.

    Args:
        engine: name of the engine.
    """
    return 1 if engine == "keras" and engines.accelerator() else cores()


def cores() -> int:
    """Counts the cores that this process may use: its affinity and its control group's quota."""
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    else:
        usable = os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return usable
    return usable if quota == "max" else max(1, min(usable, int(quota) // int(period)))
