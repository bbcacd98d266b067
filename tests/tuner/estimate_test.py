import pytest

import zoo
from tests.tuner.tiny import TinyTask, plan
from tuner import estimate
from tuner.tasks.task import find_task


@pytest.mark.parametrize("code", zoo.list_variants())
@pytest.mark.parametrize("units", [20, 100])
def test_parameters_are_those_of_the_network(code: str, units: int) -> None:
    model = zoo.networks.next_step(zoo.make_cell(code, units=units), 88, 88)
    assert estimate.parameters(find_task("music"), code, units) == model.count_params()


def test_time_grows_with_trials_and_epochs() -> None:
    task = TinyTask()
    corpus = task.load("a")
    one = estimate.seconds(plan(trials=1), task, corpus)
    assert estimate.seconds(plan(("V", "NP"), trials=1), task, corpus) > 1.9 * one
    assert estimate.seconds(plan(trials=3), task, corpus) > 2.9 * one
