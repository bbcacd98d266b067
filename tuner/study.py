"""A study: what is to be done, what is done, what remains; one directory on disk.

study.json            task, data edition, protocol, space, seed, versions
designs/<code>.csv    the drawn rows
trials/<code>.jsonl   the ledger
running/<code>-<n>.npz  checkpoint of the trial underway
keras_tuner/<code>/   KerasTuner's own project
best/<code>/          model and card of the best trial so far
report/index.html     what it says
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import filelock

from serving import files
from serving.command_line import InputError
from tuner import design, reference
from tuner.course import Course
from tuner.design import Row, Space
from tuner.hypermodel import VariantHyperModel
from tuner.ledger import Entry, Ledger
from tuner.models import Models
from tuner.protocol import Outcome, Protocol, Trial
from tuner.search import StudyTuner
from tuner.tasks.task import Corpus, Task

_FOLDERS = ("designs", "trials", "running", "keras_tuner", "best")
_VERSIONED = ("keras", "keras-tuner", "numpy", "tensorflow")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a study shall do.

    Attributes:
        variants: codes of the variants.
        trials: trials of each variant.
        protocol: training rules.
        space: ranges of the hyperparameters.
        seed: seed of the designs.
    """

    variants: tuple[str, ...]
    trials: int
    protocol: Protocol
    space: Space
    seed: int

    def rows(self, task: Task, variant: str) -> tuple[Row, ...]:
        """Draws the design of a variant."""
        return design.draw(self.space, self.seed, task.name, variant, self.trials)


class Observer(Interface):
    """Is told what happens in a study."""

    def begin(self, done: Iterable[Entry], remaining: int) -> None:
        """The study starts; `done` were finished earlier."""

    def epoch(self, trial: Trial, course: Course) -> None:
        """An epoch of a trial is finished."""

    def finish(self, entry: Entry) -> None:
        """A trial is finished and recorded."""


class Study:
    """A study on disk.

    Attributes:
        directory: where it is.
    """

    def __init__(self, directory: Path, plan: Plan, task: Task, corpus: Corpus) -> None:
        """Names a study; nothing is read or written yet.

        Args:
            directory: the study directory; made if it does not exist.
            plan: what to do.
            task: what is learnt.
            corpus: its data.
        """
        self.directory = directory
        self._plan = plan
        self._task = task
        self._corpus = corpus

    def run(self, observer: Observer) -> None:
        """Does all trials that are not done.

        A finished trial is on disk before the next one starts; a trial that was underway when the
        process died goes on from its checkpoint.

        Args:
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
            done: list[Entry] = []
            for variant in self._plan.variants:
                ledger = self._ledger(variant)
                ledger.repair()
                done += ledger.entries()
            finished = {(entry.trial.variant, entry.trial.index) for entry in done}
            remaining = sum(
                (variant, row.trial) not in finished
                for variant, rows in designs.items()
                for row in rows[: self._plan.trials]
            )
            observer.begin(done, remaining)
            for variant, rows in designs.items():
                self._search(variant, rows, observer)

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
            "data": dataclasses.asdict(self._corpus.edition),
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
        if not path.exists():
            files.write_text(path, json.dumps(facts, indent=2) + "\n")
            return
        try:
            begun = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path}: expected JSON: {error}") from error
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

    def _ledger(self, variant: str) -> Ledger:
        return Ledger(self.directory / "trials" / f"{variant}.jsonl")

    def _checkpoint_path(self, trial: Trial) -> Path:
        return self.directory / "running" / f"{trial.variant}-{trial.index}.npz"

    def _search(self, variant: str, rows: tuple[Row, ...], observer: Observer) -> None:
        ledger = self._ledger(variant)
        entries = ledger.entries()
        for entry in entries:
            if entry.trial.index >= len(rows) or entry.trial != rows[entry.trial.index].as_trial(
                variant
            ):
                raise InputError(
                    f"{ledger.path}: trial {entry.trial.index} is not that of the design"
                )
        wanted = max([self._plan.trials, *(entry.trial.index + 1 for entry in entries)])

        def run(trial: Trial) -> Entry:
            return self._run_trial(trial, ledger, models, observer)

        tuner = StudyTuner(
            VariantHyperModel(
                self._task, variant, self._corpus, self._plan.protocol, self._plan.space
            ),
            self._plan.space,
            rows[:wanted],
            directory=self.directory / "keras_tuner",
            variant=variant,
            entries=entries,
            run=run,
        )
        models = Models(
            self._task,
            self._corpus,
            self._plan.protocol,
            self.directory / "best" / variant,
            tuner.weights_path,
        )
        models.update(entries)
        tuner.search()

    def _run_trial(self, trial: Trial, ledger: Ledger, models: Models, observer: Observer) -> Entry:
        outcome: Outcome = next(
            reference.train(
                self._task,
                self._corpus,
                [trial],
                self._plan.protocol,
                checkpoint_path=self._checkpoint_path,
                observe=observer.epoch,
            )
        )
        models.save_weights(Entry(trial, outcome.result), outcome.weights)
        entry = ledger.append(outcome)
        models.update(ledger.entries())
        self._checkpoint_path(trial).unlink(missing_ok=True)
        observer.finish(entry)
        return entry


def _short(value: Any, other: Any) -> str:
    """Writes a fact, or only those of its parts that differ from another."""
    if isinstance(value, dict) and isinstance(other, dict):
        value = {key: part for key, part in value.items() if other.get(key) != part}
    return json.dumps(value)
