"""What to do about it: advice that a study's numbers support."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.analysis.study_analysis import StudyAnalysis


@dataclasses.dataclass(frozen=True)
class Guideline:
    """One sentence with its evidence.

    Attributes:
        text: the advice.
        evidence: the numbers that it rests on.
        figure: name of the figure that shows it.
    """

    text: str
    evidence: str
    figure: str


def guide(analysis: StudyAnalysis) -> tuple[Guideline, ...]:
    """Derives advice from the trials of a study.

    Args:
        analysis: of the study.
    """
    return ()
