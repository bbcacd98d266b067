"""Performance targets of the project, and how they are computed from measurements."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

NATIVE = "native engine"
"""Name of the engine that trains a trial fastest."""

SERVER = "development server"
"""Name of the server."""

Results = Mapping[str, Sequence[Mapping[str, str]]]
"""The rows of every file, by name."""


Frames = Callable[..., pd.DataFrame]
"""The function `frames`, bound to some results."""

Measure = Callable[[Frames], float]


def frames(results: Results, name: str, /, **wanted: Any) -> pd.DataFrame:
    """Selects a table's rows by values, or by prefix with `TEXT*`; columns become numbers."""
    frame = pd.DataFrame(results[name]).replace("", None)
    for column in frame:
        numbers = pd.to_numeric(frame[column], errors="coerce")
        # Also for a ratio that not all rows have.
        if numbers.notna().equals(frame[column].notna()):
            frame[column] = numbers
    for column, value in wanted.items():
        if isinstance(value, str) and value.endswith("*"):
            frame = frame[frame[column].str.startswith(value[:-1])]
        else:
            frame = frame[frame[column] == value]
    return frame


@dataclasses.dataclass(frozen=True)
class Target:
    """A ratio or an amount to reach; `aim` names a more ambitious goal.

    It is computed from the results; the tables that it reads may be missing (`KeyError`) or lack
    what it needs (then it is NaN).
    """

    bound: float
    measure: Measure
    unit: str = "×"
    at_most: bool = False
    aim: str = ""

    def reached(self, value: float) -> bool:
        """Returns whether a measured value is on the right side of the bound."""
        return value <= self.bound if self.at_most else value >= self.bound


def _at_most(bound: float, unit: str, measure: Measure, aim: str = "") -> Target:
    return Target(bound, measure, unit, at_most=True, aim=aim)


def _faster_than(name: str, **wanted: Any) -> Measure:
    """Measures the smallest factor by which the native engine is faster than peers of a name."""
    return lambda of: of("trial_throughput", implementation=name, **wanted).times_native.min()


def _sgemm_share(of: Frames) -> float:
    rows = pd.concat(
        [of("trial_throughput", implementation=NATIVE, variant="V"), of("scaling", variant="V")]
    )
    return 100 * rows[rows.units >= 64].sgemm_share.min()


def _excess_of_variants(of: Frames) -> float:
    rows = of("scaling")
    return 100 * (rows.time_to_vanilla / rows.arithmetic_to_vanilla - 1).max()


def _against_keras_lstm(of: Frames) -> float:
    """Compares both V and NP with Keras' LSTM, which has no peepholes."""
    key = ["shape", "compiled"]
    peers = of("layer", layer="keras.layers.LSTM").set_index(key).milliseconds
    ours = [of("layer", layer="zoo.RNN", variant=code) for code in ("V", "NP")]
    return min((peers / rows.set_index(key).milliseconds).min() for rows in ours)


def _rate(of: Frames, server: str = f"{SERVER}, batches") -> float:
    rows = of("serving", signature="serving_default", server=server, concurrency=16)
    return rows.requests_per_second.max()


def _in_batches(*servers: str) -> Measure:
    """Measures the throughput of our server with batches relative to the best of others."""
    return lambda of: _rate(of) / max(_rate(of, name) for name in servers)


def _step(of: Frames) -> float:
    return of("serving", signature="step", server=SERVER, concurrency=1).p50_ms.max()


def _starts(what: str, of_what: str) -> Measure:
    return lambda of: of("serving_start", what=what, of=of_what).seconds.max()


TARGETS = {
    "trial throughput against `keras.layers.RNN(cell)` under `fit`, 64 units": Target(
        55, _faster_than("keras.layers.RNN(cell)", units=64)
    ),
    "the same with `jit_compile=True`": Target(
        18, _faster_than("keras.layers.RNN(cell), jit_compile", units=64)
    ),
    "against JAX `vmap` + `lax.scan` at its best K, least of all sizes": Target(
        1.8, _faster_than("JAX*")
    ),
    "against PyTorch `nn.LSTM` (no peepholes), 32 units": Target(
        6, _faster_than("torch.nn*", units=32)
    ),
    "the same, 64 units": Target(3.5, _faster_than("torch.nn*", units=64)),
    "against a PyTorch peephole cell, the faster of eager and compiled, 64 units": Target(
        45, _faster_than("PyTorch peephole*", units=64)
    ),
    "share of the core's sgemm rate, V, least of all sizes from 64 units": Target(
        60, _sgemm_share, " %", aim=" (75 % is the aim)"
    ),
    "other variants: time to V's above arithmetic to V's, most of all variants and sizes": _at_most(
        15, " %", _excess_of_variants
    ),
    "`zoo.RNN` against `keras.layers.RNN(cell)`, compiled alike, least of all shapes": Target(
        3, lambda of: of("layer", layer="keras.layers.RNN(cell)", variant="V").times_zoo.min()
    ),
    "`zoo.RNN` with V and NP against `keras.layers.LSTM`, least of all shapes": Target(
        1, _against_keras_lstm
    ),
    "engine `jax`: times the native engine's time, V, 64 units": _at_most(
        2.2, "×", lambda of: of("engines", engine="jax", cell="V", units=64).times_native.min()
    ),
    "engine `jax` against engine `keras`, a cell of Keras (GRU), least of all sizes": Target(
        15, lambda of: of("engines", engine="jax", cell="keras.layers:GRUCell").keras_times.min()
    ),
    "two workers against one, median of variants and sizes": Target(
        1.9, lambda of: of("scaling", processes=2).gain.median()
    ),
    "the paper's study of music, 1,800 trials, extrapolated by the cost model": _at_most(
        5, " h", lambda of: of("study").hours_by_model.max(), " (3.5 h is the aim)"
    ),
    "a trial more on Ray, for the process of a study with 256 workers": _at_most(
        20, " ms", lambda of: of("ray_scaling", pool="ray", workers=256).driver_ms.max()
    ),
    "the report of 1,800 trials, from the start of its process to its end": _at_most(
        15, " s", lambda of: of("report_time", trials=1800).seconds.min()
    ),
    "the development server, sequences in batches, 16 under way": Target(1200, _rate, " a second"),
    "the same against the development server without batches": Target(2, _in_batches(SERVER)),
    "the same against Ray Serve, the faster of with and without batches": Target(
        2, _in_batches("Ray Serve", "Ray Serve, batches")
    ),
    "the development server, `step`, one under way, median": _at_most(1.1, " ms", _step),
    "from its start to its first answer, the slower of with and without batches": _at_most(
        2, " s", _starts("first answer", f"{SERVER}*")
    ),
    "`python -m serving.export`, the slowest variant": _at_most(
        20, " s", _starts("serving.export", "*")
    ),
}
"""Targets by what they compare, in the order of the table."""
