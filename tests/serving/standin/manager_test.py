"""Which versions are loaded when, with models that are made up."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import pytest

from serving.standin.errors import Code, ServingError
from serving.standin.gate import Gate
from serving.standin.manager import Manager
from serving.standin.settings import All, Latest, Limits, Loading, ModelConfig, Specific
from serving.standin.versions import State

SECONDS = 300.0


class Model:
    def __init__(self, name: str, version: int) -> None:
        self.name, self.version, self.is_closed = name, version, threading.Event()

    def close(self) -> None:
        self.is_closed.set()


class House:
    """A manager, the folder it looks at, and what it has loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken: set[int] = set()
        self.loads: list[int] = []
        self.models: dict[int, Model] = {}

    def add(self, *versions: int, name: str = "m") -> None:
        for version in versions:
            (self.folder / name / str(version)).mkdir(parents=True)

    def remove(self, version: int) -> None:
        (self.folder / "m" / str(version)).rmdir()

    def load(self, name: str, version: int, folder: Path) -> Model:
        assert folder.name == str(version) and folder.is_dir()
        self.loads.append(version)
        if version in self.broken:
            raise ServingError(Code.DATA_LOSS, "half of it")
        self.models[version] = Model(name, version)
        return self.models[version]

    def config(self, policy=None, labels=None, name="m") -> ModelConfig:
        return ModelConfig(name, self.folder / name, policy or Latest(), labels or {})

    @contextlib.contextmanager
    def manager(self, config=None, **loading):
        defaults = {"poll_seconds": -1, "retry_seconds": 0.0, "max_num_retries": 0}
        configs = [self.config() if config is None else config]
        manager = Manager(configs, Loading(**(defaults | loading)), self.load)
        manager.start()
        try:
            yield manager
        finally:
            manager.stop(SECONDS)


@pytest.fixture
def house(tmp_path):
    (tmp_path / "m").mkdir()
    return House(tmp_path)


def _states(manager, name="m"):
    return {status.version: status.state.name for status in manager.statuses(name)}


def _wait(condition):
    end = time.monotonic() + SECONDS
    turn = threading.Event()
    while not condition():
        assert time.monotonic() < end, "it never came"
        turn.wait(0.005)


@pytest.mark.parametrize(
    ("policy", "loaded"),
    [(Latest(), {10}), (Latest(2), {9, 10}), (All(), {1, 9, 10}), (Specific(frozenset({1})), {1})],
)
def test_policies(house, policy, loaded):
    house.add(1, 9, 10)
    with house.manager() as manager:
        manager.reload([house.config(policy)])
        assert set(house.models) == loaded
        with manager.use("m") as model:
            assert model.version == max(loaded)
    assert all(model.is_closed.is_set() for model in house.models.values())


def test_polling_finds_new_versions(house):
    house.add(1)
    with house.manager(poll_seconds=0.02) as manager:
        assert manager.wait_until_available(threading.Event()) == []
        house.add(2)
        _wait(lambda: _states(manager) == {2: "AVAILABLE", 1: "END"})
        assert house.models[1].is_closed.is_set()


def test_a_version_goes_after_its_last_request(house):
    house.add(1)
    with house.manager() as manager:
        manager.reload([house.config()])
        with manager.use("m") as old, manager.use("m"):
            house.add(2)
            manager.reload([house.config()])
            with manager.use("m") as new:
                assert (old.version, new.version) == (1, 2)
            assert _states(manager) == {2: "AVAILABLE", 1: "UNLOADING"}
            assert not house.models[1].is_closed.is_set()
            with pytest.raises(ServingError, match=r"Specific\(m, 1\)"), manager.use("m", 1):
                pass
        assert house.models[1].is_closed.wait(SECONDS)
        _wait(lambda: _states(manager)[1] == "END")


def test_a_broken_version_displaces_nothing_and_is_tried_again(house):
    house.add(1)
    with house.manager(poll_seconds=0.02, max_num_retries=2) as manager:
        _wait(lambda: 1 in house.models)
        house.broken.add(2)
        house.add(2)
        _wait(lambda: house.loads == [1, 2, 2, 2] and _states(manager)[2] == "END")
        (status,) = manager.statuses("m", 2)
        assert (status.error.code, status.error.message) == (Code.DATA_LOSS, "half of it")
        with manager.use("m") as model:
            assert model.version == 1
        # Given up for good: only a folder that comes anew is looked at again.
        manager.reload([house.config()])
        assert house.loads == [1, 2, 2, 2]
        house.remove(2)
        _wait(lambda: manager._wanted["m"] == {1})
        house.broken.clear()
        house.add(2)
        _wait(lambda: _states(manager) == {2: "AVAILABLE", 1: "END"})


def test_a_retry_waits_its_time(house):
    house.add(1)
    house.broken.add(1)
    with house.manager(poll_seconds=0.01, max_num_retries=5, retry_seconds=3600) as manager:
        _wait(lambda: house.loads)
        turn = threading.Event()
        turn.wait(0.1)
        assert house.loads == [1]
        assert _states(manager) == {1: "LOADING"}


def test_rollback_by_removing_the_newest_folder(house):
    house.add(1, 2)
    with house.manager() as manager:
        manager.reload([house.config()])
        house.remove(2)
        manager.reload([house.config()])
        with manager.use("m") as model:
            assert model.version == 1
        _wait(lambda: _states(manager) == {2: "END", 1: "AVAILABLE"})
        # And forward again.
        house.add(2)
        manager.reload([house.config()])
        with manager.use("m") as model:
            assert model.version == 2


def test_rollback_by_a_specific_version(house):
    house.add(1, 2)
    with house.manager() as manager:
        manager.reload([house.config()])
        manager.reload([house.config(Specific(frozenset({1})))])
        with manager.use("m") as model:
            assert model.version == 1


def test_all_folders_gone_unloads_but_a_missing_base_path_does_not(house):
    house.add(1)
    with house.manager() as manager:
        manager.reload([house.config()])
        house.folder.joinpath("m").rename(house.folder / "away")
        manager.reload([house.config()])
        with manager.use("m") as model:
            assert model.version == 1
        house.folder.joinpath("away").rename(house.folder / "m")
        house.remove(1)
        with pytest.raises(ServingError, match=r"did not become available: \{m\}"):
            manager.reload([house.config()])
        with pytest.raises(ServingError, match=r"Latest\(m\)"), manager.use("m"):
            pass


def test_labels(house):
    house.add(1, 2)
    both = Specific(frozenset({1, 2}))
    with house.manager() as manager:
        # As TensorFlow Serving has it: first the version, then its label.
        with pytest.raises(ServingError, match="label to version 1 of model m, which is not"):
            manager.reload([house.config(both, {"stable": 1})])
        assert house.loads == []
        manager.reload([house.config(both)])
        manager.reload([house.config(both, {"stable": 1, "canary": 2})])
        for label, version in (("stable", 1), ("canary", 2)):
            with manager.use("m", label=label) as model:
                assert model.version == version
        with pytest.raises(ServingError, match="Unrecognized servable version label: new"):
            manager.use("m", label="new").__enter__()
        # The label moves, then the old version goes.
        manager.reload([house.config(both, {"stable": 2})])
        with manager.use("m", label="stable") as model:
            assert model.version == 2


def test_labels_of_versions_to_come(house):
    house.add(1)
    with house.manager(
        house.config(labels={"stable": 1}), labels_for_unavailable_models=True
    ) as manager:
        manager.reload([house.config(labels={"stable": 1})])
        with manager.use("m", label="stable") as model:
            assert model.version == 1
        manager.reload([house.config(labels={"stable": 1, "canary": 5})])
        with pytest.raises(ServingError, match=r"Specific\(m, 5\)"):
            manager.use("m", label="canary").__enter__()
        with pytest.raises(ServingError, match="label to version 5"):
            manager.reload([house.config(labels={"stable": 5})])


def test_a_reload_replaces_the_whole_configuration(house):
    house.add(1)
    house.add(4, name="m/n")
    with house.manager() as manager:
        manager.reload([house.config()])
        manager.reload([ModelConfig("n", house.folder / "m" / "n")])
        with manager.use("n") as model:
            assert (model.name, model.version) == ("n", 4)
        _wait(lambda: _states(manager) == {1: "END"})
        with pytest.raises(ServingError) as error:
            manager.reload([ModelConfig("o", house.folder)])
        assert error.value.code == Code.PERMISSION_DENIED
        with manager.use("n"):
            pass


def test_a_model_that_cannot_start(house):
    house.add(1)
    house.broken.add(1)
    with house.manager(poll_seconds=0) as manager:
        (status,) = manager.wait_until_available(threading.Event())
        assert (status.version, status.state) == (1, State.END)


def test_waiting_for_a_first_version_can_be_cancelled(house):
    with house.manager(poll_seconds=0.02) as manager:
        canceled = threading.Event()
        waiter = threading.Thread(target=manager.wait_until_available, args=(canceled,))
        waiter.start()
        canceled.set()
        waiter.join(SECONDS)
        assert not waiter.is_alive()


# --- The gate ---


def test_gate_bounds_what_runs_and_what_waits():
    gate = Gate(Limits(max_concurrency=1, max_queue=1))
    with gate.admit() as first:
        first.start(None)
        second = gate.admit()
        assert (gate.running, gate.waiting) == (1, 1)
        with pytest.raises(ServingError) as error:
            gate.admit()
        assert error.value.code == Code.RESOURCE_EXHAUSTED
        with second, pytest.raises(ServingError) as error:
            second.start(time.monotonic() + 0.01)
        assert error.value.code == Code.DEADLINE_EXCEEDED
    assert gate.wait_until_empty(0)
    assert (gate.running, gate.waiting) == (0, 0)


def test_gate_lets_the_next_one_in_and_skips_who_has_left():
    gate = Gate(Limits(max_concurrency=1, max_queue=2))
    first, left, third = gate.admit(), gate.admit(), gate.admit()
    first.start(None)
    outcomes = {}

    def wait(name, ticket, is_wanted):
        with ticket:
            try:
                ticket.start(time.monotonic() + SECONDS, lambda: is_wanted)
                outcomes[name] = "ran"
            except ServingError as error:
                outcomes[name] = error.code.name

    threads = [
        threading.Thread(target=wait, args=("left", left, False)),
        threading.Thread(target=wait, args=("third", third, True)),
    ]
    for thread in threads:
        thread.start()
    assert outcomes == {}
    first.__exit__()
    for thread in threads:
        thread.join(SECONDS)
    assert outcomes == {"left": "CANCELLED", "third": "ran"}
    assert gate.wait_until_empty(0)


def test_a_closed_gate_refuses():
    gate = Gate(Limits())
    with gate.admit():
        gate.close()
        with pytest.raises(ServingError) as error:
            gate.admit()
        assert error.value.code == Code.UNAVAILABLE
        assert not gate.wait_until_empty(0)
