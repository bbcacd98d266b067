"""The process that trains: `python -m tuner.parallel.worker CHANNEL CORPUS...`.

The arguments are numbers of open file descriptors: a socket to the study's process, which carries
pickled `tuner.parallel.messages`, and files written by `tuner.parallel.corpus_file`. Standard
output and standard error are left to the task, the engine and their libraries.

Whatever happens to the study's process, a worker does not outlive it: when that process dies, even
by SIGKILL, its end of the channel closes.
"""

from __future__ import annotations

import functools
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tuner.parallel import corpus_file
from tuner.parallel.messages import (
    Assignment,
    EpochEnd,
    Event,
    Pause,
    Setup,
    Started,
    WorkerError,
    WorkerReady,
)
from tuner.training.engines import Trainer
from tuner.training.protocol import Trial


def run_trials(
    trainer: Trainer, assignments: Iterable[Assignment], on_event: Callable[[Event], None]
) -> None:
    """Trains trials.

    Args:
        trainer: the trainer of an engine.
        assignments: the trials; the engine takes the next one when it can train it.
        on_event: called for starts, epochs and results.
    """
    checkpoints: dict[Trial, Path] = {}

    def trials() -> Iterator[Trial]:
        for assignment in assignments:
            checkpoints[assignment.trial] = assignment.checkpoint
            on_event(Started(assignment.trial))
            yield assignment.trial

    for result in trainer.train(
        trials(),
        checkpoint_path=checkpoints.__getitem__,
        on_epoch_end=lambda trial, state: on_event(EpochEnd.of(trial, state)),
    ):
        on_event(result)


def main() -> None:
    """Trains the trials that arrive over the channel, until it closes."""
    # Ctrl-C in a terminal reaches every process: the study's process decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel_descriptor, *corpora = descriptors = list(map(int, sys.argv[1:]))
    for descriptor in descriptors:
        # A process that a task starts must not keep the channel open after this one has ended.
        os.set_inheritable(descriptor, False)
    channel = Connection(channel_descriptor)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(channel, inbox), daemon=True).start()
    try:
        _work(channel, inbox, corpora)
    except MemoryError:
        # Another worker may have more, or the next trial may need less: a death like any other.
        raise
    except Exception as error:
        channel.send(WorkerError(_portable(error)))
        # Waits to be ended by the study; ending by itself would look like a death.
        inbox.get()


def _listen(channel: Connection, inbox: queue.SimpleQueue[bytes]) -> None:
    """Receives messages while the main thread trains, so that a closed channel is noticed."""
    while True:
        try:
            inbox.put(channel.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)


def _work(channel: Connection, inbox: queue.SimpleQueue[bytes], corpora: list[int]) -> None:
    def receive() -> Any:
        return pickle.loads(inbox.get())

    setup: Setup = receive()
    problems = {
        rules.task.name: rules.problem(corpus_file.load(corpus))
        for rules, corpus in zip(setup.rules, corpora, strict=True)
    }

    @functools.cache
    def trainer(task: str) -> Trainer:
        return setup.engine.trainer(problems[task])

    if len(problems) == 1:
        trainer(*problems)
    channel.send(WorkerReady())
    message = receive()

    def of_task(task: str) -> Iterator[Assignment]:
        """Yields the trials of a task, until a pause or a trial of another task."""
        nonlocal message
        while isinstance(message, Assignment) and message.task == task:
            yield message
            message = receive()

    # Endless: the process ends when the channel closes.
    while True:
        if isinstance(message, Assignment):
            run_trials(trainer(message.task), of_task(message.task), channel.send)
        if isinstance(message, Pause):
            message = receive()


def _portable(error: Exception) -> Exception:
    """Returns a copy of an error that can be pickled, with its traceback as a note."""
    trace = "".join(traceback.format_exception(error))
    try:
        copy: Exception = pickle.loads(pickle.dumps(error))
    except Exception:
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    copy.add_note(f"in a worker:\n{trace}")
    return copy


if __name__ == "__main__":
    main()
