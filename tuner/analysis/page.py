"""The page of one or several studies: one HTML file that needs no network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.analysis.claims import Claim
    from tuner.analysis.figures import Figure
    from tuner.analysis.findings import Finding
    from tuner.analysis.guidelines import Guideline
    from tuner.analysis.study_analysis import StudyAnalysis


@dataclasses.dataclass(frozen=True)
class StudyPage:
    """All that the page says about one study.

    Attributes:
        key: what the anchors of this study begin with; letters, digits, `-` and `_`.
        analysis: the numbers.
        figures: drawn from them.
        findings: the summary in words.
        claims: what the paper found, beside what this study found.
        guidelines: what to do about it.
        command: what makes this page again.
        files: addresses of what lies beside the page, relative to it, by label:
            `{"variants.csv": "tables/variants.csv"}`.
        figure_files: addresses of the figures by name, relative to the page.
    """

    key: str
    analysis: StudyAnalysis
    figures: Sequence[Figure]
    findings: Sequence[Finding]
    claims: Sequence[Claim]
    guidelines: Sequence[Guideline]
    command: str
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    figure_files: Mapping[str, str] = dataclasses.field(default_factory=dict)


def render(studies: Sequence[StudyPage]) -> str:
    """Writes the page.

    Args:
        studies: at least one; with several there is a table of them all on top.

    Returns:
        An HTML document with its style, its script and its figures inside.
    """
    raise NotImplementedError
