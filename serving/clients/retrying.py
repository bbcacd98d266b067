"""When to ask again: only where another answer is possible, and never beyond the deadline."""

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
"""Seconds of an attempt whose pause took longer than meant: none would be no valid timeout."""


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long to wait for an answer, and how often to ask.

    Attributes:
        timeout: seconds for one answer, all attempts and the pauses between them included.
        retries: attempts after the first one.
        backoff: seconds before the second attempt, twice as many before every further one; of each
            pause a random part of up to a half is left out, so that clients that were refused
            together do not come back together.
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
    """Asks until there is an answer, an error that stays, or no time.

    Args:
        ask: makes one attempt within the seconds that it is given.
        patience: how long and how often.
        clock: returns seconds.
        sleep: waits for seconds.

    Raises:
        ServingError: the last one, if it is none of `RETRIED`, if there were enough attempts, or if
            the next one (after `retry_after` at the earliest) would come too late.
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
