"""When to retry: only if another answer is possible, and never beyond the deadline."""

from __future__ import annotations

import dataclasses
import itertools
import random
import time
from collections.abc import Callable
from typing import TypeVar

from serving.clients.errors import ServingError

_T = TypeVar("_T")

RETRIED = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED"})
"""Codes of transient errors: the server is unreachable or busy."""


_SHORTEST = 0.001
"""Timeout of an attempt, in seconds, if its pause overran the deadline: 0 would be invalid."""


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long to wait for an answer, and how often to try.

    Attributes:
        timeout: seconds to wait for an answer, including all attempts and the pauses between them.
        retries: attempts after the first one.
        backoff: seconds before the second attempt, doubled before every further one; each pause is
            shortened by a random fraction of up to a half, so that clients that were refused
            together do not return together.
    """

    timeout: float = 10.0
    retries: int = 3
    backoff: float = 0.1

    def __post_init__(self) -> None:
        if self.timeout <= 0 or self.retries < 0 or self.backoff < 0:
            raise ValueError(
                f"Expected timeout > 0, retries >= 0 and backoff >= 0. Received: {self}"
            )


def persistently(
    ask: Callable[[float], _T],
    patience: Patience,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> _T:
    """Tries until there is an answer, an error that will not go away, or no time left.

    Args:
        ask: makes one attempt, within the number of seconds that it is given.
        patience: how long to wait and how often to try.
        clock: returns the time in seconds.
        sleep: waits for a number of seconds.

    Raises:
        ServingError: the last one, if its code is not in `RETRIED`, no retries are left, or the
            next attempt (no earlier than `retry_after` seconds from now) would come too late.
    """
    end = clock() + patience.timeout
    for attempt in itertools.count():
        try:
            return ask(max(end - clock(), _SHORTEST))
        except ServingError as error:
            pause = patience.backoff * 2**attempt * random.uniform(0.5, 1.0)
            pause = max(pause, error.retry_after)
            late = clock() + pause >= end
            if error.code not in RETRIED or attempt >= patience.retries or late:
                raise
        sleep(pause)
    raise AssertionError("the loop above has no end")
