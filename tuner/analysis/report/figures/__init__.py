"""Figures of a study as SVG, which are part of the page and also separate files."""

from __future__ import annotations

import matplotlib

from tuner.analysis.report.figures import (
    expected_best,
    importance,
    interactions,
    learning_curves,
    marginals,
    progress,
    scatter,
    style,
    variants,
)
from tuner.analysis.report.figures.svg import Figure as Figure
from tuner.analysis.study_analysis import StudyAnalysis

_FIGURES = (
    variants.draw,
    marginals.draw,
    importance.draw,
    interactions.draw,
    learning_curves.draw,
    scatter.draw,
    expected_best.draw,
    progress.draw,
)


def draw(analysis: StudyAnalysis) -> tuple[Figure, ...]:
    """Draws all figures for which a study has the numbers.

    Returns:
        The figures in the order of the page: `variants`, `marginals`, `importance`,
        `interactions`, `learning_curves`, `axes`, `expected_best`, `progress`; those that
        would be empty are left out.
    """
    with matplotlib.rc_context(style.SETTINGS):
        drawn = [figure(analysis) for figure in _FIGURES]
    return tuple(figure for figure in drawn if figure is not None)
