"""Which versions of which models are loaded, and which are in use.

Like TensorFlow Serving's manager with its availability-preserving policy: a new version is loaded
first, and the old one is only unloaded once the new one serves, after its last request. A failed
version displaces nothing. All of it runs in one event loop, with slow work in separate threads.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from serving.devserver.errors import RequestError, invalid
from serving.devserver.settings import Loading, ModelConfig
from serving.devserver.versions import Loaded, Version, find_versions
from serving.runtime.status import Code, State

_LOG = logging.getLogger(__name__)

_REMEMBERED = 100
"""Number of ended versions that are remembered per model."""


Load = Callable[[str, Path], Loaded]
"""Loads a version, in a thread, given the model's name and a folder; may raise `RequestError`."""


class Models:
    """Loads and unloads versions, and keeps those in use loaded.

    Args:
        models: the models to serve at first.
        loading: how versions are loaded.
        load: loads a version.
    """

    def __init__(self, models: Sequence[ModelConfig], loading: Loading, load: Load) -> None:
        self._loading, self._load = loading, load
        self._roots = [model.base_path.resolve() for model in models]
        configs = {model.name: model for model in models}
        self._configs: dict[str, ModelConfig] = {}
        self._versions: dict[str, dict[int, Version]] = {name: {} for name in configs}
        self._check_labels(configs)
        self._configs = configs
        self._wanted: dict[str, set[int]] = {}
        self._warned: dict[str, str] = {}
        self._asked, self._looked = 0, -1
        self._ask, self._turned = asyncio.Event(), asyncio.Condition()
        self._unloading: set[asyncio.Task[None]] = set()

    # --- What requests ask ---

    @contextmanager
    def use(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Iterator[Version]:
        """Yields a loaded version, which stays loaded until the context ends.

        Args:
            name: name of the model.
            version: number of the version; None for the latest that serves.
            label: label of the version, instead of its number.

        Raises:
            RequestError: if there is none, in the words of TensorFlow Serving.
        """
        entry = self._resolve(name, version, label)
        entry.users += 1
        try:
            yield entry
        finally:
            entry.users -= 1
            self._unload_unused(entry)

    def _resolve(self, name: str, version: int | None, label: str | None) -> Version:
        if not name:
            raise invalid("ModelSpec has no name specified.")
        version = self._version_of_label(name, label) if label else version
        entries = self._versions.get(name, {})
        serving = [number for number in entries if entries[number].state == State.AVAILABLE]
        if version is None and serving:
            return entries[max(serving)]
        if version in serving:
            return entries[version]
        wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise RequestError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")

    def _version_of_label(self, name: str, label: str) -> int:
        config = self._configs.get(name)
        if config is None or label not in config.labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return config.labels[label]

    def knows(self, name: str) -> bool:
        """Returns whether a model is or was configured."""
        return name in self._versions

    def statuses(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> list[Version]:
        """Returns the versions of a model with their states, newest first.

        Args:
            name: name of the model.
            version: number of the only version to return; None for all.
            label: label of that version, instead of its number.

        Raises:
            RequestError: NOT_FOUND if there is none.
        """
        version = self._version_of_label(name, label) if label else version
        entries = self._versions.get(name, {})
        if version is not None and version in entries:
            return [entries[version]]
        if version is None and entries:
            return [entries[number] for number in sorted(entries, reverse=True)]
        what = "any versions" if version is None else f"version {version}"
        raise RequestError(Code.NOT_FOUND, f"Could not find {what} of model {name}")

    # --- What to serve ---

    def require_roots(self, models: Iterable[ModelConfig]) -> None:
        """Refuses base paths that a client may not use: those outside the initial base paths.

        Raises:
            RequestError: PERMISSION_DENIED if there is one.
        """
        for model in models:
            resolved = model.base_path.resolve()
            if not any(resolved.is_relative_to(root) for root in self._roots):
                raise RequestError(
                    Code.PERMISSION_DENIED,
                    f"Model {model.name}: expected a base path in a folder that the server was "
                    f"started with. Received: {model.base_path}",
                )

    async def reload(self, models: Sequence[ModelConfig], timeout: float | None = None) -> None:
        """Replaces the whole configuration and waits until its models serve.

        Args:
            models: the models to serve from now on.
            timeout: longest time to wait, in seconds; None for no limit.

        Raises:
            RequestError: if the configuration is refused (in which case nothing changes), or a
                model does not load in time.
        """
        configs = {model.name: model for model in models}
        self._check_labels(configs)
        self._configs = configs
        self._asked += 1
        asked = self._asked
        self._ask.set()
        try:
            async with asyncio.timeout(timeout):
                await self._until(lambda: self._looked >= asked)
        except TimeoutError:
            raise RequestError(
                Code.DEADLINE_EXCEEDED, "The models are still being loaded."
            ) from None
        missing = [name for name in configs if not self._serves(name)]
        if missing:
            raise RequestError(
                Code.UNKNOWN, f"Some models did not become available: {{{', '.join(missing)}}}"
            )

    def _check_labels(self, configs: Mapping[str, ModelConfig]) -> None:
        for name, config in configs.items():
            old = self._configs[name].labels if name in self._configs else {}
            entries = self._versions.get(name, {})
            for label, number in config.labels.items():
                if number in entries and entries[number].state == State.AVAILABLE:
                    continue
                # The flag lets a new label wait for its version, but not an old one move to it.
                is_free = old.get(label, number) == number
                if not (self._loading.labels_for_unavailable_models and is_free):
                    raise RequestError(
                        Code.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {name}, "
                        "which is not currently available for inference",
                    )

    async def wait_until_available(self) -> list[Version]:
        """Waits until every model serves or has failed for good.

        Returns:
            The versions of the models that failed.
        """

        def waiting() -> list[str]:
            return [name for name in self._configs if not self._is_settled(name)]

        await self._until(lambda: all(map(self._has_failed, waiting())))
        return [entry for name in waiting() for entry in self._versions[name].values()]

    async def _until(self, is_so: Callable[[], bool]) -> None:
        async with self._turned:
            await self._turned.wait_for(is_so)

    async def _tell(self) -> None:
        async with self._turned:
            self._turned.notify_all()

    def _serves(self, name: str) -> bool:
        entries = self._versions.get(name, {})
        return any(entry.state == State.AVAILABLE for entry in entries.values())

    def _is_settled(self, name: str) -> bool:
        """Returns whether a model serves, and none of its versions has yet to be tried."""
        entries = self._versions.get(name, {}).values()
        untried = (entry.is_pending and not entry.attempts for entry in entries)
        return self._serves(name) and not any(untried)

    def _has_failed(self, name: str) -> bool:
        wanted, entries = self._wanted.get(name, set()), self._versions.get(name, {})
        return bool(wanted) and all(entries[number].state == State.END for number in wanted)

    # --- How versions come and go ---

    async def work(self) -> None:
        """Scans the base paths, and loads and unloads versions, forever."""
        poll = self._loading.poll_seconds
        next_look = 0.0 if poll >= 0 else float("inf")
        while True:
            self._ask.clear()
            asked, configs = self._asked, dict(self._configs)
            if time.monotonic() >= next_look or asked > self._looked:
                next_look = time.monotonic() + poll if poll > 0 else float("inf")
                await self._look(configs)
            await self._load_pending()
            self._looked = asked
            self._drop_unwanted()
            await self._tell()
            pending = [
                entry.next_attempt
                for entries in self._versions.values()
                for entry in entries.values()
                if entry.is_pending
            ]
            pause = min([next_look, *pending]) - time.monotonic()
            try:
                async with asyncio.timeout(None if pause == float("inf") else max(pause, 0.0)):
                    await self._ask.wait()
            except TimeoutError:
                pass

    async def _look(self, configs: Mapping[str, ModelConfig]) -> None:
        """Determines which versions are wanted now, and adds an entry for each new one."""
        found: dict[str, dict[int, Path]] = {
            name: {} for name in self._versions.keys() - configs.keys()
        }
        for name, config in configs.items():
            try:
                present = await asyncio.to_thread(find_versions, config.base_path)
            except OSError as error:
                # A base path that is briefly missing must not unload its model.
                self._warn(name, f"{config.base_path}: {error.strerror}")
                continue
            chosen = config.policy.choose(present)
            if not chosen:
                self._warn(name, f"no versions of {name} under {config.base_path}")
            else:
                self._warned.pop(name, None)
            found[name] = {number: present[number] for number in chosen}
        for name, folders in found.items():
            before = self._wanted.get(name, set())
            self._wanted[name] = set(folders)
            entries = self._versions.setdefault(name, {})
            for number, folder in folders.items():
                entry = entries.get(number)
                # A version that failed for good is only retried if it was missing for a while.
                if entry is None or (
                    entry.state == State.END and (not entry.error or number not in before)
                ):
                    entries[number] = Version(name, number, folder)

    def _warn(self, name: str, message: str) -> None:
        if self._warned.get(name) != message:
            self._warned[name] = message
            _LOG.warning("%s", message)

    async def _load_pending(self) -> None:
        due = [
            entries[number]
            for name, entries in self._versions.items()
            # Newest first: most requests are for it.
            for number in sorted(self._wanted.get(name, ()), reverse=True)
            if entries[number].is_pending and entries[number].next_attempt <= time.monotonic()
        ]
        for entry in due:
            await self._try_to_load(entry)

    async def _try_to_load(self, entry: Version) -> None:
        entry.state = State.LOADING
        try:
            entry.loaded = await asyncio.to_thread(self._load, entry.name, entry.folder)
        except RequestError as error:
            retries, pause = self._loading.max_num_retries, max(self._loading.retry_seconds, 0.0)
            entry.error = error
            entry.attempts += 1
            is_over = entry.attempts > retries
            entry.state = State.END if is_over else State.LOADING
            entry.next_attempt = time.monotonic() + pause
            then = "gives up" if is_over else f"again in {pause:g} s"
            where = f"{entry.name} version {entry.number}: load {entry.attempts} of {retries + 1}"
            _LOG.error("%s failed, %s: %s", where, then, error.message)
            return
        entry.error, entry.state = None, State.AVAILABLE
        self._drop_unwanted()
        await self._tell()
        _LOG.info("%s version %d serves", entry.name, entry.number)

    def _drop_unwanted(self) -> None:
        """Unloads unwanted versions, if a wanted one already serves or none is wanted."""
        for name, wanted in self._wanted.items():
            entries = self._versions[name]
            if not wanted or any(entries[n].state == State.AVAILABLE for n in wanted):
                for number in entries.keys() - wanted:
                    self._retire(entries[number])
            over = [n for n in sorted(entries) if entries[n].state == State.END]
            for number in over[:-_REMEMBERED]:
                if number not in wanted:
                    del entries[number]

    def _retire(self, entry: Version) -> None:
        if entry.is_pending:
            entry.state = State.END
        elif entry.state == State.AVAILABLE:
            entry.state = State.UNLOADING
            self._unload_unused(entry)

    def _unload_unused(self, entry: Version) -> None:
        if entry.state == State.UNLOADING and not entry.users and entry.loaded is not None:
            task = asyncio.ensure_future(self._unload(entry, entry.loaded))
            entry.loaded = None
            self._unloading.add(task)
            task.add_done_callback(self._unloading.discard)

    async def _unload(self, entry: Version, loaded: Loaded) -> None:
        await _beside(loaded.session.close)
        entry.state = State.END
        _LOG.info("%s version %d is unloaded", entry.name, entry.number)
        await self._tell()

    async def unload_all(self) -> None:
        """Unloads everything, each version after its last request."""
        for entries in self._versions.values():
            for entry in entries.values():
                self._retire(entry)
        await self._until(
            lambda: all(
                entry.state == State.END
                for entries in self._versions.values()
                for entry in entries.values()
            )
        )


async def _beside(work: Callable[[], None]) -> None:
    """Runs work that may never end in a daemon thread, which does not keep the process alive."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        work()
        # The loop may be closed by then.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="unload", daemon=True).start()
    await done.wait()
