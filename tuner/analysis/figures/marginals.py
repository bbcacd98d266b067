"""What each hyperparameter does on average, as in Figure 4 of the paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import matplotlib.axes
import matplotlib.figure
import numpy as np

from tuner.analysis.evidence import NotEnough
from tuner.analysis.factors import VARIANT, Factor
from tuner.analysis.figures import scales, style, svg
from tuner.analysis.importance import Importance, Marginal
from tuner.analysis.notation import significant
from tuner.analysis.statistics import Distribution
from tuner.analysis.study_analysis import TARGETS, StudyAnalysis
from tuner.tasks.task import Metric

Results: TypeAlias = Mapping[tuple[str | None, str], Importance | NotEnough]

_EACH = 1.75
_POOLED = "all pooled"


def draw(analysis: StudyAnalysis) -> svg.Figure | None:
    """Draws the average score and training time by each hyperparameter."""
    results = analysis.importance
    found = [one for one in results.values() if isinstance(one, Importance)]
    if not found:
        return None
    canvas = plot(results, analysis.metric)
    return svg.render(
        canvas,
        "marginals",
        "Score and training time by hyperparameter",
        _caption(results, analysis.metric, canvas),
        _description(results, analysis.metric),
    )


def plot(results: Results, metric: Metric) -> matplotlib.figure.Figure:
    """Draws a row of panels a hyperparameter: the score at the left, the time at the right."""
    found = [one for one in results.values() if isinstance(one, Importance)]
    by_name = {factor.name: factor for factor in found[0].factors if factor.name != VARIANT}
    factors = [by_name[name] for name in scales.in_order(by_name)]
    names = list(dict.fromkeys(variant for variant, _ in results if variant is not None))
    looks = style.series(names)
    shown = [
        variant
        for variant in (*names, None)
        if any(isinstance(results.get((variant, target)), Importance) for target in TARGETS)
    ]
    legend_rows = -(-len(shown) // 5)
    top = 0.35 + 0.22 * legend_rows
    figure = style.canvas(top + 0.55 + len(factors) * _EACH + (len(factors) - 1) * 0.62)
    figure.subplots_adjust(
        **style.margins(
            figure,
            left=0.75,
            right=0.25,
            top=top,
            bottom=0.55,
            between=(0.85, 0.62),
            grid=(2, len(factors)),
        )
    )
    grid = figure.subplots(len(factors), 2, squeeze=False)
    for column, target in enumerate(TARGETS):
        ofs = {
            variant: one
            for variant in shown
            if isinstance(one := results.get((variant, target)), Importance)
        }
        label, unit = _axis_words(target, ofs, metric)
        for panel, factor in zip(grid[:, column], factors, strict=True):
            _draw_panel(panel, factor, ofs, looks, unit)
            panel.set_ylabel(label)
            if not ofs:
                _say_why(panel, results, target)
    figure.legend(
        handles=[
            style.legend_line(looks[variant], variant)
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
    """What a column's axes are called, and by what its values are divided."""
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
    factor: Factor,
    results: Mapping[str | None, Importance],
    looks: Mapping[str, style.Series],
    unit: float,
) -> None:
    scales.factor_axis(axes.xaxis, factor)
    drawn: list[float] = []
    lowest, highest = np.inf, -np.inf
    for variant, one in results.items():
        marginal = _marginal(one, factor.name)
        if marginal is None:
            continue
        look = style.POOLED if variant is None else looks[variant]
        middle, spread = marginal.mean / unit, marginal.spread / unit
        prominent = variant in _prominent(results)
        axes.plot(
            marginal.values,
            middle,
            color=look.colour,
            linestyle=look.dash,
            linewidth=2.2 if prominent else 1.1,
            zorder=4 if prominent else 3,
            label=_POOLED if variant is None else variant,
        )
        drawn += middle.tolist()
        # Three quarters of a thin line are always to be seen, all of a thick one and nearly all of
        # its band.
        seen = [np.quantile(middle, 0.75)]
        if prominent:
            axes.fill_between(
                marginal.values,
                middle - spread,
                middle + spread,
                color=look.colour,
                alpha=0.15,
                linewidth=0,
            )
            seen = [middle.max(), np.quantile(middle + spread, 0.9)]
            lowest = min(lowest, float(np.quantile(middle - spread, 0.1)))
        highest = max(highest, *map(float, seen))
    if drawn:
        highest = max(highest, scales.shown_to(Distribution.of(drawn)))
        # Times are positive, whatever their band says.
        lowest = min(min(drawn), max(lowest, 0.5 * min(drawn)))
        scales.value_axis(axes.yaxis, lowest, highest)


def _prominent(shown: Iterable[str | None]) -> list[str | None]:
    """Vanilla and the pooled trials; a variant that stands alone too."""
    variants = list(shown)
    return [one for one in variants if one in (style.BASELINE, None) or len(variants) == 1]


def _marginal(importance: Importance, name: str) -> Marginal | None:
    return next((one for one in importance.marginals if one.name == name), None)


def _say_why(axes: matplotlib.axes.Axes, results: Results, target: str) -> None:
    reasons = [
        one.reason
        for (_, other), one in results.items()
        if other == target and isinstance(one, NotEnough)
    ]
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.text(
        0.5,
        0.5,
        reasons[0] if reasons else "not analysed",
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=style.MUTED,
        wrap=True,
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
        words.append("A thin line far above the rest leaves its panel.")
    if any(
        factor.name == scales.MOMENTUM
        for one in results.values()
        if isinstance(one, Importance)
        for factor in one.factors
    ):
        words.append("Momentum is laid out as 1 − momentum on a log scale.")
    return " ".join(words + lacking(results))


def lacking(results: Results) -> list[str]:
    """Sentences that say what is not drawn and why."""
    by_reason: dict[str, list[str]] = {}
    for (variant, target), one in results.items():
        if isinstance(one, NotEnough):
            name = "all variants pooled" if variant is None else variant
            what = "score" if target == "test" else "time"
            by_reason.setdefault(one.reason, []).append(f"{name} ({what})")
    return [
        f"Not drawn: {', '.join(names)}, because {reason}." for reason, names in by_reason.items()
    ]


def _description(results: Results, metric: Metric) -> str:
    return f"Marginals of the test {metric.name} and of the training time. " + " ".join(
        _lowest(variant, one, metric)
        for (variant, target), one in results.items()
        if target == "test" and isinstance(one, Importance)
        if variant in (style.BASELINE, None)
    )


def _lowest(variant: str | None, importance: Importance, metric: Metric) -> str:
    labels = {factor.name: factor for factor in importance.factors}
    parts: Sequence[str] = [
        f"{significant(float(one.mean.min()))} at {_where(one, labels[one.name])}"
        for one in importance.marginals
        if one.name != VARIANT
    ]
    who = "All variants pooled" if variant is None else variant
    return f"{who}: lowest mean {metric.name} {', '.join(parts)}."


def _where(marginal: Marginal, factor: Factor) -> str:
    value = float(marginal.values[np.argmin(marginal.mean)])
    if factor.name == scales.MOMENTUM:
        value = 1 - value
    return f"{scales.name_of(factor)} {significant(value, 2)}"
