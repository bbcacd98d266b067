"""A study: what is to be done, what is done, what remains; one directory on disk.

study.json            task, data edition, protocol, space, seed, versions
designs/<code>.csv    the drawn rows
trials/<code>.jsonl   the ledger
running/<code>-<n>.npz  checkpoints of the trials underway
keras_tuner/<code>/   KerasTuner's own project
best/<code>/          model and card of the best trial so far
report/index.html     what it says
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import filelock

from common import files
from common.errors import InputError
from tuner.parallel import machine
from tuner.parallel.messages import Assignment, EpochEnd, Event, Started, WorkerDied
from tuner.parallel.pool import Pool
from tuner.search import design
from tuner.search.design import Row
from tuner.study.ledger import TrialRecord
from tuner.study.plan import Plan
from tuner.study.variant_study import VariantStudy
from tuner.tasks.task import Corpus, Task
from tuner.training.estimate import Cost
from tuner.training.protocol import Failure, Trial, TrialResult

_FOLDERS = ("designs", "trials", "running", "keras_tuner", "best")
_VERSIONED = ("keras", "keras-tuner", "numpy", "tensorflow")


class Observer(Interface):
    """Is told what happens in a study."""

    def begin(self, done: Sequence[TrialRecord | Failure], remaining: Sequence[Trial]) -> None:
        """The study starts; `done` ended earlier."""

    def start(self, trial: Trial) -> None:
        """A trial is handed out."""

    def advance(self, advanced: EpochEnd) -> None:
        """An epoch of a trial is finished."""

    def interrupt(self, interrupted: WorkerDied) -> None:
        """The worker of a trial has died; another one goes on."""

    def finish(self, entry: TrialRecord) -> None:
        """A trial is finished and recorded."""

    def fail(self, failure: Failure) -> None:
        """A trial has failed and is recorded."""


class Study:
    """A study on disk.

    Attributes:
        directory: where it is.
    """

    def __init__(
        self, directory: Path, plan: Plan, task: Task, corpus: Corpus, command: str = ""
    ) -> None:
        """Names a study; nothing is read or written yet.

        Args:
            directory: the study directory; made if it does not exist.
            plan: what to do.
            task: what is learned.
            corpus: its data.
            command: the command line that does it, for the report.
        """
        self.directory = directory
        self._command = command
        self._plan = plan
        self._task = task
        self._corpus = corpus

    def run(self, pool: Pool, observer: Observer) -> None:
        """Does all trials that have not ended, the longest first.

        The trials of all variants are underway together. A finished one is on disk before anybody
        hears of it; one that was underway when the process died goes on from its checkpoint.

        Args:
            pool: trains the trials; neither its engine nor its size need be those of an earlier run
                of the study.
            observer: is told of progress.

        Raises:
            InputError: if another process runs the study, or it was begun with another protocol,
                space, seed, data edition or other versions of the libraries, or one of its files is
                damaged.
            OSError: if the disk is full or the directory read-only; what was finished is kept.
        """
        with self._locked():
            self._check_facts()
            designs = {variant: self._check_design(variant) for variant in self._plan.variants}
            cost = Cost(self._task, self._corpus, self._plan.protocol, pool.engine)
            variants = {
                variant: VariantStudy(
                    self.directory, self._plan, self._task, self._corpus, variant, rows, cost
                )
                for variant, rows in designs.items()
            }
            remaining = [trial for variant in variants.values() for trial in variant.remaining]
            remaining.sort(key=cost, reverse=True)
            observer.begin(
                [record for variant in variants.values() for record in variant.records], remaining
            )
            pool.run(
                self._task,
                self._corpus,
                self._plan.protocol,
                (self._begin(variants[trial.variant]) for trial in remaining),
                lambda event: self._take(event, variants, observer),
            )

    def _begin(self, variant: VariantStudy) -> Assignment:
        trial = variant.begin()
        return Assignment(trial, self._checkpoint_path(trial))

    def _take(
        self, event: Event, variants: Mapping[str, VariantStudy], observer: Observer
    ) -> None:
        """Records what has ended and tells the observer."""
        match event:
            case Started(trial):
                observer.start(trial)
            case EpochEnd():
                observer.advance(event)
            case WorkerDied():
                observer.interrupt(event)
            case TrialResult(trial):
                entry = variants[trial.variant].finish(event)
                self._checkpoint_path(trial).unlink(missing_ok=True)
                observer.finish(entry)
            case Failure(trial):
                variants[trial.variant].fail(event)
                self._checkpoint_path(trial).unlink(missing_ok=True)
                observer.fail(event)

    def _checkpoint_path(self, trial: Trial) -> Path:
        return self.directory / "running" / f"{trial.variant}-{trial.index}.npz"

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
            for folder in (".", *_FOLDERS):
                files.sweep(self.directory / folder)
            yield
        finally:
            lock.release()

    def _facts(self) -> dict[str, Any]:
        facts = {
            "task": self._task.name,
            "metric": dataclasses.asdict(self._task.metric),
            "data": dataclasses.asdict(self._corpus.dataset),
            "protocol": dataclasses.asdict(self._plan.protocol),
            "space": dataclasses.asdict(self._plan.space),
            "seed": self._plan.seed,
            "versions": {name: importlib.metadata.version(name) for name in _VERSIONED},
        }
        # Through JSON, as they come back from the file.
        jsoned: dict[str, Any] = json.loads(json.dumps(facts))
        return jsoned

    def _check_facts(self) -> None:
        path = self.directory / "study.json"
        facts = self._facts()
        begun: dict[str, Any] = {}
        if path.exists():
            try:
                begun = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InputError(f"{path}: expected JSON: {error}") from error
            self._compare(path, begun, facts)
        # A study may be continued elsewhere, or by a command that asks for more of it.
        seen = {
            "machines": _with(begun.get("machines", []), machine.describe()),
            "commands": _with(begun.get("commands", []), self._command),
        }
        if not seen.items() <= begun.items():
            files.write_text(path, json.dumps(facts | begun | seen, indent=2) + "\n")

    def _compare(self, path: Path, begun: dict[str, Any], facts: dict[str, Any]) -> None:
        """Refuses to go on with a study that was begun with other facts."""
        for name, now in facts.items():
            # The same data may come from another file: only its hash and name matter.
            before = begun.get(name)
            if name == "data" and isinstance(before, dict):
                before, now = (
                    {key: side.get(key) for key in ("name", "sha256")} for side in (before, now)
                )
            if before != now:
                raise InputError(
                    f"{path}: this study was begun with {name} {_short(before, now)}; now it is "
                    f"{_short(now, before)}. Use the same again, or another --study_dir"
                )

    def _check_design(self, variant: str) -> tuple[Row, ...]:
        """Writes the design before the first trial, or checks the one there; it may grow."""
        path = self.directory / "designs" / f"{variant}.csv"
        rows = self._plan.rows(self._task, variant)
        if path.exists():
            saved = design.load(path)
            longest = max(len(saved), len(rows))
            rows = dataclasses.replace(self._plan, trials=longest).rows(self._task, variant)
            if saved != rows[: len(saved)]:
                raise InputError(f"{path}: expected the rows that seed {self._plan.seed} draws")
            if len(saved) == longest:
                return rows
        design.save(path, rows)
        return rows


def _with(known: list[str], one: str) -> list[str]:
    """Adds what is not in a list yet, and is not empty."""
    return [*known, one] if one and one not in known else known


def _short(value: Any, other: Any) -> str:
    """Writes a fact, or only those of its parts that differ from another."""
    if isinstance(value, dict) and isinstance(other, dict):
        value = {key: part for key, part in value.items() if other.get(key) != part}
    return json.dumps(value)
