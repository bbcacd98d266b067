"""One variant of a study: its design, its ledger, its models and KerasTuner's project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.errors import InputError
from tuner.search import design
from tuner.search.hypermodel import VariantHyperModel
from tuner.search.oracle import StudyTuner
from tuner.search.samplers import JointSampler, Sampler
from tuner.study.ledger import Ledger
from tuner.study.models import Models
from tuner.study.presets import StudyConfig
from tuner.training.protocol import Failure, Trial, TrialRecord, TrialResult


class VariantStudy:
    """The proposed and the ended trials of one variant.

    Attributes:
        ledger: the ended trials on disk.
        trials: the trials proposed so far, by index.
        records: the records of ended trials, in the order in which they ended.
    """

    def __init__(
        self,
        directory: Path,
        config: StudyConfig,
        variant: str,
        sampler: Sampler | JointSampler,
        *,
        retry_failed: bool = False,
    ) -> None:
        """Restores the state from the ledger.

        Args:
            directory: the study directory.
            config: the configuration of the study.
            variant: code of the variant.
            sampler: proposes trials; one that does not look at results does so now.
            retry_failed: whether failed trials count as not ended.

        Raises:
            InputError: if a file is damaged, or the trials do not match this search.
            OSError: if the disk is full or the directory read-only.
        """
        self.variant = variant
        self._design = directory / "designs" / f"{variant}.csv"
        self.ledger = Ledger(directory / "trials" / f"{variant}.jsonl")
        self.ledger.repair()
        self.trials = self._restore_design(config, sampler)
        ended = self.ledger.records()
        self.ledger.check(ended, self.trials)
        self.records = [
            record for record in ended if not (retry_failed and isinstance(record, Failure))
        ]
        max_trials = max([config.most_trials, *(record.trial.index + 1 for record in ended)])
        self._tuner = StudyTuner(
            VariantHyperModel(
                config.problem.task,
                variant,
                config.problem.corpus,
                config.problem.protocol,
                config.space,
            ),
            config.space,
            max_trials,
            self.trials[:max_trials],
            self.records,
            directory=directory / "keras_tuner",
            variant=variant,
        )
        self._models = Models(
            config.problem, directory / "best" / variant, self._tuner.weights_path
        )
        self._models.update(self.finished)

    def _restore_design(
        self, config: StudyConfig, sampler: Sampler | JointSampler
    ) -> list[Trial]:
        """Reads the proposals; those of a non-adaptive sampler are checked and completed."""
        saved = list(design.load(self._design, config.space)) if self._design.exists() else []
        if not isinstance(sampler, Sampler) or sampler.lag is not None:
            return saved
        count = max(len(saved), config.trials)
        proposed = [sampler.propose(self.variant, index, ()) for index in range(count)]
        if saved != proposed[: len(saved)]:
            raise InputError(f"{self._design}: expected the trials that seed {config.seed} draws")
        if len(saved) < count:
            design.save(self._design, proposed)
        return proposed

    @property
    def finished(self) -> list[TrialRecord]:
        """The finished trials, in the order in which they finished."""
        return [record for record in self.records if isinstance(record, TrialRecord)]

    def propose(self, trial: Trial) -> None:
        """Adds a proposal; it is on disk before its trial begins."""
        self.trials.append(trial)
        design.save(self._design, self.trials)
        self._tuner.add(trial)

    def waiting(self, count: int) -> Sequence[Trial]:
        """Returns those of the first `count` proposals that have not ended."""
        ended = {record.trial.index for record in self.records}
        return [trial for trial in self.trials[:count] if trial.index not in ended]

    def begin(self, trial: Trial) -> None:
        """Begins a trial."""
        self._tuner.begin(trial)

    def finish(self, result: TrialResult) -> TrialRecord:
        """Records a finished trial, and its model if it is one of the best.

        Raises:
            OSError: if the disk is full or the directory read-only.
        """
        record = TrialRecord(result.trial, result.result)
        # If a crash interrupts these steps, the next start restores what is missing.
        self._models.save_weights(record, result.weights, self.finished)
        self._record(record)
        self._models.update(self.finished)
        return record

    def fail(self, failure: Failure) -> None:
        """Records a failed trial.

        Raises:
            OSError: if the disk is full or the directory read-only.
        """
        self._record(failure)

    def _record(self, record: TrialRecord | Failure) -> None:
        self.ledger.append(record)
        self.records.append(record)
        self._tuner.end(record)
