"""What a soak has shown: counts, latencies, memory, and what is wrong."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.serving_peers.latencies import Latencies
from benchmarks.serving_peers.soak_load import REFUSED
from benchmarks.serving_peers.soaking import Growth, Sample


@dataclasses.dataclass(frozen=True)
class Summary:
    """A soak in numbers.

    Attributes:
        minutes: between the first sample and the last one.
        answered: requests with the right answer.
        refused: requests that the server had no time for, and said so.
        lost: all others, by status.
        versions: versions that right answers came from.
        reloads: versions published and loaded.
        slowest_reload: seconds from a version's rename to its being loaded, at most.
        median_reload: likewise, the median.
        worst: largest difference of a right answer to Keras.
        latencies: of the requests that were answered.
        growth: of the server's memory.
        most_threads: of the server.
        most_descriptors: open files and sockets of the server.
        status: exit status of the server.
    """

    minutes: float
    answered: int
    refused: int
    lost: Mapping[str, int]
    versions: int
    reloads: int
    slowest_reload: float
    median_reload: float
    worst: float
    latencies: Latencies
    growth: Growth
    most_threads: int
    most_descriptors: int
    status: int

    @classmethod
    def of(
        cls,
        counted: Mapping[str, Any],
        samples: Sequence[Sample],
        reloads: Sequence[float],
        status: int,
    ) -> Summary:
        """Summarizes.

        Args:
            counted: what `SoakLoad.run` returns.
            samples: of the server.
            reloads: seconds of each.
            status: exit status of the server.

        Raises:
            ValueError: if nothing was answered.
        """
        seconds = samples[-1].when - samples[0].when
        statuses = dict(counted["statuses"])
        answered = statuses.pop("OK", 0)
        refused = sum(statuses.pop(name, 0) for name in REFUSED)
        return cls(
            minutes=seconds / 60,
            answered=answered,
            refused=refused,
            lost=statuses,
            versions=len(counted["versions"]),
            reloads=len(reloads),
            slowest_reload=max(reloads, default=0.0),
            median_reload=statistics.median(reloads) if reloads else 0.0,
            worst=counted["worst"],
            latencies=Latencies.of([duration for _, duration in counted["times"]], seconds),
            growth=Growth.of(samples),
            most_threads=max(sample.threads for sample in samples),
            most_descriptors=max(sample.descriptors for sample in samples),
            status=status,
        )

    def row(self) -> dict[str, Any]:
        """The line of the table."""
        return {
            "minutes": round(self.minutes, 2),
            "requests_answered": self.answered,
            "requests_refused": self.refused,
            "requests_lost": sum(self.lost.values()),
            "requests_per_second": round(self.latencies.rate, 1),
            "p50_ms": round(self.latencies.p50, 1),
            "p95_ms": round(self.latencies.p95, 1),
            "p99_ms": round(self.latencies.p99, 1),
            "largest_difference": f"{self.worst:.1e}",
            "reloads": self.reloads,
            "versions_answering": self.versions,
            "median_reload_seconds": round(self.median_reload, 2),
            "slowest_reload_seconds": round(self.slowest_reload, 2),
            "resident_mib_at_10_percent": round(self.growth.early, 1),
            "resident_mib_at_50_percent": round(self.growth.middle, 1),
            "resident_mib_at_100_percent": round(self.growth.late, 1),
            "growth_mib_per_minute": round(self.growth.slope, 2),
            "most_threads": self.most_threads,
            "most_descriptors": self.most_descriptors,
            "exit_status": self.status,
        }

    def text(self) -> str:
        """The same, a number a line."""
        return "\n".join(
            f"{name.replace('_', ' '):32}{value}" for name, value in self.row().items()
        )

    def faults(self, growth: float) -> list[str]:
        """Names what must not be.

        Args:
            growth: MiB a minute that the server's memory may grow by.
        """
        found = [f"{count} requests lost: {status}" for status, count in self.lost.items()]
        if self.growth.slope > growth:
            found.append(f"memory grew by {self.growth.slope} MiB a minute, more than {growth}")
        if not self.reloads or self.versions < 2:
            found.append("no other version was reloaded and answered")
        if self.status:
            found.append(f"the server ended with status {self.status}")
        return found


def lines(
    times: Sequence[tuple[float, float]], samples: Sequence[Sample]
) -> list[dict[str, float]]:
    """Makes a line of each sample, with the requests answered since the one before.

    Args:
        times: when each answer came, and how many seconds it took.
        samples: of the server.

    Example:
        >>> times = [(1.0, 0.1), (2.0, 0.3), (6.0, 0.2)]
        >>> [line["p50_ms"] for line in lines(times, [Sample(when, 1, 2, 3) for when in (0, 5, 9)])]
        [200.0, 200.0]
    """
    found = []
    for before, sample in itertools.pairwise(samples):
        durations = [took for when, took in times if before.when < when <= sample.when]
        if not durations:
            continue
        latencies = Latencies.of(durations, sample.when - before.when)
        found.append(
            {
                "minutes": round((sample.when - samples[0].when) / 60, 3),
                "resident_mib": round(sample.resident_mib, 1),
                "threads": sample.threads,
                "descriptors": sample.descriptors,
                "requests_per_second": round(latencies.rate, 1),
                "p50_ms": round(latencies.p50, 1),
                "p99_ms": round(latencies.p99, 1),
            }
        )
    return found
