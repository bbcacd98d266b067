"""Calls of TensorFlow: how many run at a time, and which requests share one."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
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

_BRIEF = 0.003
"""Longest call, in seconds, that may run on the event loop: switching threads takes as long."""

_REMEMBERED = 1000
"""Number of kinds of calls whose duration is remembered."""


class Runner:
    """Threads that run sessions.

    Args:
        concurrency: largest number of calls that run at the same time.
        is_alone: returns whether the caller is the only pending request.

    Attributes:
        running: number of calls that are running.
    """

    def __init__(self, concurrency: int, is_alone: Callable[[], bool] = lambda: False) -> None:
        self._is_alone = is_alone
        self._threads = ThreadPoolExecutor(concurrency, "tensorflow")
        self._seconds: dict[tuple[Any, ...], float] = {}
        self.running = 0

    async def call(
        self, session: Session, name: str, inputs: Arrays, outputs: Sequence[str], end: float | None
    ) -> Arrays:
        """Runs a signature, see `Session.run`.

        Args:
            session: the model.
            name: name of the signature.
            inputs: arrays by name.
            outputs: names of the wanted outputs; empty for all.
            end: deadline, in seconds of `time.monotonic`; None for no deadline.

        Raises:
            Failure: if TensorFlow fails, or the deadline passes.
        """
        # The expected duration is that of the last call with the same shapes.
        key = id(session), name, *(array.shape for array in inputs.values())

        def run() -> Arrays:
            start = time.monotonic()
            seconds = None if end is None else end - start
            if seconds is not None and seconds <= 0:
                raise expired()
            self.running += 1
            try:
                answer = session.run(name, inputs, outputs, seconds)
                self._seconds[key] = time.monotonic() - start
                return answer
            finally:
                self.running -= 1

        if len(self._seconds) > _REMEMBERED:
            self._seconds.clear()
        if self._is_alone() and self._seconds.get(key, _BRIEF) < _BRIEF:
            end = None
            return run()
        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def close(self) -> None:
        """Stops the threads; running calls continue."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclasses.dataclass(frozen=True)
class _Waiting:
    """A request that is waiting for a batch."""

    inputs: Arrays
    rows: int
    end: float | None
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
        self._due: set[Any] = set()
        self._threads = asyncio.Semaphore(batching.num_batch_threads)
        self._tasks: set[asyncio.Task[None]] = set()

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
        queue = self._queues.setdefault(key, collections.deque())
        queued = rows + sum(one.rows for one in queue)
        if queued > most * self._batching.max_enqueued_batches:
            raise Failure(Code.UNAVAILABLE, "The batch scheduling queue is full.")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(inputs, rows, end, loop.create_future())
        queue.append(waiting)
        if queued >= most:
            self._is_due(key)
        elif len(queue) == 1:
            loop.call_later(self._batching.batch_timeout_micros / 1e6, self._is_due, key)
        return await waiting.answer

    def _shape(self, name: str, key: str, array: npt.NDArray[Any]) -> tuple[int | None, ...]:
        """Returns the sizes that requests in the same batch must have in common."""
        sizes, wanted = array.shape[1:], self._session.signatures[name].inputs[key].shape
        is_padded = self._batching.pad_variable_length_inputs
        if not is_padded or wanted is None or len(wanted) != array.ndim:
            return sizes
        pairs = zip(wanted[1:], sizes, strict=True)
        return tuple(None if expected is None else size for expected, size in pairs)

    def _is_due(self, key: Any) -> None:
        if key in self._queues and key not in self._due:
            self._due.add(key)
            task = asyncio.ensure_future(self._run(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, key: Any) -> None:
        """Runs a batch that is due as soon as a thread is free; until then it keeps filling."""
        async with self._threads:
            self._due.discard(key)
            batch = self._taken(key)
            try:
                answers = await self._answers(key[0], batch) if batch else []
            except Exception as error:
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(error)
                return
            for one, answer in zip(batch, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)

    def _taken(self, key: Any) -> list[_Waiting]:
        queue, batch, rows = self._queues.pop(key), [], 0
        while queue and rows + queue[0].rows <= self._batching.max_batch_size:
            waiting = queue.popleft()
            # A canceled or expired request takes up no space in the batch.
            if not waiting.answer.done():
                batch.append(waiting)
                rows += waiting.rows
        if queue:
            self._queues[key] = queue
            self._is_due(key)
        return batch

    async def _answers(self, name: str, batch: list[_Waiting]) -> list[Arrays]:
        ends = [one.end for one in batch if one.end is not None]
        end = max(ends) if len(ends) == len(batch) else None
        inputs = {key: _joined([one.inputs[key] for one in batch]) for key in batch[0].inputs}
        outputs = await self._runner.call(self._session, name, inputs, (), end)
        *stops, total = np.cumsum([one.rows for one in batch]).tolist()
        if any(array.shape[:1] != (total,) for array in outputs.values()):
            raise Failure(Code.FAILED_PRECONDITION, f"expected outputs with {total} rows each")
        parts = {key: np.split(array, stops) for key, array in outputs.items()}
        return [{key: parts[key][index] for key in parts} for index in range(len(batch))]


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
