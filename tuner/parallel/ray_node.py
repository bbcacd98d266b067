"""The agent on a node of a Ray cluster, which runs the node's worker processes.

It is a Ray actor (`tuner.parallel.ray_pool` makes it one) and relays messages between the study and
the workers. The workers are the same processes as without Ray. The files they write stay on the
node: an agent receives a trial's checkpoint with its assignment, and hands out new ones.

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
"""Age below which a folder may not have its lock yet."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a study needs to know about a node.

    Attributes:
        workers: suitable number of worker processes.
        capacities: number of trials that a process trains at a time, by the name of its engine.
        versions: see `tuner.training.engines.versions`.
    """

    workers: int
    capacities: dict[str, int]
    versions: dict[str, str]


def facts(cpus: int, used: Sequence[Engine]) -> Facts:
    """Returns the facts of the node that this process runs on.

    Args:
        cpus: number of cores that Ray has assigned to its workers.
        used: the engines that will train.
    """
    wanted = max(engine.workers() for engine in used)
    # A number below the cores suits an accelerator, whose workers do not depend on cores.
    workers = cpus if wanted >= cores() else wanted
    capacities = {engine.name: engine.capacity() for engine in used}
    return Facts(workers, capacities, engines.versions())


@dataclasses.dataclass(frozen=True)
class Spawn:
    """The order to start a worker.

    Attributes:
        worker: number of the worker.
        setup: the first message to it.
    """

    worker: int
    setup: Setup


@dataclasses.dataclass(frozen=True)
class Deliver:
    """The order to deliver a message to a worker.

    Attributes:
        worker: number of the worker.
        message: one of `tuner.parallel.messages`.
        checkpoint: for an assignment, the content of the trial's checkpoint, if it has one.
    """

    worker: int
    message: Any
    checkpoint: bytes | None = None


@dataclasses.dataclass(frozen=True)
class End:
    """The order to end a worker.

    Attributes:
        worker: number of the worker.
    """

    worker: int


@dataclasses.dataclass(frozen=True)
class Close:
    """The last order: to end all workers and remove the files that they have written."""


Order = Spawn | Deliver | End | Close
"""Messages from a study to an agent."""


@dataclasses.dataclass(frozen=True)
class Written:
    """A worker has written a checkpoint.

    Attributes:
        trial: the trial.
        content: content of the file.
    """

    trial: Trial
    content: bytes


@dataclasses.dataclass(frozen=True)
class Died:
    """A worker has died on its own.

    Attributes:
        reason: what is known about the death.
    """

    reason: str


Report = tuple[int, Any]
"""A worker's number, and a message from it, a `Written` or a `Died`."""


@dataclasses.dataclass
class _Checkpoint:
    """A running trial's checkpoint on this node.

    Attributes:
        path: the file.
        stamp: identifies the version of the file that was last handed out.
    """

    path: Path
    stamp: tuple[int, int] = (0, 0)

    def changed(self) -> bytes | None:
        """Returns the content if it is new, otherwise None."""
        try:
            facts = self.path.stat()
            # File timestamps are coarse, but a rewritten file has a new inode.
            stamp = facts.st_ino, facts.st_mtime_ns
            if stamp == self.stamp:
                return None
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        self.stamp = stamp
        return content


def _sweep() -> None:
    """Removes what killed agents have left on this node."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        try:
            if folder.stat().st_mtime + _YOUNG_SECONDS < time.time():
                with filelock.FileLock(folder / _LOCK, timeout=0):
                    shutil.rmtree(folder)
        except (filelock.Timeout, OSError):
            # It is in use by a live process, was just removed, or belongs to another user.
            pass


class Agent:
    """Runs worker processes on its node.

    Args:
        corpora: the output of `tuner.parallel.corpus_file.save` for each corpus, uint8 [bytes].
    """

    def __init__(self, *corpora: np.ndarray) -> None:
        # The workers map these files, so that each is in memory only once.
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
        """Returns the facts of the node; see `facts`."""
        return facts(cpus, used)

    def exchange(self, orders: Iterable[Order], seconds: float) -> list[Report]:
        """Executes orders of the study, and waits for messages from workers.

        Args:
            orders: orders to execute, in sequence.
            seconds: maximum time to wait.

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
        """Ends the waiting of `exchange`: there are orders. May be called from another thread."""
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
        """Returns the assignment with its checkpoint on this node."""
        path = Path(self._folder.name) / f"{number}-{assignment.checkpoint.name}"
        checkpoint = _Checkpoint(path)
        if content is not None:
            path.write_bytes(content)
            checkpoint.changed()
        self._checkpoints[number][assignment.trial] = checkpoint
        return dataclasses.replace(assignment, checkpoint=path)

    def _heard(self, number: int) -> list[Report]:
        """Receives all pending messages of a worker."""
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
        """Returns the new checkpoints of a worker."""
        found = [(trial, each.changed()) for trial, each in self._checkpoints[number].items()]
        return [(number, Written(trial, content)) for trial, content in found if content]

    def _forget(self, number: int) -> str:
        """Drops a worker that is ending; returns how it ended."""
        for checkpoint in self._checkpoints.pop(number).values():
            checkpoint.path.unlink(missing_ok=True)
        return self._workers.pop(number).join()
