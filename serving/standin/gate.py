"""Admits requests: some run, some wait, the rest is refused at once."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable

from serving.standin.errors import Code, ServingError
from serving.standin.settings import Limits


class Gate:
    """Bounds how many requests run and how many wait.

    A request takes a ticket, which is refused when the queue is full, starts when its turn comes,
    and gives the ticket back.

    Args:
        limits: `max_concurrency` and `max_queue`.

    Example:
        >>> gate = Gate(Limits(max_concurrency=1, max_queue=0))
        >>> with gate.admit() as ticket:
        ...     ticket.start(deadline=None)
        ...     gate.running
        1
        >>> gate.running
        0
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._is_empty = threading.Condition(self._lock)
        self._turns: collections.deque[_Turn] = collections.deque()
        self._admitted = 0
        self._running = 0
        self._closed = False

    @property
    def running(self) -> int:
        """Requests that run."""
        return self._running

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return self._admitted - self._running

    def admit(self) -> Ticket:
        """Lets a request in.

        Raises:
            ServingError: RESOURCE_EXHAUSTED if the queue is full, UNAVAILABLE once closed.
        """
        with self._lock:
            if self._closed:
                raise ServingError(Code.UNAVAILABLE, "The server is shutting down.")
            if self._admitted >= self._limits.max_concurrency + self._limits.max_queue:
                raise ServingError(
                    Code.RESOURCE_EXHAUSTED,
                    f"The queue is full: {self._running} requests run and "
                    f"{self.waiting} wait. Try again later.",
                )
            self._admitted += 1
        return Ticket(self)

    def close(self) -> None:
        """Refuses all further requests; those inside go on."""
        with self._lock:
            self._closed = True

    def wait_until_empty(self, timeout: float) -> bool:
        """Waits for the last request to leave.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether it has left.
        """
        with self._lock:
            return self._is_empty.wait_for(lambda: not self._admitted, timeout)

    def _start(self, deadline: float | None) -> None:
        with self._lock:
            if self._running < self._limits.max_concurrency:
                self._running += 1
                return
            turn = _Turn()
            self._turns.append(turn)
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        if turn.has_come.wait(left):
            return
        with self._lock:
            # It may have come just now.
            if not turn.has_come.is_set():
                self._turns.remove(turn)
                raise expired()

    def _leave(self, ran: bool) -> None:
        with self._lock:
            self._admitted -= 1
            if ran and self._turns:
                # One request after the other: to wake all that wait would cost more than to run.
                self._turns.popleft().has_come.set()
            elif ran:
                self._running -= 1
            if not self._admitted:
                self._is_empty.notify_all()


class _Turn:
    """The place of a request in the queue."""

    def __init__(self) -> None:
        self.has_come = threading.Event()


class Ticket:
    """The place of one request inside a `Gate`; a context that gives it back."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._started = False

    def start(self, deadline: float | None, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Waits for the request's turn.

        Args:
            deadline: when the answer is of no more use, in seconds of `time.monotonic`.
            is_wanted: asked when the turn has come: whether anybody still waits for the answer.

        Raises:
            ServingError: DEADLINE_EXCEEDED or CANCELLED.
        """
        self._gate._start(deadline)
        self._started = True
        if deadline is not None and time.monotonic() >= deadline:
            raise expired()
        if not is_wanted():
            raise ServingError(Code.CANCELLED, "The client has gone.")

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, *_: object) -> None:
        self._gate._leave(self._started)


def expired() -> ServingError:
    """Makes the error of a request whose time is over."""
    return ServingError(Code.DEADLINE_EXCEEDED, "The deadline was exceeded.")
