"""The average effect of each hyperparameter, as in Figure 4 of the paper."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import matplotlib.axes
import matplotlib.figure
import numpy as np

from common.text import significant
from tuner.analysis.importance.factors import VARIANT
from tuner.analysis.importance.importance import TARGETS, Importance, Marginal
from tuner.analysis.report.figures import scales, style, svg
from tuner.analysis.statistics.summaries import BASELINE, Distribution, InsufficientData
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.search.space import Hyperparameter
from tuner.tasks.task import Metric

Results: TypeAlias = Mapping[tuple[str | None, str], Importance | InsufficientData]

_EACH = 1.75
_POOLED = "all pooled"


def draw(analysis: StudyAnalysis) -> svg.Figure | None:
    """Draws the average score and training time by each hyperparameter."""
    results = analysis.importance
    found = [one for one in results.values() if isinstance(one, Importance)]
    if not found:
        return None
    canvas = plot(results, style.series(analysis.records.entries), analysis.metric)
    return svg.render(
        canvas,
        "marginals",
        "Score and training time by hyperparameter",
        _caption(results, analysis.metric, canvas),
        _description(results, analysis.metric),
    )


def plot(
    results: Results, styles: Mapping[str, style.Series], metric: Metric
) -> matplotlib.figure.Figure:
    """Draws a row of panels per hyperparameter: the score on the left, the time on the right."""
    found = [one for one in results.values() if isinstance(one, Importance)]
    factors = scales.in_order(factor for factor in found[0].factors if factor.name != VARIANT)
    names = list(dict.fromkeys(variant for variant, _ in results if variant is not None))
    shown = [
        variant
        for variant in (*names, None)
        if any(isinstance(results.get((variant, target)), Importance) for target in TARGETS)
    ]
    legend_rows = -(-len(shown) // 5)
    figure, grid = style.panels(
        _EACH, left=0.75, right=0.25, top=0.35 + 0.22 * legend_rows, bottom=0.55,
        between=(0.85, 0.62), grid=(2, len(factors)),
    )  # fmt: skip
    for column, target in enumerate(TARGETS):
        ofs = {
            variant: one
            for variant in shown
            if isinstance(one := results.get((variant, target)), Importance)
        }
        label, unit = _axis_words(target, ofs, metric)
        for panel, factor in zip(grid[:, column], factors, strict=True):
            _draw_panel(panel, factor, ofs, styles, unit)
            panel.set_ylabel(label)
            if not ofs:
                _say_why(panel, results, target)
    figure.legend(
        handles=[
            style.legend_line(styles[variant], variant)
            if variant is not None
            else style.legend_line(style.POOLED, _POOLED)
            for variant in shown
        ],
        loc="upper left",
        bbox_to_anchor=(0.06, 1.0),
        ncols=5,
        handlelength=3.2,
        columnspacing=1.6,
    )
    return figure


def _axis_words(
    target: str, results: Mapping[str | None, Importance], metric: Metric
) -> tuple[str, float]:
    """Returns the label of a column's axes, and the divisor of its values."""
    if target == "test":
        return f"mean test {metric.name}", 1.0
    longest = max(
        (float(marginal.mean.max()) for one in results.values() for marginal in one.marginals),
        default=0.0,
    )
    name, seconds = scales.time_unit(longest)
    return f"mean time ({name})", seconds


def _draw_panel(
    axes: matplotlib.axes.Axes,
    factor: Hyperparameter,
    results: Mapping[str | None, Importance],
    styles: Mapping[str, style.Series],
    unit: float,
) -> None:
    scales.factor_axis(axes.xaxis, factor)
    prominent = _prominent(results)
    lines = {
        variant: dataclasses.replace(found, mean=found.mean / unit, std=found.std / unit)
        for variant, one in results.items()
        if (found := one.marginal(factor.name)) is not None
    }
    for variant, line in lines.items():
        series = style.POOLED if variant is None else styles[variant]
        across = factor.sampled(line.values)
        axes.plot(
            across,
            line.mean,
            color=series.color,
            linestyle=series.dash,
            linewidth=2.2 if variant in prominent else 1.1,
            zorder=4 if variant in prominent else 3,
            label=variant or _POOLED,
        )
        if variant in prominent:
            low, high = line.mean - line.std, line.mean + line.std
            axes.fill_between(across, low, high, color=series.color, alpha=0.15, linewidth=0)
    if lines:
        _set_ends(axes, lines, prominent)


def _set_ends(
    axes: matplotlib.axes.Axes,
    lines: Mapping[str | None, Marginal],
    prominent: Sequence[str | None],
) -> None:
    """Sets the vertical axis: all of thick lines, most of their bands, most of thin lines."""
    lowest = min(float(line.mean.min()) for line in lines.values())
    thick = [lines[variant] for variant in prominent if variant in lines]
    tops = [float(np.quantile(line.mean, 0.75)) for line in lines.values()]
    every = Distribution.of(np.concatenate([line.mean for line in lines.values()]).tolist())
    highest = max(
        min(scales.shown_to(every), scales.common_end(lowest, tops)),
        *(float(np.quantile(line.mean + line.std, 0.9)) for line in thick),
        *(float(line.mean.max()) for line in thick or lines.values()),
    )
    # Scores and times are positive, whatever a band says.
    bands = [float(np.quantile(line.mean - line.std, 0.1)) for line in thick]
    scales.value_axis(
        axes.yaxis, min(lowest, *(max(band, 0.5 * lowest) for band in [*bands, lowest])), highest
    )
    above = [
        f"{variant} ↑"
        for variant, line in lines.items()
        if variant and float(line.mean.min()) > axes.get_ylim()[1]
    ]
    axes.set_title("  ".join(above), loc="right", fontweight="normal", fontsize=9)


def _prominent(shown: Iterable[str | None]) -> list[str | None]:
    """Returns vanilla and the pooled trials, or a variant that stands alone."""
    variants = list(shown)
    return [one for one in variants if one in (BASELINE, None) or len(variants) == 1]


def _say_why(axes: matplotlib.axes.Axes, results: Results, target: str) -> None:
    reasons = [
        one.reason
        for (_, other), one in results.items()
        if other == target and isinstance(one, InsufficientData)
    ]
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.text(
        0.5,
        0.5,
        textwrap.fill(reasons[0], 40) if reasons else "not analyzed",
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=style.MUTED,
    )


def _caption(results: Results, metric: Metric, canvas: matplotlib.figure.Figure) -> str:
    shown = dict.fromkeys(
        variant for (variant, _), one in results.items() if isinstance(one, Importance)
    )
    prominent = [variant or "all variants pooled" for variant in _prominent(shown)]
    words = [
        f"Mean test {metric.name} (left, lower is better) and mean training time of a trial "
        "(right) by one hyperparameter, averaged over all others on the scale that they were "
        "sampled on (marginals of functional ANOVA on a forest)."
    ]
    if prominent:
        words.append(
            f"Thick: {' and '.join(prominent)}, with a band of one standard deviation over the "
            "trees" + ("; thin: the other variants." if len(shown) > len(prominent) else ".")
        )
    words.append("Vertical axes differ from panel to panel.")
    if any(panel.get_yscale() == "log" for panel in canvas.axes):
        words.append("Some of them are logarithmic, as their ticks show.")
    if any(
        np.max(line.get_ydata()) > panel.get_ylim()[1]
        for panel in canvas.axes
        for line in panel.lines
    ):
        words.append(
            "A thin line far above the rest leaves its panel; one that is not in it at all is "
            "named with an arrow."
        )
    first = next(one for one in results.values() if isinstance(one, Importance))
    words += scales.turned(first.factors)
    return " ".join(words + lacking(results))


def lacking(results: Results) -> list[str]:
    """Returns sentences that say what is not drawn and why, with one of several reasons."""
    targets: dict[str | None, list[str]] = {}
    for (variant, target), one in results.items():
        if isinstance(one, InsufficientData):
            targets.setdefault(variant, []).append(target)
    groups: dict[tuple[str, ...], list[str | None]] = {}
    for variant, lacked in targets.items():
        groups.setdefault(tuple(lacked), []).append(variant)
    sentences = []
    for lacks, variants in groups.items():
        reasons = dict.fromkeys(
            one.reason
            for variant in variants
            for target in lacks
            if isinstance(one := results[variant, target], InsufficientData)
        )
        names = ", ".join(variant or "all variants pooled" for variant in variants)
        what = " and ".join("score" if target == "test" else "time" for target in lacks)
        alike = "for example because " if len(reasons) > 1 else "because "
        sentences.append(f"Not drawn: {names} ({what}), {alike}{next(iter(reasons))}.")
    return sentences


def _description(results: Results, metric: Metric) -> str:
    return f"Marginals of the test {metric.name} and of the training time. " + " ".join(
        _lowest(variant, one, metric)
        for (variant, target), one in results.items()
        if target == "test" and isinstance(one, Importance)
        if variant in (BASELINE, None)
    )


def _lowest(variant: str | None, importance: Importance, metric: Metric) -> str:
    parts = [
        f"{significant(float(one.mean.min()))} at {importance.factor(one.name).label} "
        f"{significant(float(one.values[np.argmin(one.mean)]), 2)}"
        for one in importance.marginals
        if one.name != VARIANT
    ]
    who = "All variants pooled" if variant is None else variant
    return f"{who}: lowest mean {metric.name} {', '.join(parts)}."
