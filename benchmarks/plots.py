"""The plots of docs/performance.md as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.figure
import matplotlib.ticker

from benchmarks.implementations import NATIVE

# Okabe and Ito's colors, which color-blind readers tell apart.
_COLORS = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#c9b500", "#0072b2", "#d55e00", "#cc79a7")
_BEST_K = "JAX vmap + lax.scan, best K"

Rows = Sequence[Mapping[str, str]]


def _svg(figure: matplotlib.figure.Figure) -> str:
    text = io.StringIO()
    # Equal plots are equal files.
    with matplotlib.rc_context({"svg.hashsalt": "benchmarks"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def best_of_jax(rows: Rows) -> dict[str, Mapping[str, str]]:
    """Finds JAX' fastest K by units."""
    best: dict[str, Mapping[str, str]] = {}
    for row in rows:
        if row["implementation"].startswith("JAX"):
            fastest = best.setdefault(row["units"], row)
            if float(row["milliseconds"]) < float(fastest["milliseconds"]):
                best[row["units"]] = row
    return best


def trial_throughput(rows: Rows) -> str:
    """Draws milliseconds a sequence by units, a line for each implementation.

    Args:
        rows: of `trial_throughput.csv`.
    """
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if row["implementation"].startswith("JAX") or (
            row["implementation"] == NATIVE and row["variant"] != "V"
        ):
            continue
        point = (int(row["units"]), float(row["milliseconds"]))
        lines.setdefault(row["implementation"], []).append(point)
    for units, row in best_of_jax(rows).items():
        lines.setdefault(_BEST_K, []).append((int(units), float(row["milliseconds"])))
    figure = matplotlib.figure.Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    for place, (name, points) in enumerate(lines.items()):
        axes.plot(
            *zip(*points, strict=True),
            marker="o",
            color=_COLORS[place % len(_COLORS)],
            linestyle="-" if place < len(_COLORS) else "--",
            linewidth=2.5 if name == NATIVE else 1.2,
            label=name,
        )
    sizes = sorted({units for points in lines.values() for units, _ in points})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, [str(units) for units in sizes])
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.yaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:g}"))
    axes.set_xlabel("units")
    axes.set_ylabel("milliseconds a sequence and trial")
    axes.grid(which="major", linewidth=0.4)
    figure.legend(loc="outside right center", frameon=False, fontsize="small")
    return _svg(figure)


def memory(rows: Rows) -> str:
    """Draws a worker's memory by trials finished.

    Args:
        rows: of `memory.csv`.
    """
    figure = matplotlib.figure.Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    trials = [int(row["trials"]) for row in rows]
    for color, name in zip(_COLORS, ("resident", "unique"), strict=False):
        axes.plot(trials, [float(row[f"{name}_mib"]) for row in rows], color=color, label=name)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("trials trained by one process")
    axes.set_ylabel("MiB")
    axes.grid(linewidth=0.4)
    axes.legend(frameon=False, fontsize="small")
    return _svg(figure)


def soak(rows: Rows) -> str:
    """Draws a server's memory and latencies by the minutes that it was kept busy.

    Args:
        rows: of `soak_samples.csv`.
    """
    figure = matplotlib.figure.Figure(figsize=(9, 4.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    minutes = [float(row["minutes"]) for row in rows]
    above.plot(minutes, [float(row["resident_mib"]) for row in rows], color=_COLORS[0])
    above.set_ylim(bottom=0)
    above.set_ylabel("MiB")
    for color, name in zip(_COLORS[1:], ("p50", "p99"), strict=False):
        below.plot(minutes, [float(row[f"{name}_ms"]) for row in rows], color=color, label=name)
    below.set_yscale("log")
    below.yaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:g}"))
    below.set_ylabel("ms")
    below.set_xlabel("minutes at saturation")
    below.legend(frameon=False, fontsize="small")
    for axes in (above, below):
        axes.grid(linewidth=0.4)
    return _svg(figure)


def guided_es(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draws what is left to gain by updates, for each kind of surrogate gradient.

    Args:
        rows: of `guided_es.csv`.
    """
    figure = matplotlib.figure.Figure(figsize=(9, 4), layout="constrained")
    each = figure.subplots(1, 2, sharey=True)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for axes, surrogate in zip(each, ("bias", "bias and noise"), strict=True):
        lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for row in rows:
            if row["surrogate"] in (surrogate, "none") and int(row["step"]):
                line = lines.setdefault((row["method"], str(row["stream"])), [])
                line.append((int(row["step"]), float(row["gap"])))
        for (method, stream), points in lines.items():
            axes.plot(
                *zip(*points, strict=True),
                color=_COLORS[methods.index(method)],
                linestyle="--" if "expected" in method else "-",
                linewidth=1.2,
                label=method if stream == "0" else None,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        axes.set_yticks([0.01, 0.02, 0.05, 0.1, 0.2])
        axes.set_title(f"surrogate gradient with {surrogate}", fontsize="medium")
        axes.set_xlabel("updates")
        axes.grid(linewidth=0.4)
    each[0].set_ylabel("f(x) - f(x*)")
    each[0].legend(frameon=False, fontsize="small")
    return _svg(figure)
