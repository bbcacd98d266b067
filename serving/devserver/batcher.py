"""Calls of TensorFlow: how many run at a time, and which requests share one."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import math
import threading
import time
import weakref
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

_REMEMBERED = 1000
"""Number of kinds of calls whose duration is remembered."""


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a signature.

    Attributes:
        session: the model.
        name: name of the signature.
        inputs: arrays by name.
        outputs: names of the wanted outputs; empty for all.
        end: deadline, in seconds of `time.monotonic`; None for no deadline.
        requests: number of requests that it answers.
    """

    session: Session
    name: str
    inputs: Arrays
    outputs: Sequence[str] = ()
    end: float | None = None
    requests: int = 1

    @property
    def kind(self) -> tuple[Any, ...]:
        """What calls that take about as long have in common."""
        # A reference, since another session may get the number (`id`) of one that is gone.
        session = weakref.ref(self.session)
        return session, self.name, *(array.shape for array in self.inputs.values())


class Runner:
    """Threads that run sessions.

    Args:
        concurrency: number of threads.
        is_alone: returns whether the caller is the only pending request.

    Attributes:
        running: number of requests whose calls are running.
    """

    def __init__(self, concurrency: int, is_alone: Callable[[], bool] = lambda: False) -> None:
        self._is_alone, self._threads = is_alone, ThreadPoolExecutor(concurrency, "tensorflow")
        # The expected duration of a call is that of the last one of its kind.
        self._seconds: dict[tuple[Any, ...], float] = {}
        self.running = 0

    def run(self, call: Call) -> Arrays:
        """Makes a call in this thread.

        Raises:
            Failure: if TensorFlow fails, or the deadline passes.
        """
        start, kind, seconds = time.monotonic(), call.kind, None
        if call.end is not None:
            seconds = call.end - start
            if seconds <= 0:
                raise expired()
            if seconds > _MANY * self._seconds.get(kind, math.inf):
                seconds = None
        self.running += call.requests
        try:
            answer = call.session.run(call.name, call.inputs, call.outputs, seconds)
        finally:
            self.running -= call.requests
        if len(self._seconds) > _REMEMBERED:
            self._seconds.clear()
        self._seconds[kind] = time.monotonic() - start
        return answer

    async def call(self, call: Call) -> Arrays:
        """Does what `run` does, in one of the threads unless the call is brief and alone."""
        if self._is_alone() and self._seconds.get(call.kind, _BRIEF) < _BRIEF:
            return self.run(call)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.run, call)

    def close(self) -> None:
        """Stops the threads; running calls continue."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclasses.dataclass(frozen=True)
class _Waiting:
    """A request that is waiting for a batch."""

    call: Call
    rows: int
    due: float
    answer: asyncio.Future[Arrays]


class Batcher:
    """Combines requests to one version into batches, each run by a single call of TensorFlow.

    A batch runs when it is full, or `batch_timeout_micros` after its first request, as soon as one
    of the version's `num_batch_threads` is free; until then more requests can join it. With
    `pad_variable_length_inputs`, requests of different lengths are padded with the first element of
    their tensors, and the outputs stay padded, both as in TensorFlow Serving.

    Args:
        runner: makes the calls.
        batching: parameters of batching.
    """

    def __init__(self, runner: Runner, batching: Batching) -> None:
        self._runner, self._batching = runner, batching
        self._queues: dict[Any, collections.deque[_Waiting]] = {}
        self._changed, self._is_closed = threading.Condition(), False
        for _ in range(batching.num_batch_threads):
            threading.Thread(target=self._work, name="batches", daemon=True).start()

    async def call(self, call: Call) -> Arrays:
        """Makes a call in a batch, or on its own if its inputs and outputs have no rows.

        Raises:
            Failure: if there are too many rows, the inputs differ in their number of rows, the
                queue is full, or TensorFlow fails.
        """
        outputs = call.session.signatures[call.name].outputs.values()
        shapes = [array.shape for array in call.inputs.values()]
        if not shapes or () in [*shapes, *(spec.shape for spec in outputs)]:
            return await self._runner.call(call)
        rows, most = shapes[0][0], self._batching.max_batch_size
        if rows > most or any(shape[0] != rows for shape in shapes):
            raise invalid(f"expected inputs with one number of rows, at most {most}")
        due = time.monotonic() + self._batching.batch_timeout_micros / 1e6
        waiting = _Waiting(call, rows, due, asyncio.get_running_loop().create_future())
        key = self._key(call)
        with self._changed:
            queue = self._queues.setdefault(key, collections.deque())
            queued = rows + sum(one.rows for one in queue)
            if queued > most * self._batching.max_enqueued_batches:
                raise Failure(Code.UNAVAILABLE, "The batch scheduling queue is full.")
            queue.append(waiting)
            if queued >= most or len(queue) == 1:
                self._changed.notify()
        return await waiting.answer

    def _key(self, call: Call) -> Any:
        """Returns what requests in the same batch must have in common: ranks and sizes of rows."""
        key: list[Any] = [call.name]
        for name, spec in call.session.signatures[call.name].inputs.items():
            sizes, wanted = call.inputs[name].shape[1:], (spec.shape or ())[1:]
            if self._batching.pad_variable_length_inputs and len(wanted) == len(sizes):
                sizes = tuple(sizes[axis] for axis, size in enumerate(wanted) if size is not None)
            key.append((call.inputs[name].ndim, sizes))
        return tuple(key)

    def close(self) -> None:
        """Ends the threads; there must be no more requests."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while batch := self._next():
            answers: list[Arrays] | Exception
            try:
                answers = self._answers(batch)
            except Exception as error:
                answers = error
            # A server that has ended meanwhile has no event loop.
            with contextlib.suppress(RuntimeError):
                batch[0].answer.get_loop().call_soon_threadsafe(_deliver, batch, answers)

    def _next(self) -> list[_Waiting]:
        """Waits for a batch; of several, takes that which has been due for longest.

        Returns:
            Its requests; none at the end.
        """
        with self._changed:
            while not self._is_closed:
                key: Any = min(self._queues, key=self._due, default=None)
                left = None if key is None else self._due(key) - time.monotonic()
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                queue, batch, rows = self._queues.pop(key), list[_Waiting](), 0
                while queue and rows + queue[0].rows <= self._batching.max_batch_size:
                    waiting = queue.popleft()
                    # A canceled or expired request takes up no space in the batch.
                    if not waiting.answer.done():
                        batch.append(waiting)
                        rows += waiting.rows
                if queue:
                    self._queues[key] = queue
                if batch:
                    return batch
        return []

    def _due(self, key: Any) -> float:
        """Returns when the batch of a queue must run: at once if it is full."""
        queue = self._queues[key]
        is_full = sum(one.rows for one in queue) >= self._batching.max_batch_size
        return 0.0 if is_full else queue[0].due

    def _answers(self, batch: list[_Waiting]) -> list[Arrays]:
        calls = [one.call for one in batch]
        ends = [call.end for call in calls if call.end is not None]
        end = max(ends) if len(ends) == len(calls) else None
        inputs = {key: _joined([call.inputs[key] for call in calls]) for key in calls[0].inputs}
        first = calls[0]
        outputs = self._runner.run(Call(first.session, first.name, inputs, (), end, len(batch)))
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
