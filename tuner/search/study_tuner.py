"""The KerasTuner tuner that drives a study of one variant."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras_tuner

from tuner.search.design import Row, Space
from tuner.search.hypermodel import VariantHyperModel
from tuner.search.oracle import DesignOracle
from tuner.study.ledger import TrialRecord
from tuner.training.protocol import Failure, Trial

_CHECKPOINT = "checkpoint.weights.h5"


class StudyTuner(keras_tuner.Tuner):
    """Searches a pre-drawn design; each trial is trained and recorded by the study.

    KerasTuner's own loop runs one trial after the other. Here a study keeps several underway, of
    several variants, and calls `begin` and `end`.

    The project folder is written anew from the ledger's records whenever the tuner is made, so that
    a damaged or missing one costs nothing. Only the weights in it are kept: anyone can open the
    folder with KerasTuner alone afterward.

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
        rows: Sequence[Row],
        *,
        directory: Path,
        variant: str,
        records: Iterable[TrialRecord | Failure],
        order: Sequence[int],
    ) -> None:
        """Restores what is done.

        Args:
            hypermodel: the variant's model.
            space: ranges of the hyperparameters.
            rows: the design.
            directory: `keras_tuner` of the study directory.
            variant: code of the variant; KerasTuner's project name.
            records: ended trials.
            order: rows of the trials that are to be run, in the order in which they shall begin.
        """
        oracle = DesignOracle(space, rows)
        oracle.restore(records, order)
        # The study reports progress itself.
        oracle.verbose = 0
        project = directory / variant
        for stale in [*project.glob("*.json"), *project.glob("trial_*/trial.json")]:
            stale.unlink()
        for folder in sorted(project.glob("trial_*")):
            # The width of a trial's number grows with the number of trials.
            name = f"trial_{oracle.trial_id(int(folder.name.removeprefix('trial_')))}"
            folder.rename(project / name)
        super().__init__(oracle, hypermodel, directory=str(directory), project_name=variant)
        self._variant = variant
        self._write_trials()

    def _write_trials(self) -> None:
        for trial_id, trial in self.oracle.trials.items():
            trial.save(str(Path(self.get_trial_dir(trial_id)) / "trial.json"))
        self.save()

    def weights_path(self, index: int) -> Path:
        """Where KerasTuner looks for the weights of a trial's best epoch."""
        return Path(self.get_trial_dir(self.oracle.trial_id(index))) / _CHECKPOINT

    def begin(self) -> Trial:
        """Lets the oracle begin the next trial; any number may be underway."""
        # To KerasTuner, whoever runs a trial at the same time as others is a tuner of its own.
        names = (f"tuner{number}" for number in itertools.count())
        free = next(name for name in names if name not in self.oracle.ongoing_trials)
        begun = self.oracle.create_trial(free)
        self.on_trial_begin(begun)
        trial: Trial = self.oracle.row(begun.trial_id).as_trial(self._variant)
        return trial

    def end(self, record: TrialRecord | Failure) -> None:
        """Lets the oracle end a trial that has begun."""
        self.on_trial_end(self.oracle.take(record))

    def search(self, *args: Any, **kwargs: Any) -> None:
        """Refuses: the study runs the trials of all variants together.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("run the search with tuner.study.study.Study.run")
