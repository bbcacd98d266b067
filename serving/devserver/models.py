"""Which versions of which models are loaded, and which are in use.

Like TensorFlow Serving's manager with its availability-preserving policy: a new version is loaded
first, and the old one is only unloaded once the new one serves, after its last request. A failed
version displaces nothing. All of it runs in one event loop, with slow work in separate threads.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from serving.devserver.batcher import Batcher
from serving.devserver.errors import invalid
from serving.devserver.settings import Loading, ModelConfig
from serving.runtime import saved_model
from serving.runtime.c_api import Failure
from serving.runtime.session import Session
from serving.runtime.status import Code, State

_LOG = logging.getLogger(__name__)

_PAUSE = 1.0
"""Longest time, in seconds, between two looks at what is to be loaded."""

Load = Callable[[Path], tuple[Session, Batcher | None]]
"""Loads the version in a folder, in a thread."""


@dataclasses.dataclass(frozen=True)
class Target:
    """The version that a request is for.

    Attributes:
        name: name of the model.
        version: number of the version; None for the latest.
        label: label of the version, instead of its number; empty for none.
    """

    name: str
    version: int | None = None
    label: str = ""


@dataclasses.dataclass
class Version:
    """The state of a version.

    Attributes:
        name: name of the model.
        number: number of the version.
        folder: folder of its SavedModel.
        is_wanted: whether it is to be served.
        state: stage of its life cycle.
        error: why the last attempt to load it failed.
        session: runs it, while it is loaded.
        batcher: combines requests to it into batches; None to run each on its own.
        users: number of requests that use it.
        attempts: number of failed attempts to load it.
        next_attempt: time of the next attempt, in seconds of `time.monotonic`.
    """

    name: str
    number: int
    folder: Path
    is_wanted: bool = True
    state: State = State.START
    error: Failure | None = None
    session: Session | None = None
    batcher: Batcher | None = None
    users: int = 0
    attempts: int = 0
    next_attempt: float = 0.0

    @property
    def is_pending(self) -> bool:
        """Whether it has yet to be loaded."""
        return self.state in (State.START, State.LOADING)


async def until(is_so: Callable[[], bool], seconds: float = math.inf) -> None:
    """Waits until something is so, but no longer than `seconds`.

    It looks every 20 milliseconds, for other threads may make it so.
    """
    end = time.monotonic() + seconds
    while not is_so() and time.monotonic() < end:
        await asyncio.sleep(0.02)


class Models:
    """Loads and unloads versions, and keeps those in use loaded.

    Args:
        models: the models to serve at first.
        loading: how versions are loaded.
        load: loads a version; may raise `Failure`.

    Raises:
        Failure: if a label names a version that is not loaded, unless `loading` allows that.
    """

    def __init__(self, models: Sequence[ModelConfig], loading: Loading, load: Load) -> None:
        self._loading, self._load = loading, load
        self._roots = [model.base_path.resolve() for model in models]
        self._configs: dict[str, ModelConfig] = {}
        self._versions: dict[str, dict[int, Version]] = {model.name: {} for model in models}
        self._warned: dict[str, str] = {}
        self._changes, self._is_closed = asyncio.Lock(), False
        self._configure(models)

    # --- What requests ask ---

    @contextmanager
    def use(self, target: Target) -> Iterator[Version]:
        """Yields a loaded version, which stays loaded until the context ends.

        Raises:
            Failure: if there is none.
        """
        available, number = self._available(target.name), self._number(target)
        if number is None:
            number = max(available, default=None)
        if number not in available:
            which = f"Latest({target.name})"
            if number is not None:
                which = f"Specific({target.name}, {number})"
            raise Failure(Code.NOT_FOUND, f"Servable not found for request: {which}")
        version = available[number]
        version.users += 1
        try:
            yield version
        finally:
            version.users -= 1
            if version.state == State.UNLOADING:
                self._unload(version)

    def _number(self, target: Target) -> int | None:
        if not target.name:
            raise invalid("expected the name of a model. Received: none")
        if not target.label:
            return target.version
        config = self._configs.get(target.name)
        if config is None or target.label not in config.labels:
            raise invalid(f"Unrecognized servable version label: {target.label}")
        return config.labels[target.label]

    def _available(self, name: str) -> dict[int, Version]:
        versions = self._versions.get(name, {})
        return {n: versions[n] for n in versions if versions[n].state == State.AVAILABLE}

    def knows(self, name: str) -> bool:
        """Returns whether a model is or was configured."""
        return name in self._versions

    def statuses(self, target: Target) -> list[Version]:
        """Returns all versions of a model, newest first, or the one that is asked for.

        Raises:
            Failure: NOT_FOUND if there is none.
        """
        versions, number = self._versions.get(target.name, {}), self._number(target)
        found = [versions[n] for n in sorted(versions, reverse=True) if number in (None, n)]
        if not found:
            wanted = "versions" if number is None else f"version {number}"
            raise Failure(Code.NOT_FOUND, f"Could not find {wanted} of model {target.name}")
        return found

    # --- What to serve ---

    def require_roots(self, models: Iterable[ModelConfig]) -> None:
        """Refuses base paths that a client may not use: those outside the initial base paths.

        Raises:
            Failure: PERMISSION_DENIED if there is one.
        """
        for model in models:
            resolved = model.base_path.resolve()
            if not any(resolved.is_relative_to(root) for root in self._roots):
                raise Failure(
                    Code.PERMISSION_DENIED,
                    f"model {model.name}: expected a base path in a folder that the server was "
                    f"started with. Received: {model.base_path}",
                )

    async def reload(self, models: Sequence[ModelConfig], timeout: float | None = None) -> None:
        """Replaces the whole configuration and waits until its models serve.

        Args:
            models: the models to serve from now on.
            timeout: longest time to wait, in seconds; None for no limit.

        Raises:
            Failure: if the configuration is refused (in which case nothing changes), or a model
                does not load in time.
        """
        self._configure(models)
        # It goes on after the timeout: a load cannot be canceled.
        change = asyncio.ensure_future(self._change(self._names()))
        await asyncio.wait([change], timeout=timeout)
        if not change.done():
            raise Failure(Code.DEADLINE_EXCEEDED, "The models are still being loaded.")
        change.result()
        missing = [model.name for model in models if not self._available(model.name)]
        if missing:
            raise Failure(Code.UNKNOWN, f"Some models are not available: {', '.join(missing)}")

    def _configure(self, models: Sequence[ModelConfig]) -> None:
        for model in models:
            old = self._configs[model.name].labels if model.name in self._configs else {}
            for label, number in model.labels.items():
                # The flag lets a new label wait for its version, but not an old one move to it.
                stays = old.get(label, number) == number
                may_wait = self._loading.labels_for_unavailable_models and stays
                if not may_wait and number not in self._available(model.name):
                    raise Failure(
                        Code.FAILED_PRECONDITION,
                        f"model {model.name}: expected a loaded version for the label {label}. "
                        f"Received: {number}",
                    )
        self._configs = {model.name: model for model in models}

    def are_settled(self) -> bool:
        """Returns whether every model serves, and none of its versions has yet to be tried.

        Raises:
            Failure: if none of the versions of a model can be loaded.
        """
        wanted = {
            name: [one for one in self._versions[name].values() if one.is_wanted]
            for name in self._configs
        }
        for name, versions in wanted.items():
            errors = [one.error for one in versions if one.error and one.state == State.END]
            if errors and len(errors) == len(versions):
                raise Failure(errors[0].code, f"model {name}: {errors[0].cause}")
        tried = [one.attempts or not one.is_pending for ones in wanted.values() for one in ones]
        return all(tried) and all(self._available(name) for name in wanted)

    # --- How versions come and go ---

    async def work(self) -> None:
        """Scans the base paths, and loads and unloads versions, forever."""
        next_scan, poll = 0.0, self._loading.poll_seconds
        while True:
            is_due = time.monotonic() >= next_scan
            if is_due:
                next_scan = time.monotonic() + (poll if poll > 0 else math.inf)
            await self._change(self._names() if is_due else [])
            await asyncio.sleep(min(poll, _PAUSE) if poll > 0 else _PAUSE)

    def _names(self) -> list[str]:
        """Returns the models that are or were configured."""
        return [*{**self._versions, **self._configs}]

    async def _change(self, scanned: Iterable[str]) -> None:
        """Scans the base paths of some models, and loads and unloads versions of all."""
        async with self._changes:
            for name in scanned:
                await self._scan(name)
            # Newest first: most requests are for it.
            for version in sorted(self._all(), key=lambda version: -version.number):
                if self._is_closed:
                    return
                self._take_back(version)
                is_due = version.next_attempt <= time.monotonic()
                if version.is_wanted and version.is_pending and is_due:
                    await self._try_to_load(version)
            self._unload_unwanted()

    def _all(self) -> list[Version]:
        return [one for versions in self._versions.values() for one in versions.values()]

    async def _scan(self, name: str) -> None:
        """Determines which versions of a model are wanted, and adds an entry for each new one."""
        config, present, chosen = self._configs.get(name), dict[int, Path](), set[int]()
        if config is not None:
            try:
                present = await asyncio.to_thread(saved_model.find_versions, config.base_path)
            except OSError as error:
                # A base path that is briefly missing must not unload its model.
                self._warn(name, f"{config.base_path}: {error.strerror}")
                return
            chosen = config.choose(present)
            self._warn(name, "" if chosen else f"no versions of {name} under {config.base_path}")
        versions = self._versions.setdefault(name, {})
        for number, version in [*versions.items()]:
            # What failed for good is not retried before it was unwanted, or its folder missing.
            is_back = number in chosen and not version.is_wanted
            version.is_wanted = number in chosen
            if version.state == State.END and (is_back or number not in present):
                del versions[number]
        for number in chosen - versions.keys():
            versions[number] = Version(name, number, present[number])

    def _warn(self, name: str, message: str) -> None:
        if message and message != self._warned.get(name):
            _LOG.warning("%s", message)
        self._warned[name] = message

    def _take_back(self, version: Version) -> None:
        """Serves a version that is wanted again while or after it was unloaded."""
        if version.is_wanted and version.state == State.UNLOADING and version.session is not None:
            version.state = State.AVAILABLE
        elif version.is_wanted and version.state == State.END and version.error is None:
            version.state, version.attempts, version.next_attempt = State.START, 0, 0.0

    async def _try_to_load(self, version: Version) -> None:
        version.state = State.LOADING
        name = f"{version.name} version {version.number}"
        try:
            loaded = await asyncio.to_thread(self._load, version.folder)
        except Failure as error:
            most = self._loading.max_num_retries + 1
            version.error = error
            version.attempts += 1
            version.next_attempt = time.monotonic() + self._loading.retry_seconds
            if version.attempts >= most:
                version.state = State.END
            _LOG.error("%s: load %d of %d: %s", name, version.attempts, most, error.cause)
            return
        version.session, version.batcher = loaded
        version.error, version.state = None, State.AVAILABLE
        self._unload_unwanted()
        _LOG.info("%s serves", name)

    def _unload_unwanted(self) -> None:
        """Unloads unwanted versions, if a wanted one already serves or none is wanted."""
        for versions in self._versions.values():
            wanted = [one.state for one in versions.values() if one.is_wanted]
            for one in versions.values():
                if not one.is_wanted and (not wanted or State.AVAILABLE in wanted):
                    self._unload(one)

    def _unload(self, version: Version) -> None:
        """Unloads a version after its last request."""
        if version.is_pending:
            version.state = State.END
        elif version.state == State.AVAILABLE:
            version.state = State.UNLOADING
        session, batcher = version.session, version.batcher
        if version.users or session is None:
            return
        version.session = version.batcher = None

        def close() -> None:
            if batcher is not None:
                batcher.close()
            session.close()
            version.state = State.END
            _LOG.info("%s version %d is unloaded", version.name, version.number)

        # It waits for calls, which may never end, but must not keep the process alive.
        threading.Thread(target=close, name="unload", daemon=True).start()

    async def unload_all(self, seconds: float = math.inf) -> None:
        """Unloads everything, each version after its last request; loads nothing from then on.

        Args:
            seconds: longest time to wait for requests; for a load, which cannot be canceled, it
                waits in any case.
        """
        self._is_closed = True
        async with self._changes:
            for version in self._all():
                self._unload(version)
        await until(lambda: all(one.state == State.END for one in self._all()), seconds)
