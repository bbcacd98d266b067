import dataclasses

import pytest

import zoo
from tests.tuner.tiny import PROTOCOL, TRIAL, TinyTask, plan
from tuner.study.plan import Plan
from tuner.tasks.task import find_task
from tuner.training import estimate
from tuner.training.protocol import Protocol


@pytest.mark.parametrize("code", zoo.list_variants())
@pytest.mark.parametrize("units", [20, 100])
def test_parameters_are_those_of_the_network(code: str, units: int) -> None:
    model = zoo.networks.network(zoo.make_cell(code, units=units), 88, 88)
    assert estimate.parameters(find_task("music"), code, units) == model.count_params()


@pytest.mark.parametrize("engine", ["native", "keras"])
def test_time_grows_with_trials_and_shrinks_with_workers(engine: str) -> None:
    task = TinyTask()
    cost = estimate.Cost(task, task.load("a"), PROTOCOL, engine)

    def seconds(plan: Plan, workers: int = 1) -> float:
        start = estimate.SPEEDS[engine].start
        return estimate.seconds(plan.all_trials(task), cost, workers) - start

    one = seconds(plan(trials=1))
    assert seconds(plan(("V", "NP"), trials=1)) > 1.9 * one
    three = seconds(plan(trials=3))
    assert three > 2.9 * one
    assert seconds(plan(trials=3), workers=2) == pytest.approx(three / 2)
    # No study is faster than its longest trial.
    longest = max(map(cost, plan(trials=3).all_trials(task)))
    assert seconds(plan(trials=3), workers=100) == pytest.approx(longest)


def test_larger_and_longer_trials_cost_more() -> None:
    music = find_task("music")
    corpus = TinyTask().load("a")
    small = dataclasses.replace(TRIAL, units=20)
    large = dataclasses.replace(TRIAL, units=200)
    for engine in ("native", "keras"):
        cost = estimate.Cost(music, corpus, Protocol(), engine)
        assert cost(large) > cost(small)
        assert cost(small) > estimate.Cost(music, corpus, PROTOCOL, engine)(small)
    keras, native = (
        estimate.Cost(music, corpus, Protocol(), engine)(small) for engine in ("keras", "native")
    )
    assert keras > 10 * native
