"""What a study found, in words made from its numbers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.analysis.study_analysis import StudyAnalysis


@dataclasses.dataclass(frozen=True)
class Finding:
    """One sentence with its evidence.

    Attributes:
        text: the sentence.
        evidence: the test or the numbers that it rests on.
        figure: name of the figure that shows it.
    """

    text: str
    evidence: str
    figure: str


def find(analysis: StudyAnalysis) -> tuple[Finding, ...]:
    """Says in words what the trials of a study show.

    Args:
        analysis: of the study.
    """
    return ()
