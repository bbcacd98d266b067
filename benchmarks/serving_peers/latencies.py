"""From the times of single requests to a line of the table."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Latencies:
    """How a server answered for a while.

    Attributes:
        rate: requests answered a second.
        p50: milliseconds from a request to its answer, the median.
        p95: milliseconds that 95 % of the requests did not exceed.
        p99: likewise, 99 %.
    """

    rate: float
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, durations: Sequence[float], seconds: float) -> Latencies:
        """Summarizes.

        Args:
            durations: seconds of each request that was answered.
            seconds: during which they were.

        Raises:
            ValueError: if nothing was answered.

        Example:
            >>> Latencies.of([0.001, 0.002, 0.003], 0.006)
            Latencies(rate=500.0, p50=2.0, p95=2.9, p99=2.98)
        """
        if not durations:
            raise ValueError(f"no request was answered in {seconds:.1f} s")
        percentiles = 1e3 * np.percentile(durations, [50, 95, 99])
        return cls(len(durations) / seconds, *(round(float(value), 6) for value in percentiles))

    @classmethod
    def median(cls, several: Sequence[Latencies]) -> Latencies:
        """The median of each number over several repeats."""
        return cls(
            *(
                statistics.median(getattr(each, field.name) for each in several)
                for field in dataclasses.fields(cls)
            )
        )


@dataclasses.dataclass(frozen=True)
class Window:
    """When a measurement begins and ends; what happens before warms up.

    Attributes:
        begin: seconds, as `time.perf_counter` counts them.
        end: likewise; no request is sent after it.
    """

    begin: float
    end: float

    def counts(self, finished: float) -> bool:
        """Whether a request counts that was answered at this time."""
        return self.begin <= finished <= self.end
