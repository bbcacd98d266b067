"""The design through KerasTuner's oracle."""

import pytest

from tests.tuner.entry import make_entry
from tests.tuner.tiny import SPACE
from tuner.search import design
from tuner.search.oracle import DesignOracle
from tuner.training.protocol import Failure, TrialRecord

ROWS = design.draw(SPACE, 3, "tiny", "V", 12)


def make(tmp_path: object) -> DesignOracle:
    oracle = DesignOracle(SPACE, ROWS)
    # KerasTuner's tuners set the folder in which the oracle saves itself.
    oracle._set_project_dir(str(tmp_path), "V")
    oracle.verbose = 0
    return oracle


def entries(*indices: int) -> list[TrialRecord]:
    return [make_entry(index, 9.0 - index / 10) for index in indices]


def serve_all(oracle: DesignOracle) -> list[int]:
    """Runs the oracle to its end as a tuner does; returns the trials in the order served."""
    served = []
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        index = int(trial.trial_id)
        served.append(index)
        assert trial.hyperparameters.values == ROWS[index].values
        oracle.update_trial(trial.trial_id, {"validation": 9.0 - index / 10})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return served


def test_every_row_is_served_once_in_order(tmp_path: object) -> None:
    assert serve_all(make(tmp_path)) == list(range(12))


@pytest.mark.parametrize(
    ("done", "order"),
    [
        ((), [3, 0, 11, 5, 1, 2, 4, 6, 7, 8, 9, 10]),
        ((0, 1, 2), list(range(11, 2, -1))),
        # Workers finish in any order, and not all that is missing need be wanted.
        ((0, 4, 2), [6, 1, 3]),
        (tuple(range(12)), []),
    ],
)
def test_wanted_trials_are_served_in_the_given_order(
    tmp_path: object, done: tuple[int, ...], order: list[int]
) -> None:
    oracle = make(tmp_path)
    oracle.restore(entries(*done), order)
    completed = [trial for trial in oracle.trials.values() if trial.status == "COMPLETED"]
    assert sorted(int(trial.trial_id) for trial in completed) == sorted(done)
    if done:
        assert oracle.get_best_trials(1)[0].score == pytest.approx(9.0 - max(done) / 10)
        assert oracle.get_best_trials(1)[0].best_step == 1
    assert serve_all(oracle) == order


def test_restored_failures_are_neither_best_nor_served_again(tmp_path: object) -> None:
    oracle = make(tmp_path)
    first, second, third = entries(0, 1, 2)
    failure = Failure(third.trial, "killed", "native")
    oracle.restore([first, second, failure], order=list(range(3, 12)))
    assert oracle.trials["02"].status == "FAILED" and oracle.trials["02"].message == "killed"
    assert [trial.trial_id for trial in oracle.get_best_trials(2)] == ["01", "00"]
    assert serve_all(oracle) == list(range(3, 12))


def test_failed_trials_do_not_end_the_search(tmp_path: object) -> None:
    oracle = make(tmp_path)
    for _ in range(10):
        trial = oracle.create_trial("tuner0")
        failed = Failure(entries(int(trial.trial_id))[0].trial, "killed", "native")
        oracle.end_trial(oracle.take(failed))
    assert oracle.create_trial("tuner0").status == "RUNNING"
