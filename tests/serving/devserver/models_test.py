"""Which versions are loaded when, with models that are made up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from serving.devserver.errors import RequestError
from serving.devserver.models import Models
from serving.devserver.settings import All, Latest, Loading, ModelConfig, Specific
from serving.devserver.versions import Loaded
from serving.runtime.status import Code, State
from tests.serving.devserver.callers import SECONDS, looped


class Session:
    """Only knows whether it is closed."""

    def __init__(self) -> None:
        self.is_closed = threading.Event()

    def close(self) -> None:
        self.is_closed.set()


class House:
    """A folder of models, and what was loaded of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken: set[int] = set()
        self.loads: list[int] = []
        self.sessions: dict[int, Session] = {}

    def add(self, *versions: int, name: str = "m") -> None:
        for version in versions:
            (self.folder / name / str(version)).mkdir(parents=True)

    def remove(self, version: int) -> None:
        (self.folder / "m" / str(version)).rmdir()

    def load(self, name: str, folder: Path) -> Loaded:
        version = int(folder.name)
        assert folder.is_dir()
        self.loads.append(version)
        if version in self.broken:
            raise RequestError(Code.DATA_LOSS, "half of it")
        session: Any = Session()
        self.sessions[version] = session
        return Loaded(session)

    def config(self, policy=None, labels=None, name="m") -> ModelConfig:
        return ModelConfig(name, self.folder / name, policy or Latest(), labels or {})

    @contextlib.asynccontextmanager
    async def models(self, config=None, **loading):
        defaults = {"poll_seconds": -1, "retry_seconds": 0.0, "max_num_retries": 0}
        configs = [self.config() if config is None else config]
        models = Models(configs, Loading(**(defaults | loading)), self.load)
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


def _states(models, name="m"):
    return {version.number: version.state.name for version in models.statuses(name)}


def _latest(models, name="m", **which):
    with models.use(name, **which) as version:
        return version.number


async def _wait(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came"
        await asyncio.sleep(0.005)


POLICIES = [(Latest(), {10}), (Latest(2), {9, 10}), (All(), {1, 9, 10}), (Specific({1}), {1})]


@looped
async def test_policies(house):
    house.add(1, 9, 10)
    for policy, wanted in POLICIES:
        house.sessions.clear()
        async with house.models() as models:
            await models.reload([house.config(policy)])
            assert set(house.sessions) == wanted
            assert _latest(models) == max(wanted)
        assert all(session.is_closed.is_set() for session in house.sessions.values())


@looped
async def test_polling_finds_new_versions(house):
    house.add(1)
    async with house.models(poll_seconds=0.02) as models:
        assert await models.wait_until_available() == []
        house.add(2)
        await _wait(lambda: _states(models) == {2: "AVAILABLE", 1: "END"})
        assert house.sessions[1].is_closed.is_set()


@looped
async def test_a_version_goes_after_its_last_request(house):
    house.add(1)
    async with house.models() as models:
        await models.reload([house.config()])
        with models.use("m"), models.use("m"):
            house.add(2)
            await models.reload([house.config()])
            assert _latest(models) == 2
            assert _states(models) == {2: "AVAILABLE", 1: "UNLOADING"}
            assert not house.sessions[1].is_closed.is_set()
            with pytest.raises(RequestError, match=r"Specific\(m, 1\)"):
                _latest(models, version=1)
        await _wait(lambda: _states(models)[1] == "END")
        assert house.sessions[1].is_closed.is_set()


@looped
async def test_a_broken_version_displaces_nothing_and_is_tried_again(house):
    house.add(1)
    async with house.models(poll_seconds=0.02, max_num_retries=2) as models:
        await _wait(lambda: 1 in house.sessions)
        house.broken.add(2)
        house.add(2)
        await _wait(lambda: house.loads == [1, 2, 2, 2] and _states(models)[2] == "END")
        (version,) = models.statuses("m", 2)
        assert (version.error.code, version.error.message) == (Code.DATA_LOSS, "half of it")
        assert _latest(models) == 1
        # Given up for good: only a folder that comes anew is looked at again.
        await models.reload([house.config()])
        assert house.loads == [1, 2, 2, 2]
        house.remove(2)
        await _wait(lambda: models._wanted["m"] == {1})
        house.broken.clear()
        house.add(2)
        await _wait(lambda: _states(models) == {2: "AVAILABLE", 1: "END"})


@looped
async def test_a_retry_waits_its_time(house):
    house.add(1)
    house.broken.add(1)
    async with house.models(poll_seconds=0.001, max_num_retries=5, retry_seconds=3600) as models:
        await _wait(lambda: house.loads)
        before = models._looked
        models._ask.set()
        await _wait(lambda: models._looked >= before)
        assert house.loads == [1]
        assert _states(models) == {1: "LOADING"}


@looped
async def test_back_by_removing_the_newest_folder_or_by_its_number(house):
    house.add(1, 2)
    async with house.models() as models:
        await models.reload([house.config()])
        house.remove(2)
        await models.reload([house.config()])
        assert _latest(models) == 1
        await _wait(lambda: _states(models) == {2: "END", 1: "AVAILABLE"})
        # And forward again.
        house.add(2)
        await models.reload([house.config()])
        assert _latest(models) == 2
        await models.reload([house.config(Specific(frozenset({1})))])
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
        with pytest.raises(RequestError, match=r"did not become available: \{m\}"):
            await models.reload([house.config()])
        with pytest.raises(RequestError, match=r"Latest\(m\)"):
            _latest(models)


@looped
async def test_labels(house):
    house.add(1, 2)
    both = Specific(frozenset({1, 2}))
    async with house.models() as models:
        # As TensorFlow Serving has it: first the version, then its label.
        with pytest.raises(RequestError, match="label to version 1 of model m, which is not"):
            await models.reload([house.config(both, {"stable": 1})])
        assert house.loads == []
        await models.reload([house.config(both)])
        await models.reload([house.config(both, {"stable": 1, "canary": 2})])
        assert [_latest(models, label=label) for label in ("stable", "canary")] == [1, 2]
        with pytest.raises(RequestError, match="Unrecognized servable version label: new"):
            _latest(models, label="new")
        # The label moves, then the old version goes.
        await models.reload([house.config(both, {"stable": 2})])
        assert _latest(models, label="stable") == 2


@looped
async def test_labels_of_versions_to_come(house):
    house.add(1)
    async with house.models(
        house.config(labels={"stable": 1}), labels_for_unavailable_models=True
    ) as models:
        await models.reload([house.config(labels={"stable": 1})])
        assert _latest(models, label="stable") == 1
        await models.reload([house.config(labels={"stable": 1, "canary": 5})])
        with pytest.raises(RequestError, match=r"Specific\(m, 5\)"):
            _latest(models, label="canary")
        with pytest.raises(RequestError, match="label to version 5"):
            await models.reload([house.config(labels={"stable": 5})])


@looped
async def test_a_reload_replaces_the_whole_configuration(house):
    house.add(1)
    house.add(4, name="n")
    async with house.models() as models:
        await models.reload([house.config()])
        await models.reload([house.config(name="n")])
        assert _latest(models, "n") == 4
        await _wait(lambda: _states(models) == {1: "END"})


@looped
async def test_a_client_may_name_folders_of_the_start_only(house):
    for name in ("m/inner", "mm", "other"):
        (house.folder / name).mkdir()
    (house.folder / "m" / "out").symlink_to(house.folder / "other")
    async with house.models() as models:
        models.require_roots([house.config(), house.config(name="m/inner")])
        for name in ("mm", "other", "m/../other", "m/out", "."):
            with pytest.raises(RequestError) as error:
                models.require_roots([house.config(name=name)])
            assert error.value.code == Code.PERMISSION_DENIED


@looped
async def test_a_model_that_cannot_start(house):
    house.add(1)
    house.broken.add(1)
    async with house.models(poll_seconds=0) as models:
        (version,) = await models.wait_until_available()
        assert (version.number, version.state) == (1, State.END)


@looped
async def test_a_reload_ends_with_its_time(house):
    async with house.models() as models:
        models._load_pending = asyncio.Event().wait
        with pytest.raises(RequestError) as error:
            await models.reload([house.config()], 0.01)
        assert error.value.code == Code.DEADLINE_EXCEEDED
