"""Figures of a comparison: best so far by trainings and by seconds, and the final regret."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import matplotlib
import matplotlib.axes
import matplotlib.figure
import numpy as np

from common.text import significant
from tuner.analysis.report.figures import scales, style, svg
from tuner.analysis.statistics.summaries import BASELINE
from tuner.comparison.runs import Run
from tuner.tasks.task import Metric

_CURVE_POINTS = 200


def by_sampler(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Groups runs by sampler, in order of first appearance."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.sampler, []).append(run)
    return found


def mean_and_band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean over seeds and the half-width of its 95% interval by Student's t.

    Args:
        values: float64 `[seeds, points]`.
    """
    from scipy import stats

    count = len(values)
    mean = values.mean(axis=0)
    if count < 2:
        return mean, np.zeros_like(mean)
    error = values.std(axis=0, ddof=1) / np.sqrt(count)
    return mean, float(stats.t.ppf(0.975, count - 1)) * error


def draw(runs: Sequence[Run], metric: Metric, best: float | None) -> list[svg.Figure]:
    """Draws all figures.

    Args:
        runs: runs of any samplers.
        metric: the metric of the scores.
        best: the lowest score that can be found, if it is known.
    """
    found = by_sampler(runs)
    styles = style.series(found)
    # Samplers are not variants; the first is the baseline of the others.
    names = list(found)
    series = dict(zip(names, [styles[BASELINE], *map(styles.get, names)], strict=False))
    with matplotlib.rc_context(style.SETTINGS):
        figures = [
            _curves(found, series, metric, "trainings"),
            _curves(found, series, metric, "seconds"),
        ]
        if best is not None:
            figures.append(_regret(found, series, metric, best))
    return figures


def _panel() -> tuple[matplotlib.figure.Figure, matplotlib.axes.Axes]:
    figure, ((axes,),) = style.panels(3.65, left=0.85, right=1.6, top=0.15, bottom=0.6)
    return figure, axes


def at_trainings(runs: Sequence[Run], places: np.ndarray) -> np.ndarray:
    """Returns the best so far after given numbers of trainings, float64 `[runs, places]`."""
    return np.array([run.validation[places - 1] for run in runs])


def at_seconds(runs: Sequence[Run], seconds: np.ndarray) -> np.ndarray:
    """Returns the best so far after given training times, infinite before the first has ended.

    Returns:
        float64 `[runs, seconds]`.
    """
    rows = []
    for run in runs:
        ended = np.searchsorted(run.seconds, seconds, side="right")
        rows.append(np.append(np.inf, run.validation)[ended])
    return np.array(rows)


def _curves(
    found: Mapping[str, Sequence[Run]],
    series: Mapping[str, style.Series | None],
    metric: Metric,
    against: str,
) -> svg.Figure:
    canvas, axes = _panel()
    shortest = min(len(run.validation) for runs in found.values() for run in runs)
    of: Callable[[Sequence[Run], np.ndarray], np.ndarray]
    if against == "trainings":
        places = np.unique(np.geomspace(1, shortest, _CURVE_POINTS).round().astype(int))
        of, label, what = at_trainings, "trainings", "the same number of trainings"
        unit = 1.0
    else:
        longest = max(run.seconds[shortest - 1] for runs in found.values() for run in runs)
        least = min(run.seconds[0] for runs in found.values() for run in runs)
        places = np.geomspace(max(least, longest / 1e4), longest, _CURVE_POINTS)
        name, unit = scales.time_unit(longest)
        of, label, what = at_seconds, f"training time ({name})", "the same training time"
    ends, handles, drawn = [], [], {}
    for sampler, runs in found.items():
        values = of(runs, places)
        known = np.isfinite(values).all(axis=0)
        # Beyond a sampler's shortest run, the mean would no longer cover all of its runs.
        if against == "seconds":
            known &= places <= min(run.seconds[-1] for run in runs)
        if known.any():
            drawn[sampler] = places[known] / unit, *mean_and_band(values[:, known])
    for sampler, (x, mean, band) in sorted(drawn.items(), key=lambda item: item[1][1][-1]):
        look = series[sampler] or style.POOLED
        axes.plot(x, mean, color=look.color, linestyle=look.dash, linewidth=1.8)
        axes.fill_between(x, mean - band, mean + band, color=look.color, alpha=0.13, linewidth=0)
        handles.append(style.legend_line(look, sampler))
        ends += [mean[len(mean) // 3], mean[-1]]
    if ends:
        low, high = min(ends), max(ends)
        scales.value_axis(axes.yaxis, low, high + 0.3 * (high - low))
    top = axes.get_ylim()[1]
    # The axis begins where the first curve enters the panel.
    begin = min(
        (float(x[mean <= top][0]) for x, mean, _ in drawn.values() if (mean <= top).any()),
        default=float(places[0] / unit),
    )
    end = float(places[-1] / unit)
    axes.set_xscale("log")
    axes.set_xlim(0.85 * begin, 1.05 * end)
    ticks = [tick for tick in scales.log_ticks(begin, end) if 0.85 * begin <= tick <= end]
    axes.set_xticks(ticks, [scales.number(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(label)
    axes.set_ylabel(f"best validation {metric.name} so far\n({metric.unit})")
    style.legend_beside(axes, handles, "at the right end,\nbest first")
    return svg.render(
        canvas,
        f"best_by_{against}",
        f"Best so far by {against}",
        f"Best validation {metric.name} so far after {what}, mean over the seeds with its 95 % "
        "interval; lower is better. Horizontal axis on a log scale; the first trials lie above it.",
        f"Best validation {metric.name} so far at the end: "
        + ", ".join(f"{name} {significant(mean[-1])}" for name, (_, mean, _) in drawn.items())
        + ".",
    )


def _regret(
    found: Mapping[str, Sequence[Run]],
    series: Mapping[str, style.Series | None],
    metric: Metric,
    best: float,
) -> svg.Figure:
    canvas, axes = _panel()
    shortest = min(len(run.validation) for runs in found.values() for run in runs)
    handles, medians = [], {}
    for sampler, runs in found.items():
        regrets = np.sort([run.validation[shortest - 1] - best for run in runs])
        look = series[sampler] or style.POOLED
        shares = np.arange(1, len(regrets) + 1) / len(regrets)
        axes.step(
            [regrets[0], *regrets], [0, *shares],
            where="post", color=look.color, linestyle=look.dash, linewidth=1.8,
        )  # fmt: skip
        handles.append(style.legend_line(look, sampler))
        medians[sampler] = float(np.median(regrets))
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(f"regret after {shortest:,} trainings ({metric.unit})")
    axes.set_ylabel("share of the seeds")
    style.legend_beside(axes, handles, "sampler")
    return svg.render(
        canvas,
        "regret",
        "How far from the best",
        f"Share of the seeds whose best validation {metric.name} after {shortest:,} trainings is "
        f"at most so far above the least that can be found, {significant(best)}.",
        "Median regret: "
        + ", ".join(f"{name} {significant(value, 2)}" for name, value in medians.items())
        + ".",
    )
