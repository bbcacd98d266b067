"""Every trial: its score against each hyperparameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import matplotlib.axes
import matplotlib.figure
import numpy as np

from tuner.analysis.factors import Factor
from tuner.analysis.figures import scales, style, svg
from tuner.analysis.notation import significant
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.ledger import Entry
from tuner.tasks.task import Metric

_EACH = 0.95


def draw(analysis: StudyAnalysis) -> svg.Figure | None:
    """Draws a row of panels a variant, one for each hyperparameter."""
    entries = {variant: trials for variant, trials in analysis.records.entries.items() if trials}
    if not entries:
        return None
    metric = analysis.metric
    trials = [entry for each in entries.values() for entry in each]
    diverged = sum(entry.result.diverged for entry in trials)
    caption = (
        f"Test {metric.name} at the best validation epoch of all {len(trials)} finished trials, by "
        "each hyperparameter; lower is better. A row a variant, all on the same vertical axis. "
        "Momentum is laid out as 1 − momentum on a log scale."
    )
    if diverged:
        caption += (
            f" Orange crosses: the {diverged} trials that diverged, with the score of their best "
            "epoch before that."
        )
    best = min(trials, key=lambda entry: entry.result.test.mean)
    description = (
        f"{len(trials)} points. The lowest test {metric.name} is "
        f"{significant(best.result.test.mean)} ({best.trial.variant}, learning rate "
        f"{significant(best.trial.learning_rate, 2)}, {best.trial.units} units, momentum "
        f"{significant(best.trial.momentum, 2)}, input noise "
        f"{significant(best.trial.noise_std, 2)})."
    )
    space = analysis.records.facts["space"]
    return svg.render(
        plot(entries, space, metric), "axes", "Every trial", caption, description
    )


_DIVERGED = "#e2591a"

_VALUES: Mapping[str, Callable[[Entry], float]] = {
    "learning_rate": lambda entry: entry.trial.learning_rate,
    "units": lambda entry: entry.trial.units,
    "noise_std": lambda entry: entry.trial.noise_std,
    scales.MOMENTUM: lambda entry: 1 - entry.trial.momentum,
}


def plot(
    entries: Mapping[str, Sequence[Entry]], space: Mapping[str, Sequence[float]], metric: Metric
) -> matplotlib.figure.Figure:
    """Draws the points; ticks are written at the edges of the figure only."""
    factors = [_factor(name, *space[name]) for name in _VALUES]
    rows = len(entries)
    figure = style.canvas(0.15 + 0.6 + rows * _EACH + (rows - 1) * 0.14)
    figure.subplots_adjust(
        **style.margins(
            figure,
            left=0.95,
            right=0.2,
            top=0.15,
            bottom=0.6,
            between=(0.2, 0.14),
            grid=(len(factors), rows),
        )
    )
    grid = figure.subplots(rows, len(factors), squeeze=False, sharex="col", sharey=True)
    for panels, (variant, trials) in zip(grid, entries.items(), strict=True):
        for axes, factor in zip(panels, factors, strict=True):
            _draw_points(axes, factor, trials)
        panels[0].annotate(
            variant,
            (1, 1),
            xycoords=("axes fraction", "axes fraction"),
            xytext=(-4, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            fontweight="bold",
        )
    scores = [entry.result.test.mean for trials in entries.values() for entry in trials]
    scales.value_axis(grid[0, 0].yaxis, min(scores), max(scores), ticks=4)
    for axes, factor in zip(grid[-1], factors, strict=True):
        scales.factor_axis(axes.xaxis, factor)
    figure.supylabel(f"test {metric.name} ({metric.unit})", x=0.015, fontsize=10)
    return figure


def _factor(name: str, low: float, high: float) -> Factor:
    return Factor(name, name, low, high, "linear" if name == "noise_std" else "log")


def _draw_points(axes: matplotlib.axes.Axes, factor: Factor, trials: Sequence[Entry]) -> None:
    """Draws each point as a line without length: one short path in the file for all of them."""
    points = np.array(
        [
            (_VALUES[factor.name](entry), entry.result.test.mean)
            for entry in trials
            if not entry.result.diverged
        ]
    ).reshape(-1, 2)
    twice = np.repeat(points, 3, axis=0)
    twice[2::3] = np.nan
    (line,) = axes.plot(
        *twice.T, color=style.INK, linewidth=2.6, solid_capstyle="round", alpha=0.6
    )
    line.get_path().should_simplify = False
    diverged = [entry for entry in trials if entry.result.diverged]
    axes.plot(
        [_VALUES[factor.name](entry) for entry in diverged],
        [entry.result.test.mean for entry in diverged],
        linestyle="",
        marker="x",
        markersize=4.5,
        markeredgewidth=1.2,
        color=_DIVERGED,
    )
