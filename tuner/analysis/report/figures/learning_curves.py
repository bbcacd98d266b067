"""Learning curves of the best trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.axes
import matplotlib.figure
import matplotlib.ticker
import numpy as np

from common.text import significant
from tuner.analysis.report.figures import scales, style, svg
from tuner.analysis.statistics.summaries import VariantSummary
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.tasks.task import Metric
from tuner.training.protocol import Epoch, TrialRecord

_FEW = 12


def draw(analysis: StudyAnalysis) -> svg.Figure | None:
    """Draws validation scores by epoch: each variant's best trial bold, its best tenth thin."""
    shown = [summary for summary in analysis.summaries if _trained(summary.best)]
    if not shown:
        return None
    metric = analysis.metric
    canvas, hidden = plot(shown, style.series(analysis.records.entries), metric)
    best = min(shown, key=lambda summary: summary.best.result.validation.mean)
    return svg.render(
        canvas,
        "learning_curves",
        "Learning curves of the best trials",
        _caption(shown, metric, hidden),
        f"Validation {metric.name} by epoch. Best trial of each variant: "
        + ", ".join(
            f"{summary.variant} {significant(summary.best.result.validation.mean)} in epoch "
            f"{summary.best.result.best_epoch}"
            for summary in shown
        )
        + f". The lowest is {best.variant}'s.",
    )


def plot(
    summaries: Sequence[VariantSummary], styles: Mapping[str, style.Series], metric: Metric
) -> tuple[matplotlib.figure.Figure, int]:
    """Draws the curves, and counts the points above the panel."""
    figure, ((axes,),) = style.panels(3.85, left=0.75, right=1.6, top=0.15, bottom=0.6)
    points = [point for summary in summaries for entry in summary.top for point in _trained(entry)]
    low, high = _limits([point.validation for point in points])
    scales.value_axis(axes.yaxis, low, high)
    high = axes.get_ylim()[1]
    handles = []
    for summary in sorted(summaries, key=lambda one: one.best.result.validation.mean):
        series = styles[summary.variant]
        _draw_thin(axes, summary.top[1:], series)
        _draw_best(axes, summary.best, series)
        above = min(point.validation for point in _trained(summary.best)) > high
        label = f"{summary.variant} (above)" if above else summary.variant
        handles.append(style.legend_line(series, label, marker=True))
    last = max(point.epoch for point in points)
    axes.set_xlim(1 - 0.02 * last if last > 1 else 0, last * 1.02)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"validation {metric.name} ({metric.unit})")
    style.legend_beside(axes, handles, "best first")
    return figure, sum(point.validation > high for point in points)


def _draw_thin(
    axes: matplotlib.axes.Axes, entries: Sequence[TrialRecord], series: style.Series
) -> None:
    """Draws all of them as one line with gaps, hence one path in the file."""
    epochs: list[float] = []
    values: list[float] = []
    for entry in entries:
        epochs += [point.epoch for point in _trained(entry)] + [np.nan]
        values += [point.validation for point in _trained(entry)] + [np.nan]
    if epochs:
        axes.plot(epochs, values, color=series.color, linewidth=0.6, alpha=0.45, zorder=2)


def _draw_best(axes: matplotlib.axes.Axes, entry: TrialRecord, series: style.Series) -> None:
    curve = _trained(entry)
    axes.plot(
        [point.epoch for point in curve],
        [point.validation for point in curve],
        color=series.color,
        linestyle=series.dash,
        linewidth=2.0,
        marker="." if len(curve) < _FEW else "",
        zorder=3,
        label=entry.trial.variant,
    )
    chosen = [point for point in curve if point.epoch == entry.result.best_epoch]
    axes.plot(
        [point.epoch for point in chosen],
        [point.validation for point in chosen],
        color=series.color,
        marker=series.marker,
        markersize=8,
        markeredgecolor=style.PAPER,
        markeredgewidth=0.8,
        linestyle="",
        zorder=4,
    )


def _trained(entry: TrialRecord) -> list[Epoch]:
    """Returns the epochs of a trial without the untrained network, which is far off."""
    return [point for point in entry.result.curve if point.epoch > 0]


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Returns the ends of the axis: all values up to the upper fence of Tukey's box plots."""
    quarter, three_quarters = np.quantile(values, [0.25, 0.75])
    fence = three_quarters + 1.5 * (three_quarters - quarter)
    return min(values), max(value for value in values if value <= fence)


def _caption(summaries: Sequence[VariantSummary], metric: Metric, hidden: int) -> str:
    thin = sum(len(summary.top) - 1 for summary in summaries)
    words = [
        f"Validation {metric.name} by epoch, lower is better. Bold: the trial of each variant with "
        "the best validation score, with a marker at the epoch whose weights count."
    ]
    if thin:
        words.append(f"Thin: the other trials of the best tenths ({thin}).")
    words.append("The untrained network (epoch 0) is left out.")
    if hidden:
        words.append(
            f"Points beyond the upper edge ({hidden}) lie more than 1.5 interquartile ranges above "
            "the upper quartile."
        )
    return " ".join(words)
