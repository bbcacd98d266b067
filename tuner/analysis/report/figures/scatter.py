"""Every trial: its score against each hyperparameter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.axes
import matplotlib.figure
import numpy as np

from common.text import significant
from tuner.analysis.report.figures import scales, style, svg
from tuner.analysis.statistics.summaries import VariantSummary
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.search.space import Hyperparameter, Space
from tuner.tasks.task import Metric
from tuner.training.protocol import TrialRecord

_EACH = 0.95
_PITCH = 1.2
_GAP = (np.nan, np.nan)


def draw(analysis: StudyAnalysis) -> svg.Figure | None:
    """Draws a row of panels per variant, one for each hyperparameter."""
    metric, records = analysis.metric, analysis.records
    space, trials = records.space, records.all_entries
    if not (analysis.summaries and space.varied):
        return None
    canvas, above = plot(analysis.summaries, records.entries, space, metric)
    diverged = sum(entry.result.diverged for entry in trials)
    caption = (
        f"Test {metric.name} at the best validation epoch of all {len(trials)} finished trials, by "
        "each hyperparameter; lower is better. A row a variant, all on the same vertical axis."
    )
    caption = " ".join([caption, *scales.turned(space.varied)])
    if diverged:
        caption += (
            f" Orange crosses: trials that diverged ({diverged}), with the score of their best "
            "epoch before that."
        )
    if above:
        caption += f" Triangles at the upper edge: scores far above the rest ({above})."
    best = min(trials, key=lambda entry: entry.result.test.mean)
    values = best.trial.values
    at = [f"{row.label} {row.write(values[row.name], 2)}" for row in scales.in_order(space)]
    description = (
        f"{len(trials)} points. The lowest test {metric.name} is "
        f"{significant(best.result.test.mean)} ({', '.join([best.trial.variant, *at])})."
    )
    return svg.render(canvas, "axes", "Every trial", caption, description)


def plot(
    summaries: Sequence[VariantSummary],
    entries: Mapping[str, Sequence[TrialRecord]],
    space: Space,
    metric: Metric,
) -> tuple[matplotlib.figure.Figure, int]:
    """Draws one panel per variant, and counts the trials above it.

    The hyperparameters are side by side in it: separate panels for 9 variants and 4 hyperparameters
    would take matplotlib four times as long.
    """
    factors = scales.in_order(space.varied)
    figure, panels = style.panels(
        _EACH, left=1.0, right=0.1, top=0.4, bottom=0.6, between=(0, 0.14),
        grid=(1, len(summaries)), share=True,
    )  # fmt: skip
    grid = panels[:, 0]
    lowest = min(one.test.minimum for one in summaries)
    highest = scales.common_end(lowest, [scales.shown_to(one.test) for one in summaries])
    scales.value_axis(grid[0].yaxis, lowest, highest, margin=0.08, ticks=4)
    grid[0].set_xlim(-0.02, _PITCH * (len(factors) - 1) + 1.02)
    grid[0].set_title(f"test {metric.name} ({metric.unit})", fontweight="normal", x=-0.11)
    above = 0
    for axes, one in zip(grid, summaries, strict=True):
        _draw_frames(axes, factors)
        above += _draw_points(axes, factors, entries[one.variant])
        axes.annotate(
            one.variant,
            (0, 0.5),
            xycoords="axes fraction",
            xytext=(-66, 0),
            textcoords="offset points",
            va="center",
            fontweight="bold",
        )
    _name_columns(grid[-1], factors)
    return figure, above


def _draw_points(
    axes: matplotlib.axes.Axes, factors: Sequence[Hyperparameter], trials: Sequence[TrialRecord]
) -> int:
    """Draws a trial once for each hyperparameter, and counts the trials above the panel.

    Points are lines of zero length, so that all of them form one short path in the file.
    """
    top = axes.get_ylim()[1]

    def points(chosen: Iterable[TrialRecord]) -> np.ndarray:
        return np.array(
            [
                (place * _PITCH + _across(factor.sampled(values[factor.name]), factor), score)
                for entry in chosen
                for values, score in [(entry.trial.values, min(entry.result.test.mean, top))]
                for place, factor in enumerate(factors)
            ]
        ).reshape(-1, 2)

    inside = [entry for entry in trials if entry.result.test.mean <= top]
    above = [entry for entry in trials if entry.result.test.mean > top]
    twice = np.repeat(points(entry for entry in inside if not entry.result.diverged), 3, axis=0)
    twice[2::3] = np.nan
    (line,) = axes.plot(
        *twice.T, color=style.INK, linewidth=2.6, solid_capstyle="round", alpha=0.6, label="trials"
    )
    line.get_path().should_simplify = False
    marks: dict[str, Any] = {
        "linestyle": "",
        "color": style.SIGNAL,
        "markersize": 4.5,
        "markeredgewidth": 1.2,
    }
    diverged = points(entry for entry in inside if entry.result.diverged)
    axes.plot(*diverged.T, marker="x", label="diverged", **marks)
    axes.plot(*points(above).T, marker="^", label="above", clip_on=False, **marks)
    return len(above)


def _across(quantity: float, factor: Hyperparameter) -> float:
    """Returns where a sampled quantity lies between the left and right end of its axis."""
    low, high = factor.sampled_range
    if factor.logarithmic:
        quantity, low, high = np.log(quantity), np.log(low), np.log(high)
    place = (quantity - low) / (high - low)
    return float(1 - place if factor.scale == "one_minus_log" else place)


def _draw_frames(axes: matplotlib.axes.Axes, factors: Sequence[Hyperparameter]) -> None:
    """Draws a baseline for each hyperparameter, and a grid at its ticks and at those of scores."""
    low, high = axes.get_ylim()
    grid, base = [], []
    for place, factor in enumerate(factors):
        left, right = place * _PITCH - 0.02, place * _PITCH + 1.02
        for value, _ in scales.factor_ticks(factor):
            across = place * _PITCH + _across(value, factor)
            grid += [(across, low), (across, high), _GAP]
        for score in axes.get_yticks():
            grid += [(left, score), (right, score), _GAP]
        base += [(left, low), (right, low), _GAP]
    axes.plot(*np.array(grid).T, color=style.GRID, linewidth=0.6, zorder=1)
    axes.plot(*np.array(base).T, color=style.MUTED, linewidth=0.8, zorder=1, clip_on=False)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0)


def _name_columns(axes: matplotlib.axes.Axes, factors: Sequence[Hyperparameter]) -> None:
    ticks = [
        (place * _PITCH + _across(value, factor), words)
        for place, factor in enumerate(factors)
        for value, words in scales.factor_ticks(factor)
    ]
    axes.set_xticks([place for place, _ in ticks], [words for _, words in ticks])
    for place, factor in enumerate(factors):
        axes.annotate(
            factor.label,
            (place * _PITCH + 0.5, 0),
            xycoords=("data", "axes fraction"),
            xytext=(0, -24),
            textcoords="offset points",
            ha="center",
            va="top",
        )
