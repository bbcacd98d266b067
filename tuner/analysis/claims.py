"""The paper's own claims beside what a study found."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.analysis.study_analysis import StudyAnalysis


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim of the paper and what became of it.

    Attributes:
        topic: what it is about, a few words.
        paper: what the paper says.
        source: where that was read, and how sure it is.
        found: what this study found.
        verdict: "agrees", "differs" or "cannot tell".
    """

    topic: str
    paper: str
    source: str
    found: str
    verdict: str


def check(analysis: StudyAnalysis) -> tuple[Claim, ...]:
    """Holds a study against the paper's claims.

    Args:
        analysis: of the study.
    """
    return ()
