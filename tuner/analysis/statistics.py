"""Numbers about the trials of a study."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

from tuner.ledger import Entry, best_first


@dataclasses.dataclass(frozen=True)
class VariantSummary:
    """What the trials of one variant come to.

    Attributes:
        variant: code.
        finished: number of finished trials.
        planned: number of rows of the design.
        best: the trial with the best validation score.
        top_tenth: how many trials the best tenth by validation has (at least one).
        top_tenth_median_test: median of their test scores.
        diverged: number of trials that diverged.
        seconds: training time of all trials.
    """

    variant: str
    finished: int
    planned: int
    best: Entry
    top_tenth: int
    top_tenth_median_test: float
    diverged: int
    seconds: float


def summarize(variant: str, entries: Sequence[Entry], planned: int) -> VariantSummary:
    """Summarizes the finished trials of a variant.

    The best tenth is chosen by validation and judged by test, as in section 5.1 of the paper (20 of
    200 trials); it is rounded up.

    Args:
        variant: code.
        entries: finished trials, at least one.
        planned: number of rows of the design.
    """
    ranked = best_first(entries)
    top = ranked[: math.ceil(len(ranked) / 10)]
    return VariantSummary(
        variant=variant,
        finished=len(ranked),
        planned=planned,
        best=ranked[0],
        top_tenth=len(top),
        top_tenth_median_test=statistics.median(entry.result.test.mean for entry in top),
        diverged=sum(entry.result.diverged for entry in ranked),
        seconds=sum(entry.result.seconds for entry in ranked),
    )
