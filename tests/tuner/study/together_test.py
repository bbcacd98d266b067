"""Studies of several tasks on the same workers are those that each would be alone."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

import pytest

from common.errors import InputError
from tests.tuner import studies, tiny
from tests.tuner.tiny_task import TinySpeech, TinyTask
from tuner.parallel.messages import Event
from tuner.parallel.pool import Pool, TrialQueue, WorkerPool, any_trial
from tuner.search.space import PAPER
from tuner.study import together
from tuner.study.adoption import Source
from tuner.study.presets import StudyConfig
from tuner.study.study import Study
from tuner.training.engines import ENGINES
from tuner.training.protocol import Problems, Trial

CONFIGS = {
    task.name: tiny.config(("V", "NP"), trials=2, task=task) for task in (TinyTask(), TinySpeech())
}


def run(
    folder: pathlib.Path,
    pool: Pool,
    configs: Mapping[str, StudyConfig] = CONFIGS,
    **options: object,
) -> dict[str, studies.Silence]:
    observers = {name: studies.Silence() for name in configs}
    begun = [
        (Study(folder / name, config), observers[name]) for name, config in configs.items()
    ]
    together.run(begun, pool, "native", **options)
    return observers


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("alone")
    for name, config in CONFIGS.items():
        studies.run(folder / name, config)
    return folder


def test_workers_change_tasks_and_no_number(alone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """One worker, which has trials of both tasks in turn; and a trial of each that is killed."""
    observers = run(tmp_path, WorkerPool(1))
    for name, observer in observers.items():
        assert {record.trial for record in observer.finished} == set(observer.remaining)
        assert studies.lines(tmp_path / name) == studies.lines(alone / name)
        assert len(studies.lines(tmp_path / name)["V"]) == 2


class Listing:
    """Trains nothing, and lists what it is given."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Trial]] = []

    def run(
        self, problems: Problems, queue: TrialQueue, on_event: Callable[[Event], None]
    ) -> None:
        assert list(problems) == list(CONFIGS)
        while (assignment := queue.take(any_trial)) is not None:
            self.taken.append((assignment.task, assignment.trial))
        assert queue.exhausted


def test_the_longest_come_first_whichever_task_they_are_of(tmp_path: pathlib.Path) -> None:
    configs = {name: dataclasses.replace(each, space=PAPER) for name, each in CONFIGS.items()}
    pool = Listing()
    run(tmp_path, pool, configs)
    assert len(pool.taken) == 8
    native = ENGINES["native"]
    costs = [native.seconds(configs[task].problem, trial) for task, trial in pool.taken]
    assert costs == sorted(costs, reverse=True)
    tasks = [task for task, _ in pool.taken]
    # Of both in turn, or this would show nothing.
    assert tasks != sorted(tasks) and tasks != sorted(tasks, reverse=True)


def test_a_source_belongs_to_the_study_of_its_task(
    alone: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    source = _source(alone / "tiny")
    observers = run(tmp_path, WorkerPool(1), adopt=[source])
    assert len(observers["tiny"].adopted) == 2 and not observers["tiny speech"].adopted
    assert studies.lines(tmp_path / "tiny") == studies.lines(alone / "tiny")

    other = dataclasses.replace(source, facts={**source.facts, "task": "chess"})
    with pytest.raises(InputError, match="expected trials of tiny, tiny speech. Received: chess"):
        run(tmp_path, WorkerPool(1), adopt=[other])


def _source(directory: pathlib.Path) -> Source:
    from tuner.analysis.trials import sources

    study = sources.load_one(directory)
    return Source(directory, study.facts, study.all_entries)


def test_one_that_cannot_begin_lets_none_begin(tmp_path: pathlib.Path) -> None:
    other = dataclasses.replace(CONFIGS["tiny speech"], seed=99)
    studies.run(tmp_path / "tiny speech", other)
    with pytest.raises(InputError, match="was begun with seed 99"):
        run(tmp_path, Listing())
    assert not studies.lines(tmp_path / "tiny")


