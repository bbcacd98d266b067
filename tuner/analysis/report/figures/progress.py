"""The progress of a search: scores, the best so far and the values, proposal by proposal."""

from __future__ import annotations

import matplotlib.figure
import numpy as np

from common.text import significant
from tuner.analysis.report.figures import scales, style, svg
from tuner.analysis.statistics.progress import Progress
from tuner.analysis.statistics.summaries import Distribution
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.search.space import Hyperparameter

_SCORES = 2.3
_VALUES = 1.15


def draw(analysis: StudyAnalysis) -> svg.Figure | None:
    """Draws the validation score and each hyperparameter by number of the proposal."""
    progress = analysis.progress
    if progress is None:
        return None
    factors = scales.in_order(analysis.records.space.varied)
    canvas, above = plot(analysis, progress, factors)
    metric, sampler = analysis.metric, analysis.records.sampler
    words = [
        f"Validation {metric.name} of each trial in the order in which {sampler} proposed them "
        "(above, lower is better; line: the best so far), and the values that it proposed (below).",
        *scales.turned(factors),
    ]
    diverged = sum(entry.result.diverged for entry in progress.entries)
    if diverged:
        words.append(f"Diverged trials ({diverged}) are drawn with their best epoch; none wins.")
    if above:
        words.append(f"Scores far above the rest ({above}) are drawn at the upper edge.")
    description = (
        f"{len(progress.entries)} finished trials; the best so far falls from "
        f"{significant(progress.best[0])} to {significant(progress.best[-1])}, reached by proposal "
        f"{progress.places[progress.last_gain] + 1}."
    )
    return svg.render(canvas, "progress", "The search", " ".join(words), description)


def plot(
    analysis: StudyAnalysis, progress: Progress, factors: list[Hyperparameter]
) -> tuple[matplotlib.figure.Figure, int]:
    """Draws the panels, and counts the scores above the first one."""
    styles = style.series(analysis.records.entries)
    scores = np.array([entry.result.validation.mean for entry in progress.entries])
    figure, grid = style.panels(
        _VALUES, left=0.95, right=1.4, top=0.15 + _SCORES - _VALUES, bottom=0.6,
        between=(0, 0.16), grid=(1, 1 + len(factors)),
    )  # fmt: skip
    panels = list(grid[:, 0])
    # The first panel is taller than the others.
    box = panels[0].get_position()
    height = box.height * _SCORES / _VALUES
    panels[0].set_position((box.x0, box.y0, box.width, height))
    scales.value_axis(
        panels[0].yaxis, scores.min(), scales.shown_to(Distribution.of(scores.tolist()))
    )
    top = panels[0].get_ylim()[1]
    codes = np.array([entry.trial.variant for entry in progress.entries])
    places = np.array(progress.places) + 1
    variants = [code for code in analysis.records.entries if code in codes]
    rows = [scores.clip(max=top)]
    rows += [
        np.array([factor.sampled(entry.trial.values[factor.name]) for entry in progress.entries])
        for factor in factors
    ]
    for axes, values in zip(panels, rows, strict=True):
        for code in variants:
            own = codes == code
            axes.plot(
                places[own], values[own], color=styles[code].color, marker=styles[code].marker,
                markersize=3.2, markeredgewidth=0, linestyle="", alpha=0.75,
            )  # fmt: skip
        axes.set_xlim(0, places[-1] + 1)
        axes.tick_params(labelbottom=axes is panels[-1])
    panels[0].step(
        places, np.minimum(progress.best, top), where="post", color=style.INK, linewidth=1.6
    )
    panels[0].set_ylabel(f"validation {analysis.metric.name}\n({analysis.metric.unit})")
    for axes, factor in zip(panels[1:], factors, strict=True):
        scales.factor_axis(axes.yaxis, factor)
    panels[-1].set_xlabel("proposal")
    handles = [style.legend_line(styles[code], code, marker=True) for code in variants]
    for handle in handles:
        handle.set_linestyle("")
    style.legend_beside(panels[0], handles, "variant")
    return figure, int((scores > top).sum())
