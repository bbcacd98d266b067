"""How much search each variant needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.figure
import numpy as np

from common.text import significant
from tuner.analysis.report.figures import scales, style, svg
from tuner.analysis.statistics.summaries import BASELINE, ExpectedBest
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.tasks.task import Metric


def draw(analysis: StudyAnalysis) -> svg.Figure | None:
    """Draws the expected test score of the best of n trials, by n on a log axis.

    The estimator is that of Dodge et al., "Show Your Work: Improved Reporting of Experimental
    Results" (EMNLP 2019), https://aclanthology.org/D19-1224.
    """
    shown = [curve for curve in analysis.expected_best if len(curve.test) > 1]
    if not shown:
        return None
    metric = analysis.metric
    with_band = _with_band(shown)
    caption = (
        f"Expected test {metric.name} of the trial that is best by validation, if only n of a "
        "variant's trials had been run (n on a log scale; lower is better). Markers: at the ticks "
        "and at all trials. "
        f"Band: {with_band.variant} ± one standard deviation of the validation score of the best "
        "of n."
    )
    if len(shown) < len(analysis.expected_best):
        caption += " Variants with a single trial are left out."
    description = f"Expected test {metric.name} of the best of n trials: " + "; ".join(
        f"{curve.variant} {significant(curve.test[0])} for one trial, "
        f"{significant(curve.test[-1])} for {len(curve.test)}"
        for curve in shown
    )
    return svg.render(
        plot(shown, style.series(analysis.records.entries), metric),
        "expected_best",
        "Expected best of n trials",
        caption,
        description + ".",
    )


def plot(
    curves: Sequence[ExpectedBest], styles: Mapping[str, style.Series], metric: Metric
) -> matplotlib.figure.Figure:
    """Draws one line per variant, with markers at 1, 2, 5, 10, ... trials."""
    figure, ((axes,),) = style.panels(3.65, left=0.75, right=1.4, top=0.15, bottom=0.6)
    most = max(len(curve.test) for curve in curves)
    ticks = [tick for tick in scales.log_ticks(1, max(most, 20), fewest=5) if tick <= most]
    lowest = min(min(curve.test) for curve in curves)
    scales.value_axis(
        axes.yaxis, lowest, scales.common_end(lowest, [max(curve.test) for curve in curves])
    )
    handles = []
    for curve in sorted(curves, key=lambda one: one.test[-1]):
        series = styles[curve.variant]
        axes.plot(
            np.arange(1, len(curve.test) + 1),
            curve.test,
            color=series.color,
            linestyle=series.dash,
            linewidth=2.0,
            marker=series.marker,
            markersize=5.5,
            markevery=[int(n) - 1 for n in (*ticks, len(curve.test)) if n <= len(curve.test)],
            label=curve.variant,
            zorder=4 if curve.variant == BASELINE else 3,
        )
        above = min(curve.test) > axes.get_ylim()[1]
        label = f"{curve.variant} (above)" if above else curve.variant
        handles.append(style.legend_line(series, label, marker=True))
    with_band = _with_band(curves)
    middle, std = np.array(with_band.test), np.array(with_band.std)
    axes.fill_between(
        np.arange(1, len(middle) + 1),
        middle - std,
        middle + std,
        color=styles[with_band.variant].color,
        alpha=0.13,
        linewidth=0,
    )
    axes.set_xscale("log")
    axes.set_xlim(0.92, most * 1.08)
    axes.set_xticks(ticks, [scales.number(tick) for tick in ticks], minor=False)
    axes.minorticks_off()
    axes.set_xlabel("trials (n)")
    axes.set_ylabel(f"expected test {metric.name} ({metric.unit})")
    style.legend_beside(axes, handles, "at the right end,\nbest first")
    return figure


def _with_band(curves: Sequence[ExpectedBest]) -> ExpectedBest:
    """Returns the curve that gets a band: the baseline's, or the first."""
    return next((curve for curve in curves if curve.variant == BASELINE), curves[0])
