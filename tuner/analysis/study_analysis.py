"""All numbers about a study that the report draws and words."""

from __future__ import annotations

import dataclasses

from tuner.analysis import importance, statistics
from tuner.analysis.evidence import NotEnough
from tuner.analysis.importance import TARGETS, Importance
from tuner.analysis.records import Records
from tuner.analysis.statistics import Comparison, ExpectedBest, VariantSummary
from tuner.design import Space
from tuner.tasks.task import Metric


@dataclasses.dataclass(frozen=True)
class StudyAnalysis:
    """All numbers about a study.

    Attributes:
        records: its trials.
        metric: what their scores are.
        summaries: one for each variant with a finished trial.
        comparisons: of each variant's best tenth with vanilla's.
        expected_best: one for each variant with a finished trial.
        importance: by variant (None: all pooled) and target.
    """

    records: Records
    metric: Metric
    summaries: tuple[VariantSummary, ...]
    comparisons: dict[str, Comparison | NotEnough]
    expected_best: tuple[ExpectedBest, ...]
    importance: dict[tuple[str | None, str], Importance | NotEnough]

    @property
    def best(self) -> VariantSummary | None:
        """The variant of the trial with the best validation score; None without any trial."""
        return min(
            self.summaries,
            key=lambda summary: summary.best.result.validation.mean,
            default=None,
        )


def analyse(records: Records, backend: str = "forest") -> StudyAnalysis:
    """Computes all numbers about a study from what is finished so far.

    Args:
        records: its trials.
        backend: what computes the importance, "forest" or "fanova".

    Raises:
        InputError: if the package of the back end is not installed.
    """
    finished = {variant: entries for variant, entries in records.entries.items() if entries}
    summaries = tuple(
        statistics.summarize(
            variant, entries, len(records.failures[variant]), records.planned[variant]
        )
        for variant, entries in finished.items()
    )
    entries = [entry for trials in finished.values() for entry in trials]
    space = Space(**{name: tuple(ends) for name, ends in records.facts["space"].items()})
    return StudyAnalysis(
        records=records,
        metric=records.metric,
        summaries=summaries,
        comparisons=statistics.compare(summaries),
        expected_best=tuple(
            statistics.expected_best(variant, trials) for variant, trials in finished.items()
        ),
        importance={
            (variant, target): importance.analyse(
                entries, space, variant=variant, target=target, backend=backend
            )
            for target in TARGETS
            for variant in (None, *finished)
        },
    )
