"""KerasTuner's random-search oracle, serving rows that were drawn beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras_tuner

from tuner.search.design import Row, Space
from tuner.search.hypermodel import OBJECTIVE
from tuner.study.ledger import TrialRecord
from tuner.training.protocol import Failure

# KerasTuner keeps its names of a trial's state to itself.
_RUNNING, _COMPLETED, _FAILED, _STOPPED = "RUNNING", "COMPLETED", "FAILED", "STOPPED"


class DesignOracle(keras_tuner.oracles.RandomSearchOracle):
    """Gives trial k the k-th row of a design, and takes finished trials back from a ledger.

    What KerasTuner's own oracle would do otherwise is designed out: rows do not depend on its seed,
    no number of failed trials in a row stops the search, and a trial that was interrupted is served
    again.

    Args:
        space: ranges of the hyperparameters.
        rows: the design; its length is the number of trials.
    """

    def __init__(self, space: Space, rows: Sequence[Row]) -> None:
        hyperparameters = keras_tuner.HyperParameters()
        space.declare(hyperparameters)
        super().__init__(
            objective=OBJECTIVE,
            max_trials=len(rows),
            hyperparameters=hyperparameters,
            allow_new_entries=False,
            tune_new_entries=False,
            # Never used for drawing; 0 would mean "at random".
            seed=1,
            max_consecutive_failed_trials=len(rows) + 1,
        )
        self._rows = tuple(rows)

    def trial_id(self, index: int) -> str:
        """KerasTuner's name of the trial with a row of the design."""
        return f"{index:0{len(str(self.max_trials))}d}"

    def row(self, trial_id: str) -> Row:
        """The row of the design that a trial was given."""
        return self._rows[int(trial_id)]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns the values of a trial's row; see `keras_tuner.Oracle.populate_space`."""
        if int(trial_id) >= len(self._rows):
            return {"status": _STOPPED, "values": None}
        return {"status": _RUNNING, "values": dict(self.row(trial_id).values)}

    def restore(self, records: Iterable[TrialRecord | Failure], order: Sequence[int]) -> None:
        """Takes ended trials as if they had just been run, and sets what is served next.

        All trials are made here, and those of `order` are put where KerasTuner itself puts
        interrupted trials, which it serves first.

        Args:
            records: ended trials of this design.
            order: the other trials, as far as they are wanted, in the order in which they shall be
                served.
        """
        for index, row in enumerate(self._rows):
            hyperparameters = self.get_space()
            hyperparameters.values = dict(row.values)
            trial_id = self.trial_id(index)
            self.trials[trial_id] = keras_tuner.engine.trial.Trial(
                hyperparameters=hyperparameters, trial_id=trial_id, status=_RUNNING
            )
        ended = {record.trial.index: record for record in records}
        for record in ended.values():
            trial = self.take(record)
            if trial.status == _COMPLETED:
                self.score_trial(trial)
        self.set_state(
            {
                **self.get_state(),
                "start_order": list(self.trials),
                "end_order": [self.trial_id(index) for index in ended],
                # Served from the end.
                "retry_queue": [self.trial_id(index) for index in reversed(order)],
            }
        )

    def take(self, record: TrialRecord | Failure) -> Any:
        """Writes into KerasTuner's trial how it ended, and returns it for `end_trial`."""
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
