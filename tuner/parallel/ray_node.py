"""What runs on a node of a Ray cluster: an agent that has the node's worker processes.

It is an actor of Ray (`tuner.parallel.ray_pool` makes it one) and relays what the study and the
workers tell each other. Workers are the processes that they are without Ray. What they write stays
on the node: an agent is given a trial's checkpoint with its assignment, and hands out new ones.

Whatever happens to the study's process or to Ray, workers do not outlive their agent: when it dies,
its end of their channels closes.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from multiprocessing import Pipe, connection
from pathlib import Path
from typing import Any, BinaryIO

import filelock
import numpy as np

from common.machine import cores
from tuner.parallel.messages import Assignment, Setup
from tuner.parallel.worker_process import COMMAND, WorkerProcess
from tuner.training import engines
from tuner.training.engines import Engine
from tuner.training.protocol import Trial, TrialResult

_FOLDER, _LOCK = "lstm-odyssey-agent-", "agent.lock"
_YOUNG_SECONDS = 60.0
"""Age below which a folder may still be without its lock."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a study wants to know of a node.

    Attributes:
        workers: how many processes suit it.
        capacities: how many trials a process of an engine trains at a time, by the engine's name.
        versions: see `tuner.training.engines.versions`.
    """

    workers: int
    capacities: dict[str, int]
    versions: dict[str, str]


def facts(cpus: int, used: Sequence[Engine]) -> Facts:
    """Looks at the node that this process is on.

    Args:
        cpus: cores that Ray has given to its workers.
        used: the engines that will train.
    """
    wanted = max(engine.workers() for engine in used)
    # Fewer than there are cores suit an accelerator, whose workers do not count by cores.
    workers = cpus if wanted >= cores() else wanted
    capacities = {engine.name: engine.capacity() for engine in used}
    return Facts(workers, capacities, engines.versions())


@dataclasses.dataclass(frozen=True)
class Spawn:
    """A worker is to be started.

    Attributes:
        worker: its number.
        setup: the first message to it.
    """

    worker: int
    setup: Setup


@dataclasses.dataclass(frozen=True)
class Deliver:
    """A message is to be given to a worker.

    Attributes:
        worker: its number.
        message: one of `tuner.parallel.messages`.
        checkpoint: of an assignment, the content of the trial's checkpoint, if it has one.
    """

    worker: int
    message: Any
    checkpoint: bytes | None = None


@dataclasses.dataclass(frozen=True)
class End:
    """A worker is to be ended.

    Attributes:
        worker: its number.
    """

    worker: int


@dataclasses.dataclass(frozen=True)
class Close:
    """All workers are to be ended, and what they have written to be removed: the last order."""


Order = Spawn | Deliver | End | Close
"""Messages of a study to an agent."""


@dataclasses.dataclass(frozen=True)
class Written:
    """A worker has written a checkpoint.

    Attributes:
        trial: of which trial.
        content: the file's.
    """

    trial: Trial
    content: bytes


@dataclasses.dataclass(frozen=True)
class Died:
    """A worker has died by itself.

    Attributes:
        reason: what is known of it.
    """

    reason: str


Report = tuple[int, Any]
"""A worker's number, and a message of it, a `Written` or a `Died`."""


@dataclasses.dataclass
class _Checkpoint:
    """A running trial's checkpoint on this node.

    Attributes:
        path: the file.
        stamp: what told it from others when it was last handed out.
    """

    path: Path
    stamp: tuple[int, int] = (0, 0)

    def changed(self) -> bytes | None:
        """The content, if it is new."""
        try:
            facts = self.path.stat()
            # Clocks of files are coarse; a file that is written anew is another one.
            stamp = facts.st_ino, facts.st_mtime_ns
            if stamp == self.stamp:
                return None
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        self.stamp = stamp
        return content


def _sweep() -> None:
    """Removes what agents that were killed have left on this node."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        try:
            if folder.stat().st_mtime + _YOUNG_SECONDS < time.time():
                with filelock.FileLock(folder / _LOCK, timeout=0):
                    shutil.rmtree(folder)
        except (filelock.Timeout, OSError):
            # Of a live process, just removed, or of another user.
            pass


class Agent:
    """Has worker processes on its node.

    Args:
        corpora: what `tuner.parallel.corpus_file.save` writes of each, uint8 [bytes].
    """

    def __init__(self, *corpora: np.ndarray) -> None:
        # The workers map them: they are there once for all of them.
        self._corpora: list[BinaryIO] = [tempfile.TemporaryFile() for _ in corpora]
        for corpus, file in zip(corpora, self._corpora, strict=True):
            file.write(corpus.data)
            file.flush()
        _sweep()
        self._folder = tempfile.TemporaryDirectory(prefix=_FOLDER)
        self._lock = filelock.FileLock(Path(self._folder.name) / _LOCK)
        self._lock.acquire()
        self._workers: dict[int, WorkerProcess] = {}
        self._checkpoints: dict[int, dict[Trial, _Checkpoint]] = {}
        self._bell, self._button = Pipe(duplex=False)

    def facts(self, cpus: int, used: Sequence[Engine]) -> Facts:
        """Looks at the node; see `facts`."""
        return facts(cpus, used)

    def exchange(self, orders: Iterable[Order], seconds: float) -> list[Report]:
        """Executes messages of the study, and waits for those of workers.

        Args:
            orders: to be followed in this order.
            seconds: how long to wait at most.

        Returns:
            What has happened, in order; may be empty.
        """
        for order in orders:
            self._follow(order)
            if isinstance(order, Close):
                return []
        channels = {worker.channel: number for number, worker in self._workers.items()}
        reports: list[Report] = []
        for ready in connection.wait([*channels, self._bell], seconds):
            if ready is self._bell:
                self._bell.recv_bytes()
            else:
                reports += self._heard(channels[ready])  # type: ignore[index]
        for number in self._workers:
            reports += self._written(number)
        return reports

    def wake(self) -> None:
        """Ends the waiting of `exchange`: there are orders. May be called in another thread."""
        self._button.send_bytes(b"")

    def _follow(self, order: Order) -> None:
        match order:
            case Spawn(number, setup):
                self._workers[number] = WorkerProcess(COMMAND, setup, self._corpora)
                self._checkpoints[number] = {}
            case Deliver(number, message, content) if number in self._workers:
                if isinstance(message, Assignment):
                    message = self._placed(number, message, content)
                self._workers[number].send(message)
            case End(number) if number in self._workers:
                self._workers[number].terminate()
                self._forget(number)
            case Close():
                for worker in self._workers.values():
                    worker.terminate()
                for number in list(self._workers):
                    self._forget(number)
                self._lock.release()
                self._folder.cleanup()

    def _placed(self, number: int, assignment: Assignment, content: bytes | None) -> Assignment:
        """The same assignment with its checkpoint on this node."""
        path = Path(self._folder.name) / f"{number}-{assignment.checkpoint.name}"
        checkpoint = _Checkpoint(path)
        if content is not None:
            path.write_bytes(content)
            checkpoint.changed()
        self._checkpoints[number][assignment.trial] = checkpoint
        return dataclasses.replace(assignment, checkpoint=path)

    def _heard(self, number: int) -> list[Report]:
        """Takes all that a worker has said."""
        reports: list[Report] = []
        worker = self._workers[number]
        while worker.channel.poll():
            message = worker.receive()
            if message is None:
                reports += self._written(number)
                return [*reports, (number, Died(self._forget(number)))]
            reports.append((number, message))
            if isinstance(message, TrialResult):
                checkpoint = self._checkpoints[number].pop(message.trial)
                checkpoint.path.unlink(missing_ok=True)
        return reports

    def _written(self, number: int) -> list[Report]:
        """The checkpoints of a worker that are new."""
        found = [(trial, each.changed()) for trial, each in self._checkpoints[number].items()]
        return [(number, Written(trial, content)) for trial, content in found if content]

    def _forget(self, number: int) -> str:
        """Drops a worker that ends; returns how it has ended."""
        for checkpoint in self._checkpoints.pop(number).values():
            checkpoint.path.unlink(missing_ok=True)
        return self._workers.pop(number).join()
