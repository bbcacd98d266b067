"""Figures of a study as SVG, which live in the page and are files of their own."""

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
    """Draws everything that a study has the numbers for.

    Returns:
        The figures in the order of the page: `variants`, `marginals`, `importance`,
        `interactions`, `learning_curves`, `axes`, `expected_best`, `progress`; without those
        that would be empty.
    """
    with matplotlib.rc_context(style.SETTINGS):
        drawn = [figure(analysis) for figure in _FIGURES]
    return tuple(figure for figure in drawn if figure is not None)
