"""KerasTuner's side of a study: an oracle that serves the sampler's proposals, and its tuner."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras_tuner

from tuner.search.hypermodel import OBJECTIVE, VariantHyperModel
from tuner.search.space import Space
from tuner.training.protocol import Failure, Trial, TrialRecord

# KerasTuner does not export its names of a trial's states.
_RUNNING, _COMPLETED, _FAILED, _STOPPED = "RUNNING", "COMPLETED", "FAILED", "STOPPED"

_CHECKPOINT = "checkpoint.weights.h5"
_TRIAL_FOLDER = re.compile(r"trial_([0-9]+)")

_DISTRIBUTED = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
"""With these, a KerasTuner tuner would wait for a chief; a study has its own workers."""


class ProposalOracle(keras_tuner.oracles.RandomSearchOracle):
    """Serves proposed trials in any order, and restores ended trials from a ledger.

    Unlike KerasTuner's own oracle, values do not depend on its seed, no number of consecutive
    failed trials stops the search, and an interrupted trial is served again.

    Args:
        space: ranges of the hyperparameters.
        max_trials: total number of trials.
    """

    def __init__(self, space: Space, max_trials: int) -> None:
        container = keras_tuner.HyperParameters()
        space.declare(container)
        super().__init__(
            objective=OBJECTIVE,
            max_trials=max_trials,
            hyperparameters=container,
            allow_new_entries=False,
            tune_new_entries=False,
            # Never used for drawing; 0 would mean "at random".
            seed=1,
            max_consecutive_failed_trials=max_trials + 1,
        )
        self._space = space

    def trial_id(self, index: int) -> str:
        """Returns KerasTuner's ID of the trial with an index."""
        return f"{index:0{len(str(self.max_trials))}d}"

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Stops a search that asks for more trials than were proposed; see `keras_tuner.Oracle`."""
        return {"status": _STOPPED, "values": None}

    def add(self, trial: Trial) -> Any:
        """Registers a proposed trial and returns KerasTuner's trial."""
        hyperparameters = self.get_space()
        hyperparameters.values = self._space.encode(trial.values)
        trial_id = self.trial_id(trial.index)
        self.trials[trial_id] = keras_tuner.engine.trial.Trial(
            hyperparameters=hyperparameters, trial_id=trial_id, status=_RUNNING
        )
        self.start_order.append(trial_id)
        return self.trials[trial_id]

    def serve_next(self, trial: Trial) -> None:
        """Puts a trial into the queue of interrupted ones, which KerasTuner serves first."""
        self.set_state({**self.get_state(), "retry_queue": [self.trial_id(trial.index)]})

    def restore(self, records: Iterable[TrialRecord | Failure]) -> None:
        """Ends trials that have been added, from their records, as if they had just been run."""
        for record in records:
            trial = self.take(record)
            if trial.status == _COMPLETED:
                self.score_trial(trial)
            self.end_order.append(trial.trial_id)

    def take(self, record: TrialRecord | Failure) -> Any:
        """Copies a trial's outcome into KerasTuner's trial, which is returned for `end_trial`."""
        trial = self.trials[self.trial_id(record.trial.index)]
        if isinstance(record, Failure):
            trial.status, trial.message = _FAILED, record.reason
            return trial
        result = record.result
        for name, score in (("validation", result.validation), ("test", result.test)):
            trial.metrics.register(name, direction="min")
            trial.metrics.update(name, score.mean, step=result.best_epoch)
        trial.status = _COMPLETED
        return trial


def _tidy(project: Path, oracle: ProposalOracle) -> None:
    """Removes files that will be rewritten, and renames trial folders to match the oracle.

    Files that are not KerasTuner's are kept, unless they occupy one of its paths.
    """
    project.mkdir(parents=True, exist_ok=True)
    for stale in [*project.glob("*.json"), *project.glob("trial_*/trial.json")]:
        _remove(stale)
    for folder in sorted(project.glob("trial_*")):
        number = _TRIAL_FOLDER.fullmatch(folder.name)
        if number is None:
            continue
        # The width of a trial's number grows with the number of trials.
        named = project / f"trial_{oracle.trial_id(int(number[1]))}"
        if not folder.is_dir():
            folder.unlink()
        elif folder != named and not named.exists():
            folder.rename(named)


def _remove(path: Path) -> None:
    """Removes a file or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


class StudyTuner(keras_tuner.Tuner):
    """The KerasTuner tuner of one variant; each trial is trained and recorded by the study.

    KerasTuner's own loop runs one trial at a time. Here, a study runs trials of several variants
    concurrently, and calls `add`, `begin` and `end`.

    The project folder is rewritten from the ledger's records whenever the tuner is created, so a
    damaged or missing one does no harm. Only the weights in it are kept. The folder can be opened
    later with KerasTuner alone.

    Args:
        hypermodel: the variant's model.
        space: ranges of the hyperparameters.
        max_trials: total number of trials.
        trials: the trials proposed so far.
        records: the records of the trials that have ended so far.
        directory: the folder `keras_tuner` of the study directory.
        variant: code of the variant; KerasTuner's project name.

    Example:
        ```python
        hypermodel = VariantHyperModel(find_task("music"), "V")
        tuner = keras_tuner.RandomSearch(
            hypermodel, OBJECTIVE, directory="studies/music/keras_tuner", project_name="V")
        tuner.results_summary()
        model = tuner.get_best_models()[0]
        ```
    """

    def __init__(
        self,
        hypermodel: VariantHyperModel,
        space: Space,
        max_trials: int,
        trials: Iterable[Trial],
        records: Iterable[TrialRecord | Failure],
        *,
        directory: Path,
        variant: str,
    ) -> None:
        oracle = ProposalOracle(space, max_trials)
        for trial in trials:
            oracle.add(trial)
        oracle.restore(records)
        # The study reports progress itself.
        oracle.verbose = 0
        _tidy(directory / variant, oracle)
        for name in _DISTRIBUTED:
            os.environ.pop(name, None)
        super().__init__(oracle, hypermodel, directory=str(directory), project_name=variant)
        for trial in self.oracle.trials.values():
            self._write(trial)
        self.save()

    def _write(self, trial: Any) -> None:
        trial.save(str(Path(self.get_trial_dir(trial.trial_id)) / "trial.json"))

    def weights_path(self, index: int) -> Path:
        """Returns the path where KerasTuner looks for the weights of a trial's best epoch."""
        return Path(self.get_trial_dir(self.oracle.trial_id(index))) / _CHECKPOINT

    def add(self, trial: Trial) -> None:
        """Adds a trial that has been proposed since."""
        self._write(self.oracle.add(trial))

    def begin(self, trial: Trial) -> None:
        """Makes the oracle begin a trial; any number of trials may be running."""
        self.oracle.serve_next(trial)
        # KerasTuner expects a separate tuner for each concurrent trial.
        names = (f"tuner{number}" for number in itertools.count())
        free = next(name for name in names if name not in self.oracle.ongoing_trials)
        self.on_trial_begin(self.oracle.create_trial(free))

    def end(self, record: TrialRecord | Failure) -> None:
        """Makes the oracle end a trial that has begun."""
        self.on_trial_end(self.oracle.take(record))

    def search(self, *args: Any, **kwargs: Any) -> None:
        """Raises an error, because the study runs the trials of all variants together.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("run the search with tuner.study.study.Study.run")
