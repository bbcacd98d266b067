"""Which versions of which models are loaded, and which are in use.

Like TensorFlow Serving's manager with its availability-preserving policy: a new version is loaded
first, and the old one is only unloaded once the new one serves, after its last request. A failed
version displaces nothing. All of it runs in one event loop, with slow work in separate threads.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from serving.devserver.errors import invalid
from serving.devserver.settings import Loading, ModelConfig
from serving.devserver.versions import Loaded, Target, Version
from serving.runtime import saved_model
from serving.runtime.c_api import Failure
from serving.runtime.status import Code, State

_LOG = logging.getLogger(__name__)

_REMEMBERED = 100
"""Number of ended versions that are remembered per model."""

Load = Callable[[str, Path], Loaded]
"""Loads a version, in a thread, given the model's name and a folder; may raise `Failure`."""


async def until(is_so: Callable[[], bool], seconds: float | None = None) -> bool:
    """Waits until something is so; looks every 20 milliseconds, for other threads may make it so.

    Args:
        is_so: returns whether it is.
        seconds: longest time to wait; None for no limit.

    Returns:
        False if the time is over.
    """
    end = math.inf if seconds is None else time.monotonic() + seconds
    while not is_so():
        if time.monotonic() >= end:
            return False
        await asyncio.sleep(0.02)
    return True


class Models:
    """Loads and unloads versions, and keeps those in use loaded.

    Args:
        models: the models to serve at first.
        loading: how versions are loaded.
        load: loads a version.

    Raises:
        Failure: if a label names a version that is not loaded, unless `loading` allows that.
    """

    def __init__(self, models: Sequence[ModelConfig], loading: Loading, load: Load) -> None:
        self._loading, self._load = loading, load
        self._roots = [model.base_path.resolve() for model in models]
        self._configs: dict[str, ModelConfig] = {}
        self._versions: dict[str, dict[int, Version]] = {model.name: {} for model in models}
        self._wanted: dict[str, set[int]] = {}
        self._warned: dict[str, str] = {}
        self._asked, self._looked, self._ask = 0, -1, asyncio.Event()
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
            self._unload_unused(version)

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
        self._asked += 1
        asked = self._asked
        self._ask.set()
        if not await until(lambda: self._looked >= asked, timeout):
            raise Failure(Code.DEADLINE_EXCEEDED, "The models are still being loaded.")
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
        is_settled = True
        for name in self._configs:
            versions = [self._versions[name][number] for number in self._wanted.get(name, ())]
            errors = [one.error for one in versions if one.error and one.state == State.END]
            if errors and len(errors) == len(versions):
                raise Failure(errors[0].code, f"model {name}: {errors[0].cause}")
            is_untried = any(one.is_pending and not one.attempts for one in versions)
            is_settled = is_settled and not is_untried and bool(self._available(name))
        return is_settled

    # --- How versions come and go ---

    async def work(self) -> None:
        """Scans the base paths, and loads and unloads versions, forever."""
        poll, next_look = self._loading.poll_seconds, 0.0
        while True:
            self._ask.clear()
            asked, configs = self._asked, self._configs
            if time.monotonic() >= next_look or asked > self._looked:
                next_look = time.monotonic() + poll if poll > 0 else math.inf
                await self._look(configs)
            await self._load_pending()
            self._looked = asked
            self._drop_unwanted()
            pending = [one.next_attempt for one in self._all() if one.is_pending]
            pause = min([next_look, *pending]) - time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if pause == math.inf else pause):
                    await self._ask.wait()

    def _all(self) -> list[Version]:
        return [one for versions in self._versions.values() for one in versions.values()]

    async def _look(self, configs: Mapping[str, ModelConfig]) -> None:
        """Determines which versions are wanted now, and adds an entry for each new one."""
        found: dict[str, dict[int, Path]] = {
            name: {} for name in self._versions.keys() - configs.keys()
        }
        for name, config in configs.items():
            try:
                present = await asyncio.to_thread(saved_model.find_versions, config.base_path)
            except OSError as error:
                # A base path that is briefly missing must not unload its model.
                self._warn(name, f"{config.base_path}: {error.strerror}")
                continue
            chosen = config.policy.choose(present)
            self._warn(name, "" if chosen else f"no versions of {name} under {config.base_path}")
            found[name] = {number: present[number] for number in chosen}
        for name, folders in found.items():
            before, self._wanted[name] = self._wanted.get(name, set()), set(folders)
            versions = self._versions.setdefault(name, {})
            for number, folder in folders.items():
                old = versions.get(number)
                # A version that failed for good is only retried if it was missing for a while.
                is_over = old and old.state == State.END and (not old.error or number not in before)
                if old is None or is_over:
                    versions[number] = Version(name, number, folder)

    def _warn(self, name: str, message: str) -> None:
        if message and message != self._warned.get(name):
            _LOG.warning("%s", message)
        self._warned[name] = message

    async def _load_pending(self) -> None:
        for name, wanted in self._wanted.items():
            # Newest first: most requests are for it.
            for number in sorted(wanted, reverse=True):
                version = self._versions[name][number]
                if version.is_pending and version.next_attempt <= time.monotonic():
                    await self._try_to_load(version)

    async def _try_to_load(self, version: Version) -> None:
        version.state = State.LOADING
        name = f"{version.name} version {version.number}"
        try:
            version.loaded = await asyncio.to_thread(self._load, version.name, version.folder)
        except Failure as error:
            most = self._loading.max_num_retries + 1
            version.error = error
            version.attempts += 1
            version.next_attempt = time.monotonic() + self._loading.retry_seconds
            if version.attempts >= most:
                version.state = State.END
            _LOG.error("%s: load %d of %d: %s", name, version.attempts, most, error.cause)
            return
        version.error, version.state = None, State.AVAILABLE
        self._drop_unwanted()
        _LOG.info("%s serves", name)

    def _drop_unwanted(self) -> None:
        """Unloads unwanted versions, if a wanted one already serves or none is wanted."""
        for name, wanted in self._wanted.items():
            versions = self._versions[name]
            unwanted = sorted(versions.keys() - wanted)
            if not wanted or wanted & self._available(name).keys():
                for number in unwanted:
                    self._retire(versions[number])
            over = [number for number in unwanted if versions[number].state == State.END]
            for number in over[:-_REMEMBERED]:
                del versions[number]

    def _retire(self, version: Version) -> None:
        if version.is_pending:
            version.state = State.END
        elif version.state == State.AVAILABLE:
            version.state = State.UNLOADING
            self._unload_unused(version)

    def _unload_unused(self, version: Version) -> None:
        if version.users or version.state != State.UNLOADING or version.loaded is None:
            return
        session, version.loaded = version.loaded.session, None

        def close() -> None:
            session.close()
            version.state = State.END
            _LOG.info("%s version %d is unloaded", version.name, version.number)

        # It waits for calls, which may never end, but must not keep the process alive.
        threading.Thread(target=close, name="unload", daemon=True).start()

    async def unload_all(self, seconds: float | None = None) -> None:
        """Unloads everything, each version after its last request.

        Args:
            seconds: longest time to wait; None for no limit.
        """
        for version in self._all():
            self._retire(version)
        await until(lambda: all(one.state == State.END for one in self._all()), seconds)
