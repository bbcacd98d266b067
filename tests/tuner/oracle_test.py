"""The design through KerasTuner's oracle."""

import pytest

from tests.tuner.ledger_test import make_outcome
from tests.tuner.tiny import SPACE
from tuner import design
from tuner.ledger import Entry
from tuner.oracle import DesignOracle

ROWS = design.draw(SPACE, 3, "tiny", "V", 12)


def make(tmp_path: object) -> DesignOracle:
    oracle = DesignOracle(SPACE, ROWS)
    # KerasTuner's tuners set the folder in which the oracle saves itself.
    oracle._set_project_dir(str(tmp_path), "V")
    oracle.verbose = 0
    return oracle


def entries(*indices: int) -> list[Entry]:
    outcomes = [make_outcome(index, 9.0 - index / 10) for index in indices]
    return [Entry(outcome.trial, outcome.result) for outcome in outcomes]


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
    ("done", "rest"),
    [
        ((0, 1, 2), list(range(3, 12))),
        # Workers finish in any order: what is missing in between comes first.
        ((0, 4, 2), [1, 3, *range(5, 12)]),
        (tuple(range(12)), []),
    ],
)
def test_restored_trials_are_not_served_again(
    tmp_path: object, done: tuple[int, ...], rest: list[int]
) -> None:
    oracle = make(tmp_path)
    oracle.restore(entries(*done))
    completed = [trial for trial in oracle.trials.values() if trial.status == "COMPLETED"]
    assert sorted(int(trial.trial_id) for trial in completed) == sorted(done)
    assert oracle.get_best_trials(1)[0].score == pytest.approx(9.0 - max(done) / 10)
    assert oracle.get_best_trials(1)[0].best_step == 1
    assert serve_all(oracle) == rest


def test_failed_trials_do_not_end_the_search(tmp_path: object) -> None:
    oracle = make(tmp_path)
    for _ in range(10):
        trial = oracle.create_trial("tuner0")
        trial.status = "FAILED"
        oracle.end_trial(trial)
    assert oracle.create_trial("tuner0").status == "RUNNING"
