"""Calls of TensorFlow: how many run at a time, and which requests share one."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import functools
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.devserver.errors import expired, invalid
from serving.devserver.settings import Batching
from serving.runtime.c_api import Failure
from serving.runtime.session import Session
from serving.runtime.status import Code

Arrays = dict[str, npt.NDArray[Any]]

_BRIEF = 0.0005
"""Longest call, in seconds, that may run on the event loop: switching threads takes as long."""

_MANY = 100
"""A call whose deadline is so many times its expected duration away has none: TensorFlow runs
calls with a timeout in threads of its own, which takes longer."""

_TICK = 0.001
"""Resolution of the event loop's timers, in seconds."""

_REMEMBERED = 1000
"""Number of kinds of calls whose duration is remembered."""


class Runner:
    """Threads that run sessions.

    Args:
        concurrency: largest number of calls that run at the same time.
        is_alone: returns whether the caller is the only pending request.

    Attributes:
        threads: the threads.
        running: number of calls that are running.
    """

    def __init__(self, concurrency: int, is_alone: Callable[[], bool] = lambda: False) -> None:
        self._is_alone = is_alone
        self.threads = ThreadPoolExecutor(concurrency, "tensorflow")
        # The expected duration of a call is that of the last one with the same shapes.
        self._seconds: dict[tuple[Any, ...], float] = {}
        self.running = 0

    def run(
        self, session: Session, name: str, inputs: Arrays, outputs: Sequence[str], end: float | None
    ) -> Arrays:
        """Runs a signature in this thread, see `Session.run`.

        Args:
            session: the model.
            name: name of the signature.
            inputs: arrays by name.
            outputs: names of the wanted outputs; empty for all.
            end: deadline, in seconds of `time.monotonic`; None for no deadline.

        Raises:
            Failure: if TensorFlow fails, or the deadline passes.
        """
        kind, start = _kind(session, name, inputs), time.monotonic()
        seconds = None if end is None else end - start
        if seconds is not None:
            if seconds <= 0:
                raise expired()
            if seconds > _MANY * self._seconds.get(kind, math.inf):
                seconds = None
        self.running += 1
        try:
            answer = session.run(name, inputs, outputs, seconds)
        finally:
            self.running -= 1
        if len(self._seconds) > _REMEMBERED:
            self._seconds.clear()
        self._seconds[kind] = time.monotonic() - start
        return answer

    async def call(
        self, session: Session, name: str, inputs: Arrays, outputs: Sequence[str], end: float | None
    ) -> Arrays:
        """Does what `run` does, in one of the threads unless the call is brief and alone."""
        expected = self._seconds.get(_kind(session, name, inputs), _BRIEF)
        if self._is_alone() and expected < _BRIEF:
            return self.run(session, name, inputs, outputs, None)
        run = functools.partial(self.run, session, name, inputs, outputs, end)
        return await asyncio.get_running_loop().run_in_executor(self.threads, run)

    def close(self) -> None:
        """Stops the threads; running calls continue."""
        self.threads.shutdown(wait=False, cancel_futures=True)


def _kind(session: Session, name: str, inputs: Arrays) -> tuple[Any, ...]:
    return id(session), name, *(array.shape for array in inputs.values())


@dataclasses.dataclass(frozen=True)
class _Waiting:
    """A request that is waiting for a batch."""

    inputs: Arrays
    rows: int
    end: float | None
    due: float
    answer: asyncio.Future[Arrays]


class Batcher:
    """Combines requests to one version into batches, each run by a single call of TensorFlow.

    A batch runs when it is full, or `batch_timeout_micros` after its first request, as soon as a
    thread is free; until then more requests can join it. With `pad_variable_length_inputs`,
    requests of different lengths are padded with the first element of their tensors, and the
    outputs stay padded, both as in TensorFlow Serving.

    Args:
        runner: runs the session.
        session: session of the version.
        batching: parameters of batching.
    """

    def __init__(self, runner: Runner, session: Session, batching: Batching) -> None:
        self._runner, self._session, self._batching = runner, session, batching
        self._queues: dict[Any, collections.deque[_Waiting]] = {}
        self._busy = 0
        self._lock = threading.Lock()

    def takes(self, name: str, inputs: Arrays) -> bool:
        """Returns whether the inputs and outputs have rows, of which batches are made."""
        outputs = self._session.signatures[name].outputs.values()
        shapes = [array.shape for array in inputs.values()] + [spec.shape for spec in outputs]
        return bool(inputs) and () not in shapes

    async def call(self, name: str, inputs: Arrays, end: float | None) -> Arrays:
        """Runs the rows of a request in a batch.

        Args:
            name: name of the signature.
            inputs: arrays by name.
            end: deadline, in seconds of `time.monotonic`; None for no deadline.

        Raises:
            Failure: if there are too many rows, the inputs differ in their number, the queue is
                full, or TensorFlow fails.
        """
        rows, most = len(next(iter(inputs.values()))), self._batching.max_batch_size
        if rows > most or any(len(array) != rows for array in inputs.values()):
            raise invalid(f"expected inputs with one number of rows, at most {most}")
        key = name, *(self._shape(name, key, inputs[key]) for key in sorted(inputs))
        loop = asyncio.get_running_loop()
        due = time.monotonic() + self._batching.batch_timeout_micros / 1e6
        waiting = _Waiting(inputs, rows, end, due, loop.create_future())
        with self._lock:
            queue = self._queues.setdefault(key, collections.deque())
            queued = rows + sum(one.rows for one in queue)
            if queued > most * self._batching.max_enqueued_batches:
                raise Failure(Code.UNAVAILABLE, "The batch scheduling queue is full.")
            queue.append(waiting)
        if queued >= most or len(queue) == 1:
            self._look(key)
        return await waiting.answer

    def _shape(self, name: str, key: str, array: npt.NDArray[Any]) -> tuple[int | None, ...]:
        """Returns the sizes that requests in the same batch must have in common."""
        sizes, wanted = array.shape[1:], self._session.signatures[name].inputs[key].shape
        is_padded = self._batching.pad_variable_length_inputs
        if not is_padded or wanted is None or len(wanted) != array.ndim:
            return sizes
        pairs = zip(wanted[1:], sizes, strict=True)
        return tuple(None if expected is None else size for expected, size in pairs)

    def _look(self, key: Any) -> None:
        """Makes a thread run the batch of a queue if it is due, or looks again when it will be."""
        loop = asyncio.get_running_loop()
        with self._lock:
            # Busy threads look at all queues after every batch.
            if key not in self._queues or self._busy >= self._batching.num_batch_threads:
                return
            left = self._due(key) - time.monotonic()
            if left > 0:
                loop.call_later(max(left, _TICK), self._look, key)
                return
            self._busy += 1
        self._runner.threads.submit(self._run_due, loop)

    def _due(self, key: Any) -> float:
        """Returns when the batch of a queue must run: at once if it is full."""
        queue = self._queues[key]
        is_full = sum(one.rows for one in queue) >= self._batching.max_batch_size
        return 0.0 if is_full else queue[0].due

    def _run_due(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs a batch if one is due, and then the next.

        It begins before the event loop, which is busy, has sent the answers of the last one, but
        after the calls of others that wait for a thread.
        """
        batch = self._taken(loop)
        if batch is None:
            return
        name, waiting = batch
        answers: list[Arrays] | Exception
        try:
            answers = self._answers(name, waiting) if waiting else []
        except Exception as error:
            answers = error
        loop.call_soon_threadsafe(_deliver, waiting, answers)
        self._runner.threads.submit(self._run_due, loop)

    def _taken(self, loop: asyncio.AbstractEventLoop) -> tuple[str, list[_Waiting]] | None:
        """Takes the batch that has been due for longest, and the name of its signature."""
        with self._lock:
            key = min(self._queues, key=self._due, default=None)
            if key is None or self._due(key) > time.monotonic():
                self._busy -= 1
                for key in self._queues:
                    loop.call_soon_threadsafe(self._look, key)
                return None
            queue, batch, rows = self._queues.pop(key), [], 0
            while queue and rows + queue[0].rows <= self._batching.max_batch_size:
                waiting = queue.popleft()
                # A canceled or expired request takes up no space in the batch.
                if not waiting.answer.done():
                    batch.append(waiting)
                    rows += waiting.rows
            if queue:
                self._queues[key] = queue
            return key[0], batch

    def _answers(self, name: str, batch: list[_Waiting]) -> list[Arrays]:
        ends = [one.end for one in batch if one.end is not None]
        end = max(ends) if len(ends) == len(batch) else None
        inputs = {key: _joined([one.inputs[key] for one in batch]) for key in batch[0].inputs}
        outputs = self._runner.run(self._session, name, inputs, (), end)
        *stops, total = np.cumsum([one.rows for one in batch]).tolist()
        if any(array.shape[:1] != (total,) for array in outputs.values()):
            raise Failure(Code.FAILED_PRECONDITION, f"expected outputs with {total} rows each")
        parts = {key: np.split(array, stops) for key, array in outputs.items()}
        return [{key: parts[key][index] for key in parts} for index in range(len(batch))]


def _deliver(batch: list[_Waiting], answers: list[Arrays] | Exception) -> None:
    for index, one in enumerate(batch):
        if one.answer.done():
            continue
        if isinstance(answers, Exception):
            one.answer.set_exception(answers)
        else:
            one.answer.set_result(answers[index])


def _joined(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Joins arrays, each padded with its own first element."""
    if len(arrays) == 1:
        return arrays[0]
    if len({array.shape[1:] for array in arrays}) == 1:
        return np.concatenate(arrays)
    shape = tuple(map(max, *(array.shape[1:] for array in arrays)))
    joined = np.empty((sum(map(len, arrays)), *shape), arrays[0].dtype)
    start = 0
    for array in arrays:
        part = joined[start : start + len(array)]
        part[...] = array.flat[0] if array.size else np.zeros((), array.dtype)
        part[(slice(None), *map(slice, array.shape[1:]))] = array
        start += len(array)
    return joined
