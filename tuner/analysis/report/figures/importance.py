"""Which hyperparameter explains how much, as in Figure 5 of the paper."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.axes
import matplotlib.figure
import numpy as np

from common.text import percent
from tuner.analysis.importance.factors import VARIANT
from tuner.analysis.importance.importance import TARGETS, Effect, Importance
from tuner.analysis.report.figures import marginals, scales, style, svg
from tuner.analysis.statistics.summaries import BASELINE, InsufficientData
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.search.space import Hyperparameter

_TITLES = {"test": "variance of the test score", "seconds": "variance of the training time"}
_PITCH = 1.8
_LAST = 4.4
# From the ninth column on, headings take two lines, and names of pairs need more room.
_ROOMY = 8
_HEADING = 11
_LAST_CROWDED = 6.0
_PAIRS, _HIGHER, _LARGEST = "all pairs", "higher order", "largest pair"
_ROW = 0.27
_LONGEST = 105


@dataclasses.dataclass(frozen=True)
class Bar:
    """One bar: the share that something explains.

    Attributes:
        column: heading of its column.
        share: share of the variance.
        std: standard deviation over the trees; None if there is none.
        note: words after the number.
    """

    column: str
    share: float
    std: float | None
    note: str = ""


def draw(analysis: StudyAnalysis) -> svg.Figure | None:
    """Draws bars of main effects, pairs and higher orders: one row per variant."""
    results = analysis.importance
    found = {key: one for key, one in results.items() if isinstance(one, Importance)}
    if not found:
        return None
    description = "Shares of the variance. " + " ".join(
        f"{_who(variant)}, {_TITLES[target].removeprefix('variance of the ')}: "
        + ", ".join(f"{bar.column} {percent(bar.share)}" for bar in bars(one))
        + "."
        for (variant, target), one in found.items()
        if variant in (None, BASELINE)
    )
    return svg.render(
        plot(results),
        "importance",
        "What explains the differences between trials",
        _caption(results),
        description,
    )


def bars(importance: Importance) -> list[Bar]:
    """Lists the bars of a row: main effects, all pairs, all higher orders, the largest pair."""
    factors = scales.in_order(importance.factors)
    mains = [(factor, importance.main(factor.name)) for factor in factors]
    listed = [Bar(factor.label, main.share, main.std) for factor, main in mains if main]
    if not importance.pairs:
        return listed
    largest = max(importance.pairs, key=lambda effect: effect.share)
    return [
        *listed,
        Bar(_PAIRS, sum(effect.share for effect in importance.pairs), None),
        Bar(_HIGHER, importance.higher_order.share, importance.higher_order.std),
        Bar(_LARGEST, largest.share, largest.std, _pair(largest, factors)),
    ]


def plot(results: marginals.Results) -> matplotlib.figure.Figure:
    """Draws a table of bars for the score and one for the time."""
    targets = [
        target
        for target in TARGETS
        if any(key[1] == target and isinstance(one, Importance) for key, one in results.items())
    ]
    rows = [None, *dict.fromkeys(variant for variant, _ in results if variant is not None)]
    figure, panels = style.panels(
        _ROW * len(rows) + 0.05, left=0.7, right=0.05, top=0.6, bottom=0.2, between=(0, 0.7),
        grid=(1, len(targets)),
    )  # fmt: skip
    columns = _columns([one for one in results.values() if isinstance(one, Importance)])
    for axes, target in zip(panels[:, 0], targets, strict=True):
        _draw_table(axes, {variant: results.get((variant, target)) for variant in rows}, columns)
        axes.set_title(_TITLES[target], pad=24 if len(columns) <= _ROOMY else 34)
    return figure


def _draw_table(
    axes: matplotlib.axes.Axes,
    results: Mapping[str | None, Importance | InsufficientData | None],
    columns: Mapping[str, float],
) -> None:
    """Draws columns of bars side by side in one panel, all on the same scale from 0 to 1."""
    drawn = []
    for place, (variant, one) in enumerate(results.items()):
        if isinstance(one, Importance):
            drawn += [(place, columns[bar.column], bar) for bar in bars(one)]
        else:
            reason = one.reason if isinstance(one, InsufficientData) else "not analyzed"
            words = textwrap.shorten(reason, _LONGEST, placeholder=" …")
            axes.text(0.02, place, words, va="center", color=style.MUTED, fontsize=9)
        if variant is None:
            axes.axhline(place + 0.5, color=style.MUTED, linewidth=0.6)
    _draw_bars(axes, drawn)
    axes.set_yticks(range(len(results)), [_short(variant) for variant in results])
    axes.set_ylim(len(results) - 0.45, -0.55)
    crowded = len(columns) > _ROOMY
    axes.set_xlim(0, _PITCH * (len(columns) - 1) + (_LAST_CROWDED if crowded else _LAST))
    for column, start in columns.items():
        axes.annotate(
            textwrap.fill(column, _HEADING) if crowded else column,
            (start, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 5),
            textcoords="offset points",
            color=style.MUTED,
            fontsize=9,
        )
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines[["left", "bottom"]].set_visible(False)


def _columns(found: Sequence[Importance]) -> dict[str, float]:
    """Returns where each column of bars starts, in the order of the fullest row."""
    names = [bar.column for bar in max(map(bars, found), key=len)]
    return {name: place * _PITCH for place, name in enumerate(names)}


def _draw_bars(axes: matplotlib.axes.Axes, drawn: Sequence[tuple[int, float, Bar]]) -> None:
    """Draws bars, each in its row and from the start of its column."""
    rows = np.array([place for place, _, _ in drawn])
    starts = np.array([start for _, start, _ in drawn])
    shares = np.array([max(bar.share, 0.0) for _, _, bar in drawn])
    deviations = np.array([bar.std or 0.0 for _, _, bar in drawn])
    interactions = {_PAIRS, _LARGEST, _HIGHER}
    axes.vlines(starts, rows - 0.5, rows + 0.5, color=style.MUTED, linewidth=0.8)
    axes.barh(
        rows,
        shares,
        left=starts,
        height=0.62,
        color=[
            style.MUTED if bar.column in interactions else style.ACCENT for _, _, bar in drawn
        ],
        linewidth=0,
    )
    low, high = np.maximum(shares - deviations, 0.0), np.minimum(shares + deviations, 1.0)
    axes.hlines(rows, starts + low, starts + high, color=style.INK, linewidth=1.1)
    for (place, start, bar), end in zip(drawn, high, strict=True):
        words = f"{percent(bar.share)} {bar.note}".strip()
        axes.text(start + end + 0.05, place, words, va="center", fontsize=9)


def _pair(effect: Effect, factors: Sequence[Hyperparameter]) -> str:
    return " × ".join(factor.label for factor in factors if factor.name in effect.names)


def _short(variant: str | None) -> str:
    return "pooled" if variant is None else variant


def _who(variant: str | None) -> str:
    return "All variants pooled" if variant is None else variant


def _caption(results: marginals.Results) -> str:
    found = [one for one in results.values() if isinstance(one, Importance)]
    explained = [one.explained for one in found if one.target == "test"]
    words = [
        "Share of the variance over the search space that each hyperparameter explains alone "
        "(blue), and that combinations explain beyond that (gray), by functional ANOVA on a "
        f"random forest (back end {found[0].backend}). Bars of one row add up to 100 % (the "
        "largest pair is part of all pairs). Horizontal lines: one standard deviation over the "
        "trees."
    ]
    if any(factor.name == VARIANT for one in found for factor in one.factors):
        words.append("Pooled: all variants together, with the variant as one more factor.")
    if explained:
        low, high = min(explained), max(explained)
        words.append(
            "Out-of-bag R² of the forests (test score): "
            + " to ".join(dict.fromkeys((f"{low:.2f}", f"{high:.2f}")))
            + "."
        )
    return " ".join(words + marginals.lacking(results))
