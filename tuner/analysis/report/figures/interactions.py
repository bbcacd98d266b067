"""The joint effect of two hyperparameters, as in Figure 6 of the paper."""

from __future__ import annotations

import matplotlib.colors
import matplotlib.figure
import numpy as np

from common.text import percent, significant
from tuner.analysis.importance.factors import VARIANT
from tuner.analysis.importance.importance import Importance, Surface
from tuner.analysis.report.figures import marginals, scales, style, svg
from tuner.analysis.statistics.summaries import BASELINE, Distribution
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.search.space import Hyperparameter
from tuner.tasks.task import Metric

_COLORS = "viridis_r"
_COLUMNS = 3


def draw(analysis: StudyAnalysis) -> svg.Figure | None:
    """Draws the mean score by every pair of hyperparameters, for vanilla if possible."""
    importance = _chosen(analysis.importance)
    if importance is None:
        return None
    metric = analysis.metric
    who = "all variants pooled" if importance.variant is None else importance.variant
    caption = (
        f"Mean test {metric.name} of {who} ({importance.trials} trials) by two hyperparameters, "
        "averaged over the others (pairwise marginals of functional ANOVA on a forest); lower is "
        "better. Cross: the lowest mean of each panel. Percentages: what the pair explains of the "
        "variance beyond its two hyperparameters alone."
    )
    _, high, highest = _range(_surfaces(importance))
    if high < highest:
        caption += " Means above the end of the color scale have its darkest color."
    description = f"Surfaces of the mean test {metric.name} of {who}. " + "; ".join(
        _lowest(surface, importance) for surface in _surfaces(importance)
    )
    return svg.render(
        plot(importance, metric),
        "interactions",
        "Pairs of hyperparameters",
        caption,
        description + ".",
    )


def _chosen(results: marginals.Results) -> Importance | None:
    """Returns the baseline's analysis, or else the pooled one, or else the first available one."""
    order = (BASELINE, None, *(variant for variant, _ in results))
    found = (results.get((variant, "test")) for variant in order)
    return next(
        (one for one in found if isinstance(one, Importance) and _surfaces(one)), None
    )


def _surfaces(importance: Importance) -> list[Surface]:
    """Returns the surfaces in figure order, the first hyperparameter on the horizontal axis."""
    order = [factor.name for factor in scales.in_order(importance.factors)]
    turned = [
        surface
        if order.index(surface.names[0]) < order.index(surface.names[1])
        else surface.turned()
        for surface in importance.surfaces
        if VARIANT not in surface.names
    ]
    return sorted(turned, key=lambda surface: [order.index(name) for name in surface.names])


def plot(importance: Importance, metric: Metric) -> matplotlib.figure.Figure:
    """Draws one panel per pair, all on the same color scale."""
    surfaces = _surfaces(importance)
    columns = min(_COLUMNS, len(surfaces))
    rows = -(-len(surfaces) // columns)
    figure, panels = style.panels(
        2.1, left=0.75, right=1.25, top=0.3, bottom=0.6, between=(0.8, 0.85), grid=(columns, rows)
    )
    grid = panels.ravel()
    norm = _norm(surfaces)
    for axes, surface in zip(grid, surfaces, strict=False):
        first, second = (importance.factor(name) for name in surface.names)
        axes.pcolormesh(
            _edges(surface.values[0], first),
            _edges(surface.values[1], second),
            surface.mean.T,
            cmap=_COLORS,
            norm=norm,
            rasterized=True,
        )
        scales.factor_axis(axes.xaxis, first)
        scales.factor_axis(axes.yaxis, second)
        places = zip((first, second), _lowest_at(surface), strict=True)
        left, lower = (factor.sampled(value) for factor, value in places)
        for color, size, width in (("white", 8, 3.2), ("black", 7, 1.4)):
            axes.plot(
                left,
                lower,
                marker="x",
                color=color,
                markersize=size,
                markeredgewidth=width,
                clip_on=False,
            )
        pair = importance.pair(*surface.names)
        axes.set_title(f"interaction {percent(pair.share)}" if pair else "", fontweight="normal")
        axes.grid(visible=False)
    for axes in grid[len(surfaces) :]:
        axes.remove()
    _draw_color_bar(figure, norm, metric)
    return figure


def _draw_color_bar(
    figure: matplotlib.figure.Figure, norm: matplotlib.colors.Normalize, metric: Metric
) -> None:
    height = figure.get_figheight()
    place = (1 - 0.98 / style.WIDTH, 0.6 / height, 0.16 / style.WIDTH, 1 - 0.9 / height)
    axes = figure.add_axes(place)
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 0.0)
    levels = _levels(low, high, isinstance(norm, matplotlib.colors.LogNorm))
    axes.pcolormesh([0, 1], levels, levels[:-1, None], cmap=_COLORS, norm=norm, rasterized=True)
    scales.value_axis(axes.yaxis, low, high, margin=0.0, ticks=7)
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.set_ylabel(f"mean test {metric.name} ({metric.unit})")
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.grid(visible=False)


def _range(surfaces: list[Surface]) -> tuple[float, float, float]:
    """Returns the lowest mean, the end of the color scale, and the highest mean."""
    means = Distribution.of(np.concatenate([surface.mean.ravel() for surface in surfaces]).tolist())
    return means.minimum, scales.shown_to(means), means.maximum


def _norm(surfaces: list[Surface]) -> matplotlib.colors.Normalize:
    """Returns the color scale of all panels; the few means far above the rest are darkest."""
    low, high, _ = _range(surfaces)
    if scales.is_wide(low, high):
        return matplotlib.colors.LogNorm(low, high, clip=True)
    return matplotlib.colors.Normalize(low, high if high > low else low + 1.0, clip=True)


def _levels(low: float, high: float, logarithmic: bool) -> np.ndarray:
    return np.geomspace(low, high, 129) if logarithmic else np.linspace(low, high, 129)


def _edges(values: np.ndarray, factor: Hyperparameter) -> np.ndarray:
    """Returns the ends of the cells around grid points, halfway on the sampling scale."""
    points, ends = np.asarray(factor.sampled(values), float), np.array(factor.sampled_range, float)
    if factor.logarithmic:
        points, ends = np.log(points), np.log(ends)
    edges = np.concatenate([ends[:1], (points[:-1] + points[1:]) / 2, ends[1:]])
    return np.exp(edges) if factor.logarithmic else edges


def _lowest_at(surface: Surface) -> tuple[float, float]:
    first, second = np.unravel_index(np.argmin(surface.mean), surface.mean.shape)
    return float(surface.values[0][first]), float(surface.values[1][second])


def _lowest(surface: Surface, importance: Importance) -> str:
    words = [
        f"{importance.factor(name).label} {significant(value, 2)}"
        for name, value in zip(surface.names, _lowest_at(surface), strict=True)
    ]
    return f"lowest {significant(float(surface.mean.min()))} at {' and '.join(words)}"
