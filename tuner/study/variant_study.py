"""One variant of a study: its ledger, its models and KerasTuner's project, kept together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.errors import InputError
from tuner.search.design import Row
from tuner.search.hypermodel import VariantHyperModel
from tuner.search.study_tuner import StudyTuner
from tuner.study.ledger import Ledger, TrialRecord
from tuner.study.models import Models
from tuner.study.plan import Plan
from tuner.tasks.task import Corpus, Task
from tuner.training.estimate import Cost
from tuner.training.protocol import Failure, Trial, TrialResult


class VariantStudy:
    """What is done of one variant, and what remains.

    Attributes:
        records: ended trials.
        remaining: wanted trials that had not ended at the start, the longest first.
    """

    def __init__(
        self,
        directory: Path,
        plan: Plan,
        task: Task,
        corpus: Corpus,
        variant: str,
        rows: Sequence[Row],
        cost: Cost,
    ) -> None:
        """Restores what is done from the ledger.

        Args:
            directory: the study directory.
            plan: what the study shall do.
            task: what is learned.
            corpus: its data.
            variant: code of the variant.
            rows: its design, at least as long as planned.
            cost: how long a trial may take.

        Raises:
            InputError: if the ledger is damaged or is not that of the design.
            OSError: if the disk is full or the directory read-only.
        """
        self._ledger = Ledger(directory / "trials" / f"{variant}.jsonl")
        self._ledger.repair()
        self.records = list(self._ledger.records())
        ended = {record.trial.index for record in self.records}
        for record in self.records:
            index = record.trial.index
            if index >= len(rows) or record.trial != rows[index].as_trial(variant):
                raise InputError(f"{self._ledger.path}: trial {index} is not that of the design")
        waiting = (row.as_trial(variant) for row in rows[: plan.trials] if row.trial not in ended)
        self.remaining = sorted(waiting, key=cost, reverse=True)
        designed = max([plan.trials, *(index + 1 for index in ended)])
        self._tuner = StudyTuner(
            VariantHyperModel(task, variant, corpus, plan.protocol, plan.space),
            plan.space,
            rows[:designed],
            directory=directory / "keras_tuner",
            variant=variant,
            records=self.records,
            order=[trial.index for trial in self.remaining],
        )
        self._models = Models(
            task, corpus, plan.protocol, directory / "best" / variant, self._tuner.weights_path
        )
        self._models.update(self._entries())

    def _entries(self) -> list[TrialRecord]:
        return [record for record in self.records if isinstance(record, TrialRecord)]

    def begin(self) -> Trial:
        """Begins the next of the remaining trials."""
        return self._tuner.begin()

    def finish(self, outcome: TrialResult) -> TrialRecord:
        """Records a finished trial, and keeps its model if it is one of the best.

        Raises:
            OSError: if the disk is full or the directory read-only.
        """
        entry = TrialRecord(outcome.trial, outcome.result)
        # What a crash between these steps leaves out is restored at the next start.
        self._models.save_weights(entry, outcome.weights, self._entries())
        self._record(entry)
        self._models.update(self._entries())
        return entry

    def fail(self, failure: Failure) -> None:
        """Records a failed trial.

        Raises:
            OSError: if the disk is full or the directory read-only.
        """
        self._record(failure)

    def _record(self, record: TrialRecord | Failure) -> None:
        self._ledger.append(record)
        self.records.append(record)
        self._tuner.end(record)
