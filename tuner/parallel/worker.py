"""The process that trains: `python -m tuner.parallel.worker CHANNEL CORPUS`.

Both arguments are numbers of open file descriptors: a socket to the study's process, over which
pickled messages go, and a file that `sharing` wrote. Standard output and standard error are left to
the task, the engine and their libraries.

Whatever happens to the study's process, a worker does not outlive it: when it dies, even by
SIGKILL, its end of the channel closes.
"""

from __future__ import annotations

import itertools
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection

from tuner.parallel import sharing
from tuner.parallel.messages import Setup, WorkerError, WorkerReady
from tuner.training import engines


def main() -> None:
    """Trains what comes over the channel until it closes."""
    # Ctrl-C in a terminal reaches every process: the study's decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel_descriptor, corpus_descriptor = map(int, sys.argv[1:])
    for descriptor in (channel_descriptor, corpus_descriptor):
        # What a task may start must not keep the channel open after this process.
        os.set_inheritable(descriptor, False)
    channel = Connection(channel_descriptor)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(channel, inbox), daemon=True).start()
    try:
        _work(channel, inbox, corpus_descriptor)
    except MemoryError:
        # Another worker may have more, or the next trial need less: a death like any other.
        raise
    except Exception as error:
        channel.send(WorkerError(_portable(error)))
        # To be ended by the study; to end by itself would look like a death.
        inbox.get()


def _listen(channel: Connection, inbox: queue.SimpleQueue[bytes]) -> None:
    """Takes messages while the main thread trains, so that a closed channel is noticed."""
    while True:
        try:
            inbox.put(channel.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)


def _work(channel: Connection, inbox: queue.SimpleQueue[bytes], corpus_descriptor: int) -> None:
    setup: Setup = pickle.loads(inbox.get())
    corpus = sharing.load(corpus_descriptor)
    train = engines.load(setup.engine)
    channel.send(WorkerReady())
    # Endless: the process ends when the channel closes.
    assignments = (pickle.loads(inbox.get()) for _ in itertools.repeat(None))
    engines.carry_out(train, setup.task, corpus, setup.protocol, assignments, channel.send)


def _portable(error: Exception) -> Exception:
    """Returns an error that arrives on the other side, with its traceback as a note."""
    trace = "".join(traceback.format_exception(error))
    try:
        copy: Exception = pickle.loads(pickle.dumps(error))
    except Exception:
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    copy.add_note(f"in a worker:\n{trace}")
    return copy


if __name__ == "__main__":
    main()
