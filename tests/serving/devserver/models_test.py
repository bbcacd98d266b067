"""Which versions are loaded when, with models that are made up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from unittest import mock

import pytest

from serving.devserver.models import Models, Target, until
from serving.devserver.settings import Loading, ModelConfig
from serving.runtime.c_api import Failure
from serving.runtime.status import Code
from tests.serving.devserver.callers import SECONDS, fails, looped, states


class House:
    """A folder of models, and what was loaded of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken: set[int] = set()
        self.loads: list[int] = []
        self.sessions: dict[int, mock.Mock] = {}

    def add(self, *versions: int, name: str = "m") -> None:
        for version in versions:
            (self.folder / name / str(version)).mkdir(parents=True)

    def remove(self, version: int) -> None:
        (self.folder / "m" / str(version)).rmdir()

    def load(self, folder: Path) -> tuple[mock.Mock, None]:
        version = int(folder.name)
        assert folder.is_dir()
        self.loads.append(version)
        if version in self.broken:
            raise Failure(Code.DATA_LOSS, "half of it")
        self.sessions[version] = mock.Mock()
        return self.sessions[version], None

    def config(self, name="m", **policy) -> ModelConfig:
        return ModelConfig(name, self.folder / name, **policy)

    @contextlib.asynccontextmanager
    async def models(self, config=None, **loading):
        """By default, looks for versions only when told to."""
        defaults = {"poll_seconds": 0, "retry_seconds": 0.0, "max_num_retries": 0}
        models = Models([config or self.config()], Loading(**(defaults | loading)), self.load)
        work = asyncio.ensure_future(models.work())
        try:
            yield models
        finally:
            work.cancel()
            await models.unload_all()


@pytest.fixture
def house(tmp_path):
    (tmp_path / "m").mkdir()
    return House(tmp_path)


def _latest(models, name="m", **which):
    with models.use(Target(name, **which)) as version:
        return version.number


async def _wait(condition):
    await until(condition, SECONDS)
    assert condition(), "it never came"


POLICIES = [
    ({}, {10}),
    ({"latest": 2}, {9, 10}),
    ({"latest": 0}, {1, 9, 10}),
    ({"specific": frozenset({1, 7})}, {1}),
]


@looped
async def test_policies(house):
    house.add(1, 9, 10)
    for policy, wanted in POLICIES:
        house.sessions.clear()
        async with house.models(house.config(**policy)) as models:
            await _wait(models.are_settled)
            assert set(house.sessions) == wanted
            assert _latest(models) == max(wanted)
        assert all(session.close.called for session in house.sessions.values())


@looped
async def test_a_version_goes_after_its_last_request(house):
    house.add(1)
    async with house.models() as models:
        await models.reload([house.config()])
        with models.use(Target("m")), models.use(Target("m")):
            house.add(2)
            await models.reload([house.config()])
            assert _latest(models) == 2
            assert states(models) == {2: "AVAILABLE", 1: "UNLOADING"}
            assert not house.sessions[1].close.called
            with fails(Code.NOT_FOUND):
                _latest(models, version=1)
        await _wait(lambda: states(models)[1] == "END")
        assert house.sessions[1].close.called


@looped
async def test_a_version_in_use_can_be_taken_back(house):
    house.add(1, 2)
    async with house.models() as models:
        await models.reload([house.config()])
        with models.use(Target("m")):
            await models.reload([house.config(specific=frozenset({1}))])
            assert states(models) == {2: "UNLOADING", 1: "AVAILABLE"}
            await models.reload([house.config(specific=frozenset({2}))])
            assert _latest(models) == 2
        await _wait(lambda: states(models) == {2: "AVAILABLE", 1: "END"})
        assert house.loads == [2, 1] and not house.sessions[2].close.called


@looped
async def test_a_version_that_is_being_closed_can_be_loaded_again(house):
    house.add(1, 2)
    closed = threading.Event()
    async with house.models() as models:
        await models.reload([house.config()])
        house.sessions[2].close.side_effect = lambda: closed.wait(SECONDS)
        await models.reload([house.config(specific=frozenset({1}))])
        await models.reload([house.config(specific=frozenset({2}))])
        assert states(models) == {2: "UNLOADING", 1: "AVAILABLE"}
        closed.set()
        await _wait(lambda: states(models) == {2: "AVAILABLE", 1: "END"})
        assert house.loads == [2, 1, 2]


@looped
async def test_what_is_being_loaded_at_the_end_is_unloaded(house):
    house.add(1)
    begun, go, load = threading.Event(), threading.Event(), house.load

    def slow(folder):
        begun.set()
        assert go.wait(SECONDS)
        return load(folder)

    house.load = slow
    async with house.models() as models:
        await _wait(begun.is_set)
        end = asyncio.ensure_future(models.unload_all())
        house.add(2)
        go.set()
        await end
        assert house.sessions[1].close.called and house.loads == [1]
        await asyncio.sleep(0.05)
        assert states(models) == {1: "END"}


@looped
async def test_a_broken_version_displaces_nothing_and_is_tried_again(house):
    house.add(1)
    async with house.models(poll_seconds=0.02, max_num_retries=2) as models:
        await _wait(lambda: 1 in house.sessions)
        house.broken.add(2)
        house.add(2)
        await _wait(lambda: house.loads == [1, 2, 2, 2] and states(models)[2] == "END")
        (version,) = models.statuses(Target("m", 2))
        assert (version.error.code, version.error.cause) == (Code.DATA_LOSS, "half of it")
        assert _latest(models) == 1
        # Given up for good: only a folder that comes anew is looked at again.
        await models.reload([house.config()])
        assert house.loads == [1, 2, 2, 2]
        house.remove(2)
        await _wait(lambda: 2 not in models._versions["m"])
        house.broken.clear()
        house.add(2)
        await _wait(lambda: states(models) == {2: "AVAILABLE", 1: "END"})


@looped
async def test_what_failed_for_good_is_tried_again_once_it_was_unwanted(house):
    house.add(1, 2)
    house.broken.add(2)
    async with house.models() as models:
        for specific in (2, 2, 1, 2):
            with contextlib.suppress(Failure):
                await models.reload([house.config(specific=frozenset({specific}))])
    # At the start the newest, which is 2; and it was not wanted while 1 was.
    assert house.loads == [2, 1, 2]


@looped
async def test_a_retry_waits_its_time(house):
    house.add(1)
    house.broken.add(1)
    async with house.models(poll_seconds=0.001, max_num_retries=5, retry_seconds=3600) as models:
        await _wait(lambda: house.loads)
        with fails(Code.UNKNOWN):
            await models.reload([house.config()])
        assert house.loads == [1]
        assert states(models) == {1: "LOADING"}


@looped
async def test_a_model_that_cannot_start(house):
    house.add(1)
    house.broken.add(1)
    async with house.models() as models:
        with fails(Code.DATA_LOSS):
            await _wait(models.are_settled)


@looped
async def test_back_by_removing_the_newest_folder_or_by_its_number(house):
    house.add(1, 2)
    async with house.models() as models:
        await models.reload([house.config()])
        house.remove(2)
        await models.reload([house.config()])
        assert _latest(models) == 1
        await _wait(lambda: states(models) == {2: "END", 1: "AVAILABLE"})
        # And forward again.
        house.add(2)
        await models.reload([house.config()])
        assert _latest(models) == 2
        await models.reload([house.config(specific=frozenset({1}))])
        assert _latest(models) == 1


@looped
async def test_all_folders_gone_unloads_but_a_missing_base_path_does_not(house):
    house.add(1)
    async with house.models() as models:
        await models.reload([house.config()])
        house.folder.joinpath("m").rename(house.folder / "away")
        await models.reload([house.config()])
        assert _latest(models) == 1
        house.folder.joinpath("away").rename(house.folder / "m")
        house.remove(1)
        with fails(Code.UNKNOWN):
            await models.reload([house.config()])
        with fails(Code.NOT_FOUND):
            _latest(models)


@looped
async def test_labels(house):
    house.add(1, 2)
    both = frozenset({1, 2})
    async with house.models() as models:
        # As TensorFlow Serving has it: first the version, then its label.
        with fails(Code.FAILED_PRECONDITION):
            await models.reload([house.config(specific=both, labels={"stable": 1})])
        await models.reload([house.config(specific=both)])
        await models.reload([house.config(specific=both, labels={"stable": 1, "canary": 2})])
        assert [_latest(models, label=label) for label in ("stable", "canary")] == [1, 2]
        with fails(Code.INVALID_ARGUMENT):
            _latest(models, label="new")
        # The label moves, then the old version goes.
        await models.reload([house.config(specific=both, labels={"stable": 2})])
        assert _latest(models, label="stable") == 2


@looped
async def test_labels_of_versions_to_come(house):
    house.add(1)
    config = house.config(labels={"stable": 1})
    async with house.models(config, labels_for_unavailable_models=True) as models:
        await models.reload([config])
        assert _latest(models, label="stable") == 1
        await models.reload([house.config(labels={"stable": 1, "canary": 5})])
        with fails(Code.NOT_FOUND):
            _latest(models, label="canary")
        with fails(Code.FAILED_PRECONDITION):
            await models.reload([house.config(labels={"stable": 5})])


@looped
async def test_a_reload_replaces_the_whole_configuration(house):
    house.add(1)
    house.add(4, name="n")
    async with house.models() as models:
        await models.reload([house.config()])
        await models.reload([house.config(name="n")])
        assert _latest(models, "n") == 4
        await _wait(lambda: states(models) == {1: "END"})


@looped
async def test_a_client_may_name_folders_of_the_start_only(house):
    for name in ("m/inner", "mm", "other"):
        (house.folder / name).mkdir()
    (house.folder / "m" / "out").symlink_to(house.folder / "other")
    async with house.models() as models:
        models.require_roots([house.config(), house.config(name="m/inner")])
        for name in ("mm", "other", "m/../other", "m/out", "."):
            with fails(Code.PERMISSION_DENIED):
                models.require_roots([house.config(name=name)])


@looped
async def test_a_reload_ends_with_its_time(house):
    async with house.models() as models:
        models._change = lambda _: asyncio.Event().wait()
        with fails(Code.DEADLINE_EXCEEDED):
            await models.reload([house.config()], 0.01)
