"""Calls of TensorFlow: how many run at a time, and which requests share one."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.devserver.errors import RequestError, invalid
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
            RequestError: if TensorFlow fails, or the deadline passes.
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
            except Failure as failure:
                raise told(failure) from failure
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


def expired() -> RequestError:
    """Makes the error of a request whose deadline has passed."""
    return RequestError(Code.DEADLINE_EXCEEDED, "The deadline was exceeded.")


def told(failure: Failure) -> RequestError:
    """Converts an error of TensorFlow."""
    if failure.code == Code.DEADLINE_EXCEEDED:
        return expired()
    return RequestError(failure.code, failure.cause)


@dataclasses.dataclass
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
        self._queues: dict[Any, collections.deque[_Waiting]] = collections.defaultdict(
            collections.deque
        )
        self._due: dict[Any, None] = {}
        self._free = batching.num_batch_threads
        self._tasks: set[asyncio.Task[None]] = set()

    def takes(self, name: str, inputs: Arrays) -> bool:
        """Returns whether the inputs and outputs have rows, of which batches are made."""
        signature = self._session.signatures[name]
        outputs = signature.outputs.values()
        return bool(inputs) and all(
            shape != () for shape in [a.shape for a in inputs.values()] + [o.shape for o in outputs]
        )

    async def call(self, name: str, inputs: Arrays, end: float | None) -> Arrays:
        """Runs the rows of a request in a batch.

        Args:
            name: name of the signature.
            inputs: arrays by name.
            end: deadline, in seconds of `time.monotonic`; None for no deadline.

        Raises:
            RequestError: if there are too many rows, the inputs differ in their number, the queue
                is full, or TensorFlow fails.
        """
        sizes = {array.shape[0] for array in inputs.values()}
        if len(sizes) > 1:
            raise invalid("Batching session Run() input tensors must have equal 0th-dimension size")
        rows, most = sizes.pop(), self._batching.max_batch_size
        if rows > most:
            raise invalid(f"Task size {rows} is larger than maximum input batch size {most}")
        key = name, *(self._shape(name, key, inputs[key]) for key in sorted(inputs))
        queue = self._queues[key]
        if sum(one.rows for one in queue) + rows > most * self._batching.max_enqueued_batches:
            raise RequestError(Code.UNAVAILABLE, "The batch scheduling queue is full.")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(inputs, rows, end, loop.create_future())
        queue.append(waiting)
        if sum(one.rows for one in queue) >= most:
            self._is_due(key)
        elif len(queue) == 1:
            loop.call_later(self._batching.batch_timeout_micros / 1e6, self._is_due, key)
        return await waiting.answer

    def _shape(self, name: str, key: str, array: npt.NDArray[Any]) -> tuple[int | None, ...]:
        """Returns the sizes that requests in the same batch must have in common."""
        free = self._session.signatures[name].inputs[key].shape
        if not self._batching.pad_variable_length_inputs or free is None:
            return array.shape[1:]
        return (
            tuple(
                None if wanted is None else size
                for wanted, size in zip(free[1:], array.shape[1:], strict=True)
            )
            if len(free) == array.ndim
            else array.shape[1:]
        )

    def _is_due(self, key: Any) -> None:
        if self._queues.get(key):
            self._due[key] = None
        self._begin()

    def _begin(self) -> None:
        """Starts batches that are due, as far as threads are free."""
        while self._free and self._due:
            key = next(iter(self._due))
            del self._due[key]
            queue, batch, rows = self._queues[key], [], 0
            while queue and rows + queue[0].rows <= self._batching.max_batch_size:
                waiting = queue.popleft()
                # A canceled or expired request takes up no space in the batch.
                if not waiting.answer.done():
                    batch.append(waiting)
                    rows += waiting.rows
            if queue:
                self._due[key] = None
            else:
                del self._queues[key]
            if batch:
                self._free -= 1
                task = asyncio.ensure_future(self._run(key[0], batch))
                self._tasks.add(task)
                task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free += 1
        self._begin()

    async def _run(self, name: str, batch: list[_Waiting]) -> None:
        ends = [one.end for one in batch]
        end = None if None in ends else max(end for end in ends if end is not None)
        try:
            inputs = {
                key: _joined([one.inputs[key] for one in batch])
                for key in self._session.signatures[name].inputs
            }
            outputs = await self._runner.call(self._session, name, inputs, (), end)
            total = sum(one.rows for one in batch)
            for key, array in outputs.items():
                if array.shape[:1] != (total,):
                    raise RequestError(
                        Code.FAILED_PRECONDITION,
                        f"Batched output tensor's 0th dimension does not equal the sum of the 0th "
                        f"dimension sizes of the input tensors: {key}",
                    )
        except Exception as error:
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        start = 0
        for one in batch:
            if not one.answer.done():
                stop = start + one.rows
                one.answer.set_result({key: array[start:stop] for key, array in outputs.items()})
            start += one.rows


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


def selected(outputs: Mapping[str, npt.NDArray[Any]], names: Sequence[str]) -> Arrays:
    """Selects the wanted outputs by name; all, if no names are given."""
    return {name: outputs[name] for name in names or outputs}
