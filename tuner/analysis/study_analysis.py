"""All numbers about a study that the figures and the text of the report need."""

from __future__ import annotations

import dataclasses

from tuner.analysis.importance import importance
from tuner.analysis.importance.importance import TARGETS, Importance
from tuner.analysis.statistics import progress, summaries
from tuner.analysis.statistics.progress import Progress
from tuner.analysis.statistics.summaries import (
    BASELINE,
    Comparison,
    ExpectedBest,
    InsufficientData,
    NotDrawnAtRandom,
    VariantSummary,
)
from tuner.analysis.trials.records import Records
from tuner.tasks.task import Metric


@dataclasses.dataclass(frozen=True)
class StudyAnalysis:
    """All numbers about a study.

    Attributes:
        records: its trials.
        metric: the metric of their scores.
        summaries: one for each variant with a finished trial.
        comparisons: comparison of each variant's best tenth with vanilla's.
        expected_best: one for each variant with a finished trial; empty unless trials were drawn at
            random.
        importance: by variant (None: all pooled) and target.
        progress: progress of the search, if the sampler looks at results.
    """

    records: Records
    metric: Metric
    summaries: tuple[VariantSummary, ...]
    comparisons: dict[str, Comparison | InsufficientData]
    expected_best: tuple[ExpectedBest, ...]
    importance: dict[tuple[str | None, str], Importance | InsufficientData]
    progress: Progress | None = None

    @property
    def best(self) -> VariantSummary | None:
        """The variant of the trial with the best validation score; None if there are no trials."""
        return min(
            self.summaries,
            key=lambda summary: summary.best.result.validation.mean,
            default=None,
        )


def analyze(records: Records, backend: str = "forest") -> StudyAnalysis:
    """Computes all numbers about a study from the trials finished so far.

    Args:
        records: its trials.
        backend: back end that computes the importance, "forest" or "fanova".

    Raises:
        InputError: if the package of the back end is not installed.
    """
    finished = {variant: entries for variant, entries in records.entries.items() if entries}
    summarized = tuple(
        summaries.summarize(
            variant, entries, len(records.failures[variant]), records.planned[variant]
        )
        for variant, entries in finished.items()
    )
    at_random, by_results = records.drawn == "at random", records.drawn == "by results"
    return StudyAnalysis(
        records=records,
        metric=records.metric,
        summaries=summarized,
        comparisons=summaries.compare(summarized)
        if at_random
        else {
            variant: _lacking(records, "the tests assume")
            for variant in finished
            if variant != BASELINE
        },
        expected_best=tuple(
            summaries.expected_best(variant, trials) for variant, trials in finished.items()
        )
        if at_random
        else (),
        importance={
            (variant, target): _lacking(records, "shares of the variance over the space assume")
            if by_results
            else importance.analyze(
                records.all_entries, records.space, variant=variant, target=target, backend=backend
            )
            for target in TARGETS
            for variant in (None, *finished)
        },
        progress=progress.follow(records) if by_results and finished else None,
    )


def _lacking(records: Records, assume: str) -> NotDrawnAtRandom:
    """Explains why there is no result."""
    how = "evenly" if records.drawn == "evenly" else "where earlier ones had been good"
    return NotDrawnAtRandom(
        f"{assume} trials drawn at random, and the sampler {records.sampler} proposed them {how}"
    )
