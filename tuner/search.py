"""The KerasTuner tuner that drives a study of one variant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras_tuner

from tuner.design import Row, Space
from tuner.hypermodel import VariantHyperModel
from tuner.ledger import Entry
from tuner.oracle import DesignOracle
from tuner.protocol import Trial

_CHECKPOINT = "checkpoint.weights.h5"


class StudyTuner(keras_tuner.Tuner):
    """Searches a pre-drawn design; each trial is trained and recorded by the study.

    The project folder is written anew from the ledger's entries whenever the tuner is made, so that
    a damaged or missing one costs nothing. Only the weights in it are kept: anyone can open the
    folder with KerasTuner alone afterwards.

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
        entries: Iterable[Entry],
        run: Callable[[Trial], Entry],
    ) -> None:
        """Restores what is done.

        Args:
            hypermodel: the variant's model.
            space: ranges of the hyperparameters.
            rows: the design.
            directory: `keras_tuner` of the study directory.
            variant: code of the variant; KerasTuner's project name.
            entries: finished trials.
            run: trains one trial and records it; what it raises ends the search.
        """
        oracle = DesignOracle(space, rows)
        oracle.restore(entries)
        project = directory / variant
        for stale in [*project.glob("*.json"), *project.glob("trial_*/trial.json")]:
            stale.unlink()
        for folder in sorted(project.glob("trial_*")):
            # The width of a trial's number grows with the number of trials.
            name = f"trial_{oracle.trial_id(int(folder.name.removeprefix('trial_')))}"
            folder.rename(project / name)
        super().__init__(oracle, hypermodel, directory=str(directory), project_name=variant)
        self._variant = variant
        self._run = run
        self._write_trials()

    def _write_trials(self) -> None:
        for trial_id, trial in self.oracle.trials.items():
            trial.save(str(Path(self.get_trial_dir(trial_id)) / "trial.json"))
        self.save()

    def weights_path(self, index: int) -> Path:
        """Where KerasTuner looks for the weights of a trial's best epoch."""
        return Path(self.get_trial_dir(self.oracle.trial_id(index))) / _CHECKPOINT

    def search(self, *args: Any, **kwargs: Any) -> None:
        """Runs all trials that are not done; see `keras_tuner.Tuner.search`."""
        try:
            # The study reports progress itself.
            super().search(*args, **{**kwargs, "verbose": 0})
        except keras_tuner.errors.FatalError as error:
            if error.__cause__ is None:
                raise
            raise error.__cause__ from None

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Trains one trial; see `keras_tuner.Tuner.run_trial`.

        Raises:
            keras_tuner.errors.FatalError: for any error, since KerasTuner would count any other as
            a failed
                trial and go on; the cause is the error itself.
        """
        try:
            entry = self._run(self.oracle.row(trial.trial_id).as_trial(self._variant))
        except Exception as error:
            raise keras_tuner.errors.FatalError(str(error)) from error
        return {
            "validation": entry.result.validation.mean,
            "test": entry.result.test.mean,
        }
