"""Figures of a space of gates: the worth of its cells, and how well scores rank them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np

from common.text import significant
from tuner.analysis.report.figures import style, svg
from tuner.supernet.ranking import RankRow
from tuner.supernet.truth import CellTruth
from tuner.tasks.task import Metric
from zoo.gates import code_of
from zoo.variants import VARIANTS

_FLOOR = 0.005


def draw_cells(cells: Sequence[CellTruth], metric: Metric) -> svg.Figure:
    """Draws all cells by rank, with the paper's nine variants named.

    Args:
        cells: the cells, best first.
        metric: the metric of the task.
    """
    nine = {code_of(variant): code for code, variant in VARIANTS.items()}
    # The best cell itself can only be drawn at the end of a log scale.
    values = np.maximum([cell.nll - cells[0].nll for cell in cells], _FLOOR)
    low = np.minimum([cell.std for cell in cells], values - _FLOOR)
    with matplotlib.rc_context(style.SETTINGS):
        canvas, ((axes,),) = style.panels(3.65, left=1.05, right=0.4, top=0.15, bottom=0.6)
        places = np.arange(1, len(cells) + 1)
        axes.errorbar(
            places, values, [low, [cell.std for cell in cells]], fmt="o", markersize=3,
            color=style.MUTED, elinewidth=0.8,
        )  # fmt: skip
        named = [place for place, cell in enumerate(cells) if cell.code in nine]
        axes.plot(places[named], values[named], "o", markersize=6, color=style.ACCENT)
        for index, place in enumerate(named):
            # In turn above and below, for neighbors are closer than letters are high.
            up = index % 2 == 0
            axes.annotate(
                nine[cells[place].code], (places[place], values[place]), (0, 6 if up else -6),
                textcoords="offset points", rotation=90, ha="center", fontsize=8,
                va="bottom" if up else "top", color=style.ACCENT,
            )  # fmt: skip
        axes.set_yscale("log")
        ticks = [10.0**power for power in range(-2, 4)]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_ylim(_FLOOR / 1.3, 2 * values.max())
        axes.minorticks_off()
        axes.set_xlim(0, len(cells) + 1)
        axes.set_xlabel("rank of the cell")
        axes.set_ylabel(f"validation {metric.name} above the best\n({metric.unit})")
        listed = ", ".join(f"{nine[cells[p].code]} {significant(cells[p].nll)}" for p in named)
        return svg.render(
            canvas,
            "cells",
            "Every combination of gates",
            f"Mean validation {metric.name} of each cell over the seeds at its best learning rate, "
            "above that of the best cell, with the standard deviation over the seeds; vertical "
            "axis on a log scale that ends at 0.005. The paper's variants are named.",
            f"The paper's variants: {listed}.",
        )


def draw_ranks(rows: Mapping[int, Sequence[RankRow]], ceiling: float) -> svg.Figure:
    """Draws how well each score ranks the cells as the supernets are trained.

    Args:
        rows: the rows of each seed.
        ceiling: τ between the truth by one seed and that by another.
    """
    names = list(dict.fromkeys(row.score for own in rows.values() for row in own))
    epochs = sorted({row.epochs for own in rows.values() for row in own})
    looks = list(style.series(["V", *names]).values())
    with matplotlib.rc_context(style.SETTINGS):
        canvas, ((axes,),) = style.panels(3.65, left=0.85, right=2.1, top=0.15, bottom=0.6)
        axes.axhline(ceiling, color=style.INK, linewidth=0.8, linestyle=":")
        axes.axhline(0, color=style.MUTED, linewidth=0.8)
        means = {}
        for name, look in zip(names, looks, strict=False):
            found = np.array(
                [
                    [row.tau for row in own if row.score == name]
                    for own in rows.values()
                ]
            )
            means[name] = found.mean(axis=0)
            deviation = found.std(axis=0, ddof=1) if len(found) > 1 else np.zeros(len(epochs))
            axes.errorbar(
                epochs, means[name], deviation, color=look.color, linestyle=look.dash,
                marker=look.marker, markersize=4, linewidth=1.6, elinewidth=0.8,
            )  # fmt: skip
        ordered = sorted(means, key=lambda name: -means[name][-1])
        handles = [style.legend_line(looks[names.index(name)], name) for name in ordered]
        axes.set_xscale("log")
        axes.set_xticks(epochs, [str(number) for number in epochs])
        axes.minorticks_off()
        axes.set_xlabel("epochs of the supernet")
        axes.set_ylabel("Kendall's τ-b with the truth")
        style.legend_beside(axes, handles, "at the right end,\nbest first")
        return svg.render(
            canvas,
            "ranks",
            "How well scores rank the cells",
            "Kendall's τ-b between a score in the supernet and what the cells are worth, mean over "
            "the seeds with the standard deviation; the dotted line is the noise ceiling, τ of the "
            "truth by one seed with that by another.",
            "At the end: "
            + ", ".join(f"{name} {significant(means[name][-1], 2)}" for name in ordered)
            + f"; noise ceiling {significant(ceiling, 2)}.",
        )
