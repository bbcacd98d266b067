"""Box plots of the variants, as in Figure 3 of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.axes
import matplotlib.figure
import matplotlib.ticker
import numpy as np

from common.text import significant
from tuner.analysis.report.figures import scales, style, svg
from tuner.analysis.statistics.summaries import (
    LEVEL,
    Comparison,
    Distribution,
    InsufficientData,
    VariantSummary,
)
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.tasks.task import Metric

_MARKS = {"worse": "▲ worse", "better": "▼ better"}
_BOX_WIDTH = 0.5


def draw(analysis: StudyAnalysis) -> svg.Figure | None:
    """Draws test scores of all trials and of the best tenth of each variant."""
    if not analysis.summaries:
        return None
    metric, summaries = analysis.metric, analysis.summaries
    description = (
        f"Box plots of the test {metric.name} of {len(summaries)} variants. "
        "Median of the best tenth: "
        + ", ".join(
            f"{one.variant} {significant(one.top_test.median)}"
            + (f" ({verdict})" if (verdict := _verdict(analysis, one.variant)) else "")
            for one in summaries
        )
    )
    return svg.render(
        plot(summaries, analysis.comparisons, metric),
        "variants",
        "Test scores of the variants",
        _caption(analysis),
        description + ".",
    )


def plot(
    summaries: Sequence[VariantSummary],
    comparisons: Mapping[str, Comparison | InsufficientData],
    metric: Metric,
) -> matplotlib.figure.Figure:
    """Draws two panels of boxes, and bars of the parameters behind the lower one."""
    figure, ((upper,), (lower,)) = style.panels(
        2.675, left=0.75, right=0.8, top=0.35, bottom=0.65, between=(0, 0.85), grid=(1, 2)
    )
    verdicts = {
        variant: comparison.verdict
        for variant, comparison in comparisons.items()
        if isinstance(comparison, Comparison)
    }
    _draw_boxes(upper, [(one.variant, one.test, "") for one in summaries])
    upper.set_title("all trials")
    _draw_boxes(
        lower,
        [(one.variant, one.top_test, verdicts.get(one.variant, "")) for one in summaries],
    )
    lower.set_title("best tenth by validation")
    for axes in (upper, lower):
        axes.set_ylabel(f"test {metric.name} ({metric.unit})")
    _draw_parameters(lower, [one.parameters.mean for one in summaries])
    return figure


def _draw_boxes(
    axes: matplotlib.axes.Axes, boxes: Sequence[tuple[str, Distribution, str]]
) -> None:
    """Draws boxes at 1, 2, ...; significant differences have a thick blue box and a mark."""
    for place, (_, values, verdict) in enumerate(boxes, start=1):
        marked = verdict in _MARKS
        color = style.ACCENT if marked else style.INK
        line = {"color": color, "linewidth": 2.4 if marked else 1.1}
        axes.bxp(
            [
                {
                    "whislo": values.minimum,
                    "q1": values.lower_quartile,
                    "med": values.median,
                    "mean": values.mean,
                    "q3": values.upper_quartile,
                    "whishi": values.maximum,
                    "fliers": [],
                }
            ],
            positions=[place],
            widths=_BOX_WIDTH,
            showmeans=True,
            showfliers=False,
            manage_ticks=False,
            boxprops=line,
            whiskerprops=line | {"linewidth": 1.1},
            capprops=line | {"linewidth": 1.1},
            medianprops={"color": style.SIGNAL, "linewidth": 2.0},
            meanprops={
                "marker": "o",
                "markersize": 5,
                "markerfacecolor": style.SIGNAL,
                "markeredgecolor": style.PAPER,
                "markeredgewidth": 0.8,
            },
        )
    low = min(values.minimum for _, values, _ in boxes)
    high = scales.common_end(low, [scales.shown_to(values) for _, values, _ in boxes])
    wide = scales.value_axis(axes.yaxis, low, high)
    _say_what_is_cut(axes, [values for _, values, _ in boxes])
    if wide:
        axes.set_title("log scale", loc="right", fontweight="normal", color=style.MUTED)
    axes.set_xlim(0.4, len(boxes) + 0.6)
    axes.set_xticks(
        range(1, len(boxes) + 1),
        [
            "\n".join(filter(None, (variant, f"n = {values.count}", _MARKS.get(verdict))))
            for variant, values, verdict in boxes
        ],
    )
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")


def _say_what_is_cut(axes: matplotlib.axes.Axes, boxes: Sequence[Distribution]) -> None:
    """Notes where a whisker that leaves the panel ends, or where a whole box is."""
    high = axes.get_ylim()[1]
    for place, values in enumerate(boxes, start=1):
        if values.maximum <= high:
            continue
        inside = values.minimum <= high
        words = f"↑ {significant(values.maximum, 3)}"
        if not inside and values.count > 1:
            words = f"↑ {significant(values.minimum, 3)}\nto {significant(values.maximum, 3)}"
        # Next to the whisker, or next to the box if that leaves the panel, too.
        beside = _BOX_WIDTH / 2 if inside and values.upper_quartile > high else 0.0
        axes.annotate(
            words,
            (place + beside, high),
            xytext=(5 if inside else 0, 0),
            textcoords="offset points",
            ha="left" if inside else "center",
            va="top",
            fontsize=9,
        )


def _draw_parameters(axes: matplotlib.axes.Axes, means: Sequence[float]) -> None:
    """Draws bars behind the boxes, on their own axis on the right."""
    behind = axes.twinx()
    behind.set_zorder(axes.get_zorder() - 1)
    thousands = max(means) >= 10_000
    heights = np.array(means) / (1000 if thousands else 1)
    behind.bar(range(1, len(means) + 1), heights, width=0.8, color=style.GRID, alpha=0.7)
    behind.set_ylim(0, 1.6 * max(heights))
    behind.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    behind.yaxis.set_major_formatter(lambda value, _: scales.number(value))
    behind.set_ylabel("parameters" + " (thousands)" * thousands, color=style.MUTED)
    behind.tick_params(axis="y", labelcolor=style.MUTED, length=0)
    behind.grid(visible=False)


def _verdict(analysis: StudyAnalysis, variant: str) -> str:
    comparison = analysis.comparisons.get(variant)
    if isinstance(comparison, Comparison) and comparison.verdict in _MARKS:
        return f"significantly {comparison.verdict}"
    return ""


def _caption(analysis: StudyAnalysis) -> str:
    summaries = analysis.summaries
    trials = sum(one.finished for one in summaries)
    diverged = sum(one.diverged for one in summaries)
    words = [
        f"Test {analysis.metric.name} at the best validation epoch of all {trials} finished trials "
        "(above) and of each variant's best tenth by validation, rounded up (below); lower is "
        "better. Boxes: 25th to 75th percentile; whiskers: full range (where one leaves the panel, "
        "or a whole box is above it, an arrow says how far); line: median; dot: mean. "
        "Gray bars behind: mean number of parameters of the best tenth (right axis)."
    ]
    if diverged:
        words.append(f"Diverged trials ({diverged}) count with their best epoch before that.")
    tested = [one for one in analysis.comparisons.values() if isinstance(one, Comparison)]
    lacking = {
        variant: one.reason
        for variant, one in analysis.comparisons.items()
        if isinstance(one, InsufficientData)
    }
    if tested:
        marked = sum(one.verdict in _MARKS for one in tested)
        words.append(
            f"Thick blue boxes with a mark: the best tenth differs from {tested[0].baseline}'s by "
            "Welch's t-test and by a permutation test that chooses the best tenths again (both "
            f"p < {LEVEL:g} after Holm's correction for {len(tested)} comparisons): "
            f"{marked or 'none'} of {len(tested)}."
        )
    if lacking:
        reasons = list(dict.fromkeys(lacking.values()))
        alike = " (and alike)" if len(reasons) > 1 else ""
        words.append(f"Not tested: {', '.join(lacking)}, because {reasons[0]}{alike}.")
    return " ".join(words)
