"""Plots for the docs, as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.figure
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator, StrMethodFormatter

from benchmarks.targets import NATIVE

COLORS = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#c9b500", "#0072b2", "#d55e00", "#cc79a7")
"""Okabe and Ito's palette, which color-blind readers can distinguish."""

Rows = Sequence[Mapping[str, str]]


def svg(figure: matplotlib.figure.Figure) -> str:
    """Renders a figure as SVG; equal figures yield equal text."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "benchmarks"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def logarithmic(axes: Axes) -> None:
    """Makes both axes logarithmic."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def best_of_jax(rows: Rows) -> dict[str, Mapping[str, str]]:
    """Finds JAX's fastest K by units."""
    best: dict[str, Mapping[str, str]] = {}
    for row in rows:
        if row["implementation"].startswith("JAX"):
            fastest = best.setdefault(row["units"], row)
            if float(row["milliseconds"]) < float(fastest["milliseconds"]):
                best[row["units"]] = row
    return best


def trial_throughput(rows: Rows) -> str:
    """Plots milliseconds per sequence by units, with one line per implementation."""
    best = best_of_jax(rows)
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        name, _, trials = row["implementation"].partition(", K")
        if (trials and row is not best[row["units"]]) or (name, row["variant"]) == (NATIVE, "NP"):
            continue
        point = (int(row["units"]), float(row["milliseconds"]))
        lines.setdefault(f"{name}, best K" if trials else name, []).append(point)
    figure = matplotlib.figure.Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    for place, (name, points) in enumerate(lines.items()):
        axes.plot(
            *zip(*points, strict=True),
            marker="o",
            color=COLORS[place % len(COLORS)],
            linestyle="-" if place < len(COLORS) else "--",
            linewidth=2.5 if name == NATIVE else 1.2,
            label=name,
        )
    logarithmic(axes)
    sizes = sorted({units for points in lines.values() for units, _ in points})
    axes.set_xticks(sizes, [str(units) for units in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("units")
    axes.set_ylabel("milliseconds a sequence and trial")
    axes.grid(which="major", linewidth=0.4)
    figure.legend(loc="outside right center", frameon=False, fontsize="small")
    return svg(figure)
