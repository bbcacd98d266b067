"""A study: what is to be done, what is done and what remains, in one directory on disk.

study.json            task, dataset, protocol, space, sampler, seed, versions
designs/<code>.csv    the proposed trials
trials/<code>.jsonl   the ledger
running/<code>-<n>.npz  checkpoints of running trials
keras_tuner/<code>/   KerasTuner's own project
best/<code>/          model and card of the best trial so far
report/index.html     the report
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol as Interface

import filelock

from common import files, interrupts
from common.command_line import log
from common.errors import InputError
from serving.publish.sources import CARD, STUDY
from tuner.parallel.messages import EpochEnd, Event, Started, WorkerDied
from tuner.parallel.pool import Pool
from tuner.search import samplers
from tuner.search.samplers import SearchProblem
from tuner.study import adoption, facts, ledger, models
from tuner.study.adoption import Adoption, DifferentResult, Source
from tuner.study.presets import StudyConfig
from tuner.study.trials_left import Part, TrialsLeft
from tuner.study.variant_study import VariantStudy
from tuner.training import engines, trial_state
from tuner.training.engines import Engine
from tuner.training.protocol import Failure, Problems, Trial, TrialRecord, TrialResult

_FOLDERS = ("designs", "trials", "running", "keras_tuner", "best")


class Observer(Interface):
    """Receives the events of a study."""

    def begin(self, done: Sequence[TrialRecord | Failure], remaining: Sequence[Trial]) -> None:
        """The study starts; `done` ended earlier, `remaining` were proposed but have not ended."""

    def propose(self, trial: Trial) -> None:
        """A trial has been proposed, by an adaptive sampler."""

    def adopt(self, records: Sequence[TrialRecord]) -> None:
        """Finished trials from elsewhere have been recorded."""

    def start(self, trial: Trial) -> None:
        """A trial has started."""

    def end_epoch(self, end: EpochEnd) -> None:
        """An epoch of a trial has ended."""

    def worker_died(self, death: WorkerDied) -> None:
        """The worker of a trial has died; another one resumes the trial."""

    def finish(self, record: TrialRecord) -> None:
        """A trial has finished and been recorded."""

    def fail(self, failure: Failure) -> None:
        """A trial has failed and been recorded."""


@dataclasses.dataclass(frozen=True)
class Begun:
    """A study that is ready to be trained.

    Attributes:
        problems: the problem of its trials, by task name; see `tuner.parallel.pool.Pool.run`.
        queue: its remaining trials.
        take: records an event.
    """

    problems: Problems
    queue: TrialsLeft
    take: Callable[[Event], None]


class Study:
    """A study on disk.

    Attributes:
        directory: the study directory.
    """

    def __init__(self, directory: Path, config: StudyConfig, command: str = "") -> None:
        """Sets up a study; nothing is read or written yet.

        Args:
            directory: the study directory; created if it does not exist.
            config: the configuration of the study.
            command: the command line that runs it, for the report.
        """
        self.directory = directory
        self._config = config
        self._command = command

    @property
    def task(self) -> str:
        """Name of the task."""
        return self._config.problem.task.name

    def run(
        self,
        pool: Pool,
        observer: Observer,
        engine: str = "auto",
        *,
        retry_failed: bool = False,
        adopt: Sequence[Source] = (),
    ) -> None:
        """Runs all trials that have not ended; see `begin` and `tuner.study.together.run`.

        Raises:
            KeyboardInterrupt: at Ctrl-C or SIGTERM, if this is the main thread.
        """
        begun = self.begin(pool, observer, engine, retry_failed=retry_failed, adopt=adopt)
        with interrupts.raised(), begun as study:
            pool.run(study.problems, study.queue, study.take)

    @contextmanager
    def begin(
        self,
        pool: Pool,
        observer: Observer,
        engine: str = "auto",
        *,
        retry_failed: bool = False,
        adopt: Sequence[Source] = (),
    ) -> Iterator[Begun]:
        """Prepares all trials that have not ended for training by the pool.

        Trials of all variants run concurrently. A finished trial is on disk before it is reported;
        a trial that was running when the process died resumes from its checkpoint.

        Args:
            pool: trains the trials; it may differ from that of an earlier run of the study.
            observer: receives the progress.
            engine: a key of `tuner.training.engines.ENGINES`, or `auto`.
            retry_failed: whether to train failed trials again, which adds lines to the ledger.
            adopt: finished trials to adopt instead of training them; see `tuner.study.adoption`.

        Raises:
            InputError: if another process is running the study; if it, or the trials to adopt, were
                begun with a different protocol, space, seed, dataset or library versions; if one of
                its files is damaged; or if the engine cannot train a trial.
            OSError: if the disk is full or the directory read-only; finished trials are kept.
        """
        config = self._config
        with self._locked():
            facts.update(self.directory / STUDY, config, self._command)
            self._discard_damaged()
            chosen: dict[str, Engine] = {}

            def choose(trial: Trial) -> Engine:
                if trial.variant not in chosen:
                    chosen[trial.variant] = engines.choose(engine, config.problem, trial)
                return chosen[trial.variant]

            def restore() -> tuple[dict[str, VariantStudy], TrialsLeft]:
                sampler = samplers.make(
                    config.sampler,
                    SearchProblem(
                        config.space,
                        config.seed,
                        config.problem.task.name,
                        config.variants,
                        config.trials,
                        config.lag,
                    ),
                )
                variants = {
                    variant: VariantStudy(
                        self.directory, config, variant, sampler, retry_failed=retry_failed
                    )
                    for variant in config.variants
                }
                path = self._checkpoint_path
                return variants, TrialsLeft(
                    config, variants, sampler, choose, path, lambda trial: observer.propose(trial)
                )

            def take(event: Event) -> None:
                with interrupts.held():
                    self._take(event, variants, observer)

            problems = {config.problem.task.name: config.problem}
            variants, queue = restore()
            self._check_others()
            adoptions = self._plan_adoptions(adopt, variants, queue, choose)
            done = [record for variant in variants.values() for record in variant.records]
            observer.begin(done, queue.remaining)
            if adoptions:
                controls = Part(queue, [adoption.control.trial for adoption in adoptions])
                pool.run(problems, controls, take)
                adopted = self._adopt(adoptions, variants)
                facts.update(
                    self.directory / STUDY, config, self._command, [each.facts for each in adopt]
                )
                variants, queue = restore()
                observer.adopt(adopted)
            yield Begun(problems, queue, take)

    def _plan_adoptions(
        self,
        sources: Sequence[Source],
        variants: Mapping[str, VariantStudy],
        queue: TrialsLeft,
        choose: Callable[[Trial], Engine],
    ) -> list[Adoption]:
        if not sources:
            return []
        if not queue.complete:
            raise InputError(
                f"--adopt: expected a sampler that looks at no results. Received: "
                f"--sampler={self._config.sampler}"
            )
        most = self._config.trials
        planned = {code: variant.trials[:most] for code, variant in variants.items()}
        names = {code: choose(trials[0]).name for code, trials in planned.items()}
        adoptions = []
        for source in sources:
            facts.compare(source.facts, self._config, str(source.path))
            adoptions += adoption.plan(source, planned, names)
        return adoptions

    def _adopt(
        self, adoptions: Iterable[Adoption], variants: Mapping[str, VariantStudy]
    ) -> list[TrialRecord]:
        """Adds trials to the ledgers, if the control trial has the same result here."""
        adopted: list[TrialRecord] = []
        for each in adoptions:
            known = [*variants[each.variant].finished, *adopted]
            try:
                missing = each.missing(known)
            except DifferentResult as difference:
                log(f"{each.path}: no trial of {each.variant} is adopted: {difference}")
                continue
            for record in missing:
                variants[each.variant].ledger.append(record)
            adopted += missing
        return adopted

    def _take(self, event: Event, variants: Mapping[str, VariantStudy], observer: Observer) -> None:
        """Records trials that have ended and notifies the observer."""
        if isinstance(event, TrialResult) and (reason := event.result.not_finite):
            event = Failure(event.trial, reason, event.result.engine)
        match event:
            case Started(trial):
                observer.start(trial)
            case EpochEnd():
                observer.end_epoch(event)
            case WorkerDied():
                observer.worker_died(event)
            case TrialResult(trial):
                record = variants[trial.variant].finish(event)
                self._checkpoint_path(trial).unlink(missing_ok=True)
                observer.finish(record)
            case Failure(trial):
                variants[trial.variant].fail(event)
                self._checkpoint_path(trial).unlink(missing_ok=True)
                observer.fail(event)

    def _checkpoint_path(self, trial: Trial) -> Path:
        return self.directory / "running" / f"{trial.variant}-{trial.index}.npz"

    def _check_others(self) -> None:
        """Checks the files of variants not trained now that the report and the export will read."""
        config = self._config
        for path in sorted((self.directory / "designs").glob("*.csv")):
            if path.stem not in config.variants:
                ledger.read_variant(self.directory, path.stem, config.space)
        for path in sorted((self.directory / "best").glob(f"[!.]*/{CARD}")):
            if path.parent.name not in config.variants:
                models.check_best(path.parent)

    def _discard_damaged(self) -> None:
        """Removes damaged checkpoints; their trials start over, with the same results."""
        for path in sorted((self.directory / "running").glob("*.npz")):
            if not trial_state.is_whole(path):
                path.unlink()
                log(f"{path}: damaged, or of another release; its trial starts again")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        for folder in _FOLDERS:
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.directory / "study.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise InputError(
                f"{self.directory}: another process is running this study; "
                "wait for it or choose another --study_dir"
            ) from error
        try:
            folders = [self.directory / name for name in (".", *_FOLDERS)]
            for path in (*folders, *self.directory.glob("keras_tuner/*/trial_*/")):
                files.sweep(path)
            yield
        finally:
            lock.release()
