"""Proposals through KerasTuner's oracle."""

import pathlib

import pytest

from tests.tuner.entry import make_entry
from tests.tuner.tiny import SPACE
from tuner.search.oracle import ProposalOracle
from tuner.search.samplers import SearchProblem
from tuner.search.samplers.random import RandomSampler
from tuner.training.protocol import Failure, TrialRecord

SAMPLER = RandomSampler(SearchProblem(SPACE, 3, "tiny", ("V",), 12))
TRIALS = [SAMPLER.propose("V", index, ()) for index in range(12)]


def make(folder: pathlib.Path) -> ProposalOracle:
    oracle = ProposalOracle(SPACE, len(TRIALS))
    # KerasTuner's tuners set the folder in which the oracle saves itself.
    oracle._set_project_dir(str(folder), "V")
    oracle.verbose = 0
    for trial in TRIALS:
        oracle.add(trial)
    return oracle


def entries(*indices: int) -> list[TrialRecord]:
    return [make_entry(index, 9.0 - index / 10) for index in indices]


def serve(oracle: ProposalOracle, order: list[int]) -> None:
    """Runs trials in an order as a tuner does, and finds that they are those that were added."""
    for index in order:
        oracle.serve_next(TRIALS[index])
        trial = oracle.create_trial("tuner0")
        assert (trial.status, int(trial.trial_id)) == ("RUNNING", index)
        values = dict(trial.hyperparameters.values)
        assert 1.0 - values.pop("one_minus_momentum") == TRIALS[index].momentum
        expected = dict(TRIALS[index].values)
        del expected["momentum"]
        assert values == expected
        oracle.update_trial(trial.trial_id, {"validation": 9.0 - index / 10})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert oracle.create_trial("tuner0").status == "STOPPED"


@pytest.mark.parametrize(
    ("done", "order"),
    [
        ((), [3, 0, 11, 5, 1, 2, 4, 6, 7, 8, 9, 10]),
        # Workers finish in any order, and not all that is missing need be wanted.
        ((0, 4, 2), [6, 1, 3]),
        (tuple(range(12)), []),
    ],
)
def test_wanted_trials_are_served_in_the_given_order(
    tmp_path: pathlib.Path, done: tuple[int, ...], order: list[int]
) -> None:
    oracle = make(tmp_path)
    oracle.restore(entries(*done))
    completed = [trial for trial in oracle.trials.values() if trial.status == "COMPLETED"]
    assert sorted(int(trial.trial_id) for trial in completed) == sorted(done)
    if done:
        assert oracle.get_best_trials(1)[0].score == pytest.approx(9.0 - max(done) / 10)
        assert oracle.get_best_trials(1)[0].best_step == 1
    serve(oracle, order)


def test_restored_failures_are_neither_best_nor_served_again(tmp_path: pathlib.Path) -> None:
    oracle = make(tmp_path)
    first, second, third = entries(0, 1, 2)
    oracle.restore([first, second, Failure(third.trial, "killed", "native")])
    assert oracle.trials["02"].status == "FAILED" and oracle.trials["02"].message == "killed"
    assert [trial.trial_id for trial in oracle.get_best_trials(2)] == ["01", "00"]
    serve(oracle, list(range(3, 12)))


def test_failed_trials_do_not_end_the_search(tmp_path: pathlib.Path) -> None:
    oracle = make(tmp_path)
    for trial in TRIALS[:10]:
        oracle.serve_next(trial)
        oracle.create_trial("tuner0")
        oracle.end_trial(oracle.take(Failure(trial, "killed", "native")))
    oracle.serve_next(TRIALS[10])
    assert oracle.create_trial("tuner0").status == "RUNNING"


def test_values_are_those_that_kerastuner_would_draw() -> None:
    oracle = ProposalOracle(SPACE, 1)
    for row, known in zip(SPACE, oracle.hyperparameters.space, strict=True):
        for probability in (0.0, 0.3, 0.77, 0.9999):
            assert row.sampled(known.prob_to_value(probability)) == row.from_unit(probability)
