"""What the project wants to reach, beside what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from benchmarks.implementations import NATIVE
from benchmarks.serving_peers.names import STAND_IN

Rows = Sequence[Mapping[str, str]]
Results = Mapping[str, Rows]


@dataclasses.dataclass(frozen=True)
class Target:
    """A ratio or an amount that shall be reached.

    Attributes:
        work: what is compared.
        wanted: the bound, in words.
        measure: computes it from the results; the tables that it reads may be missing (`KeyError`)
            or lack what it needs (`ValueError` of an empty sequence).
        bound: the bound.
        at_most: whether the bound is an upper one.
        unit: behind the measured number.
    """

    work: str
    wanted: str
    measure: Callable[[Results], float]
    bound: float
    at_most: bool = False
    unit: str = "×"

    def reached(self, value: float) -> bool:
        """Whether a measured value is on the right side of the bound."""
        return value <= self.bound if self.at_most else value >= self.bound


def _peer(name: str, units: Sequence[str] = ()) -> Callable[[Results], float]:
    """The least factor by which the native engine is faster than the best peer of a name."""

    def measure(results: Results) -> float:
        rows = results["trial_throughput"]
        return min(
            float(row["times_native"])
            for row in rows
            if row["implementation"].startswith(name) and (not units or row["units"] in units)
        )

    return measure


def _exactly(name: str, units: str) -> Callable[[Results], float]:
    def measure(results: Results) -> float:
        return min(
            float(row["times_native"])
            for row in results["trial_throughput"]
            if row["implementation"] == name and row["units"] == units
        )

    return measure


def _jax(column: str, cell: str = "", units: str = "") -> Callable[[Results], float]:
    """The least factor in a column of engine `jax`, of the cells and sizes that are asked for."""

    def measure(results: Results) -> float:
        return min(
            float(row[column])
            for row in results["engines"]
            if row["engine"] == "jax" and cell in row["cell"] and units in ("", row["units"])
        )

    return measure


def _sgemm_share(results: Results) -> float:
    rows = results["scaling"] + [
        row for row in results["trial_throughput"] if row["implementation"] == NATIVE
    ]
    return 100 * min(
        float(row["sgemm_share"])
        for row in rows
        if row["variant"] == "V" and int(row["units"]) >= 64
    )


def _excess_of_variants(results: Results) -> float:
    return 100 * max(
        float(row["time_to_vanilla"]) / float(row["arithmetic_to_vanilla"]) - 1.0
        for row in results["scaling"]
    )


def _two_workers(results: Results) -> float:
    gains = sorted(float(row["gain"]) for row in results["scaling"] if row["processes"] == "2")
    if not gains:
        raise ValueError("measured on one core")
    return gains[len(gains) // 2]


def _report_seconds(results: Results) -> float:
    return max(
        float(row["seconds"])
        for row in results["report_time"]
        if row["trials"] == "1800" and not row["arguments"]
    )


def _layer(peer: str, variants: Sequence[str]) -> Callable[[Results], float]:
    """The least factor by which `zoo.RNN` is faster than a peer that is compiled alike."""

    def measure(results: Results) -> float:
        rows = results["layer"]
        ours = {
            (row["shape"], row["variant"], row["compiled"]): float(row["milliseconds"])
            for row in rows
            if row["layer"] == "zoo.RNN"
        }
        peers = {
            (row["shape"], row["variant"], row["compiled"]): float(row["milliseconds"])
            for row in rows
            if row["layer"] == peer
        }
        return min(
            peers[key if key in peers else (key[0], "NP", key[2])] / milliseconds
            for key, milliseconds in ours.items()
            if key[1] in variants
        )

    return measure


def _served(signature: str, server: str, concurrency: int, column: str, rows: Rows) -> float:
    (row,) = (
        row
        for row in rows
        if (row["signature"], row["server"]) == (signature, server)
        and row["concurrency"] == str(concurrency)
    )
    return float(row[column])


def _batches_against(*servers: str) -> Callable[[Results], float]:
    """How many times as many sequences the stand-in answers in batches as the best of others."""

    def measure(results: Results) -> float:
        rates = [
            _served("serving_default", name, 16, "requests_per_second", results["serving"])
            for name in (f"{STAND_IN}, batches", *servers)
        ]
        return rates[0] / max(rates[1:])

    return measure


def _seconds(what: str, of: str) -> Callable[[Results], float]:
    """The most seconds that something takes in `serving_start.csv`."""

    def measure(results: Results) -> float:
        rows = results["serving_start"]
        return max(
            float(row["seconds"])
            for row in rows
            if row["what"] == what and row["of"].startswith(of)
        )

    return measure


def _ray_milliseconds(results: Results) -> float:
    """What a trial takes the study's process with the most workers on Ray."""
    rows = [row for row in results["ray_scaling"] if row["pool"] == "ray"]
    return float(max(rows, key=lambda row: int(row["workers"]))["driver_ms"])


TARGETS = (
    Target(
        "trial throughput against `keras.layers.RNN(cell)` under `fit`, 64 units",
        "55×",
        _exactly("keras.layers.RNN(cell)", "64"),
        55,
    ),
    Target(
        "the same with `jit_compile=True`",
        "18×",
        _exactly("keras.layers.RNN(cell), jit_compile", "64"),
        18,
    ),
    Target(
        "against JAX `vmap` + `lax.scan` at its best K, least of all sizes",
        "1.8×",
        _peer("JAX"),
        1.8,
    ),
    Target(
        "against PyTorch `nn.LSTM` (no peepholes), 32 units",
        "6×",
        _peer("torch.nn", ["32"]),
        6,
    ),
    Target("the same, 64 units", "3.5×", _peer("torch.nn", ["64"]), 3.5),
    Target(
        "against a PyTorch peephole cell, the faster of eager and compiled, 64 units",
        "45×",
        _peer("PyTorch peephole", ["64"]),
        45,
    ),
    Target(
        "share of the core's sgemm rate, V, least of all sizes from 64 units",
        "60 % (75 % is the aim)",
        _sgemm_share,
        60,
        unit=" %",
    ),
    Target(
        "other variants: time to V's above arithmetic to V's, most of all variants and sizes",
        "15 %",
        _excess_of_variants,
        15,
        at_most=True,
        unit=" %",
    ),
    Target(
        "`zoo.RNN` against `keras.layers.RNN(cell)`, compiled alike, least of all shapes",
        "3×",
        _layer("keras.layers.RNN(cell)", ["V"]),
        3,
    ),
    Target(
        "`zoo.RNN` with V and NP against `keras.layers.LSTM`, least of all shapes",
        "1×",
        _layer("keras.layers.LSTM", ["V", "NP"]),
        1,
    ),
    Target(
        "engine `jax`: times the native engine's time, V, 64 units",
        "2.2×",
        _jax("times_native", "V", "64"),
        2.2,
        at_most=True,
    ),
    Target(
        "engine `jax` against engine `keras`, V, FGR and GRU, least of all sizes",
        "15×",
        _jax("keras_times"),
        15,
    ),
    Target("two workers against one, median of variants and sizes", "1.9×", _two_workers, 1.9),
    Target(
        "the paper's study of music, 1,800 trials, extrapolated by the cost model",
        "5 h (3.5 h is the aim)",
        lambda results: float(results["study"][0]["hours_by_model"]),
        5,
        at_most=True,
        unit=" h",
    ),
    Target(
        "a trial more on Ray, for the process of a study with 256 workers",
        "20 ms",
        _ray_milliseconds,
        20,
        at_most=True,
        unit=" ms",
    ),
    Target(
        "the report of 1,800 trials, from the start of its process to its end",
        "15 s",
        _report_seconds,
        15,
        at_most=True,
        unit=" s",
    ),
    Target(
        "the development server, sequences, 16 under way: batches against none",
        "2×",
        _batches_against(STAND_IN),
        2,
    ),
    Target(
        "the same against Ray Serve, the faster of with and without batches",
        "2×",
        _batches_against("Ray Serve", "Ray Serve, batches"),
        2,
    ),
    Target(
        "the development server, `step`, one under way, median",
        "2 ms",
        lambda results: _served("step", STAND_IN, 1, "p50_ms", results["serving"]),
        2,
        at_most=True,
        unit=" ms",
    ),
    Target(
        "from its start to its first answer, the slower of with and without batches",
        "8 s",
        _seconds("first answer", STAND_IN),
        8,
        at_most=True,
        unit=" s",
    ),
    Target(
        "`python -m serving.export`, the slowest variant",
        "20 s",
        _seconds("serving.export", ""),
        20,
        at_most=True,
        unit=" s",
    ),
    Target(
        "requests that it lost in ten minutes at saturation with new versions every few seconds",
        "0",
        lambda results: float(results["soak"][0]["requests_lost"]),
        0,
        at_most=True,
        unit="",
    ),
)
"""In the order of the table."""
