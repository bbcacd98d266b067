"""The table of `benchmarks.serving`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.serving_peers.latencies import Latencies
from benchmarks.serving_peers.names import STAND_IN
from benchmarks.serving_peers.peers import PEERS

Key = tuple[str, str, int]
"""Signature, a name of `PEERS`, and requests under way."""


def rows(found: Mapping[Key, Sequence[Latencies]]) -> list[dict[str, Any]]:
    """Makes a line of each measurement.

    Args:
        found: what every repeat has found.

    Returns:
        Lines by signature, concurrency and peer; numbers are medians of the repeats, beside the
        rates of the slowest and of the fastest one. `times_stand_in` is the rate to that of the
        stand-in without batches; empty if that was not measured.
    """
    medians = {key: Latencies.median(several) for key, several in found.items()}
    order = list(PEERS)
    lines = []
    for key in sorted(medians, key=lambda key: (key[0], key[2], order.index(key[1]))):
        signature, name, concurrency = key
        latencies, rates = medians[key], [each.rate for each in found[key]]
        yardstick = medians.get((signature, STAND_IN, concurrency))
        lines.append(
            {
                "signature": signature,
                "server": name,
                "concurrency": concurrency,
                "requests_per_second": round(latencies.rate, 1),
                "fewest": round(min(rates), 1),
                "most": round(max(rates), 1),
                "p50_ms": round(latencies.p50, 2),
                "p95_ms": round(latencies.p95, 2),
                "p99_ms": round(latencies.p99, 2),
                "times_stand_in": round(latencies.rate / yardstick.rate, 2) if yardstick else "",
                "repeats": len(rates),
            }
        )
    return lines
