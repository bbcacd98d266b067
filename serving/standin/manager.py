"""Which versions of which models are loaded, and who uses them.

As TensorFlow Serving's manager with its availability-preserving policy: a new version is loaded
first, and only when it serves does the old one go, after its last request. A version that cannot be
loaded displaces nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from serving.standin.disk import Roots, find_versions
from serving.standin.errors import Code, ServingError, invalid
from serving.standin.model import LoadedModel
from serving.standin.settings import Loading, ModelConfig
from serving.standin.versions import State, Status, Version

_LOG = logging.getLogger(__name__)

_REMEMBERED = 100
"""Versions of a model whose end is remembered."""

Load = Callable[[str, int, Path], LoadedModel]
"""Loads a version: name of the model, number, folder."""


class Manager:
    """Loads and unloads versions in a thread of its own, and lends them to requests.

    Args:
        models: what to serve at first.
        loading: how versions come and go.
        load: loads a version, or raises `ServingError`.
    """

    def __init__(self, models: Sequence[ModelConfig], loading: Loading, load: Load) -> None:
        self._loading, self._load = loading, load
        self._roots = Roots(model.base_path for model in models)
        self._changed = threading.Condition()
        self._configs = {model.name: model for model in models}
        self._versions: dict[str, dict[int, Version]] = {name: {} for name in self._configs}
        self._wanted: dict[str, set[int]] = {}
        self._warned: dict[str, str] = {}
        self._asked, self._looked = 0, 0
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="models", daemon=True)
        self._unloader = ThreadPoolExecutor(1, "unload")

    def start(self) -> None:
        """Begins to look at the base paths."""
        self._check_labels(self._configs)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Unloads everything, each version after its last request.

        Args:
            timeout: seconds to wait for those requests at most.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()
        with self._changed:
            versions = [entry for entries in self._versions.values() for entry in entries.values()]
            for entry in versions:
                self._retire(entry)
            is_done = self._changed.wait_for(
                lambda: all(entry.state == State.END for entry in versions), timeout
            )
        if is_done:
            self._unloader.shutdown(wait=False)

    # --- What requests ask ---

    @contextmanager
    def use(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Iterator[LoadedModel]:
        """Lends a loaded version; it stays loaded until it is given back.

        Args:
            name: the model.
            version: number of the version; None for the latest that serves.
            label: name of the version instead.

        Raises:
            ServingError: if there is none, in TensorFlow Serving's words.
        """
        with self._changed:
            entry = self._resolve(name, version, label)
            model = entry.model
            entry.users += 1
        assert model is not None
        try:
            yield model
        finally:
            with self._changed:
                entry.users -= 1
                if not entry.users and entry.state == State.UNLOADING:
                    self._unloader.submit(self._unload, entry)

    def _resolve(self, name: str, version: int | None, label: str | None) -> Version:
        if not name:
            raise invalid("ModelSpec has no name specified.")
        version = self._version_of_label(name, label) if label else version
        entries = self._versions.get(name, {})
        if version is None:
            serving = [n for n, entry in entries.items() if entry.state == State.AVAILABLE]
            if serving:
                return entries[max(serving)]
            raise ServingError(Code.NOT_FOUND, f"Servable not found for request: Latest({name})")
        if version in entries and entries[version].state == State.AVAILABLE:
            return entries[version]
        raise ServingError(
            Code.NOT_FOUND, f"Servable not found for request: Specific({name}, {version})"
        )

    def _version_of_label(self, name: str, label: str) -> int:
        config = self._configs.get(name)
        if config is None or label not in config.labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return config.labels[label]

    def knows(self, name: str) -> bool:
        """Tells whether a model is, or was, to be served."""
        return name in self._versions

    def statuses(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> list[Status]:
        """Tells what became of a model's versions, the newest first.

        Args:
            name: the model.
            version: the only version to tell of, or None for all.
            label: name of that version instead.

        Raises:
            ServingError: NOT_FOUND if there is none.
        """
        with self._changed:
            version = self._version_of_label(name, label) if label else version
            entries = self._versions.get(name, {})
            if version is None:
                if not entries:
                    raise ServingError(
                        Code.NOT_FOUND, f"Could not find any versions of model {name}"
                    )
                return [entries[number].status for number in sorted(entries, reverse=True)]
            if version not in entries:
                raise ServingError(
                    Code.NOT_FOUND, f"Could not find version {version} of model {name}"
                )
            return [entries[version].status]

    # --- What to serve ---

    def reload(self, models: Sequence[ModelConfig], timeout: float | None = None) -> None:
        """Replaces the whole configuration and waits until its models serve.

        Args:
            models: what to serve from now on.
            timeout: seconds to wait at most.

        Raises:
            ServingError: if the configuration is refused (nothing changes then), or a model does
                not load.
        """
        for model in models:
            self._roots.check(model.name, model.base_path)
        configs = {model.name: model for model in models}
        with self._changed:
            self._check_labels(configs)
            self._configs = configs
            self._asked += 1
            asked = self._asked
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._looked >= asked or self._stopping, timeout):
                raise ServingError(Code.DEADLINE_EXCEEDED, "The models are still being loaded.")
            silent = [name for name in configs if not self._serves(name)]
        if silent:
            raise ServingError(
                Code.UNKNOWN, f"Some models did not become available: {{{', '.join(silent)}}}"
            )

    def _check_labels(self, configs: Mapping[str, ModelConfig]) -> None:
        for name, config in configs.items():
            old = self._configs[name].labels if name in self._configs else {}
            entries = self._versions.get(name, {})
            for label, number in config.labels.items():
                entry = entries.get(number)
                if entry is not None and entry.state == State.AVAILABLE:
                    continue
                # The flag lets a new label wait for its version, not an old one leave its own.
                is_free = old.get(label, number) == number
                if not (self._loading.labels_for_unavailable_models and is_free):
                    raise ServingError(
                        Code.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {name}, "
                        "which is not currently available for inference",
                    )

    def wait_until_available(self, is_cancelled: threading.Event) -> list[Status]:
        """Waits until every model serves or has failed for good.

        Args:
            is_cancelled: ends the wait.

        Returns:
            The versions of those models that failed.
        """
        with self._changed:
            while not is_cancelled.is_set():
                waiting = [name for name in self._configs if not self._is_settled(name)]
                failed = [name for name in waiting if self._has_failed(name)]
                if len(failed) == len(waiting):
                    return [
                        entry.status for name in failed for entry in self._versions[name].values()
                    ]
                # Signals cannot notify a condition.
                self._changed.wait(0.2)
        return []

    def _serves(self, name: str) -> bool:
        entries = self._versions.get(name, {})
        return any(entry.state == State.AVAILABLE for entry in entries.values())

    def _is_settled(self, name: str) -> bool:
        """Tells whether a model serves and has tried to load all that it should serve."""
        untried = (
            entry.is_pending and not entry.attempts for entry in self._versions[name].values()
        )
        return self._serves(name) and not any(untried)

    def _has_failed(self, name: str) -> bool:
        wanted = self._wanted.get(name)
        entries = self._versions[name]
        return bool(wanted) and all(entries[number].state == State.END for number in wanted or ())

    # --- The manager's own thread ---

    def _work(self) -> None:
        poll = self._loading.poll_seconds
        next_look = 0.0 if poll >= 0 else float("inf")
        while True:
            with self._changed:
                if self._stopping:
                    return
                asked, configs = self._asked, dict(self._configs)
            now = time.monotonic()
            if now >= next_look or asked > self._looked:
                next_look = now + poll if poll > 0 else float("inf")
                self._look(configs)
            self._load_pending()
            with self._changed:
                self._looked = asked
                self._drop_unwanted()
                self._changed.notify_all()
                due = [
                    entry.next_attempt
                    for entries in self._versions.values()
                    for entry in entries.values()
                    if entry.is_pending
                ]
                pause = min([next_look, *due]) - time.monotonic()
                if not self._stopping and self._asked == asked and pause > 0:
                    self._changed.wait(min(pause, threading.TIMEOUT_MAX))

    def _look(self, configs: Mapping[str, ModelConfig]) -> None:
        """Finds which versions are wanted now, and makes an entry of each that is new."""
        found: dict[str, dict[int, Path]] = {}
        for name, config in configs.items():
            try:
                present = find_versions(config.base_path)
            except OSError as error:
                # A base path that is away for a moment must not unload its model.
                self._warn(name, f"{config.base_path}: {error.strerror}")
                continue
            chosen = config.policy.choose(present)
            if not chosen:
                self._warn(name, f"no versions of {name} under {config.base_path}")
            else:
                self._warned.pop(name, None)
            found[name] = {number: present[number] for number in chosen}
        with self._changed:
            for name in self._versions.keys() - configs.keys():
                found[name] = {}
            for name, folders in found.items():
                before = self._wanted.get(name, set())
                self._wanted[name] = set(folders)
                entries = self._versions.setdefault(name, {})
                for number, folder in folders.items():
                    entry = entries.get(number)
                    # One that failed for good is tried again only after it has been away.
                    if entry is None or (
                        entry.state == State.END and (not entry.error or number not in before)
                    ):
                        entries[number] = Version(number, folder)

    def _warn(self, name: str, message: str) -> None:
        if self._warned.get(name) != message:
            self._warned[name] = message
            _LOG.warning("%s", message)

    def _load_pending(self) -> None:
        with self._changed:
            now = time.monotonic()
            # The newest first: it is the one that most requests are for.
            due = [
                (name, entries[number])
                for name, entries in self._versions.items()
                for number in sorted(self._wanted.get(name, ()), reverse=True)
                if entries[number].is_pending and entries[number].next_attempt <= now
            ]
        for name, entry in due:
            if self._stopping:
                return
            self._try_to_load(name, entry)

    def _try_to_load(self, name: str, entry: Version) -> None:
        with self._changed:
            entry.state = State.LOADING
        try:
            model = self._load(name, entry.number, entry.folder)
        except ServingError as error:
            retries = self._loading.max_num_retries
            with self._changed:
                entry.error = error
                entry.attempts += 1
                is_over = entry.attempts > retries
                entry.state = State.END if is_over else State.LOADING
                entry.next_attempt = time.monotonic() + max(self._loading.retry_seconds, 0.0)
            then = "gives up" if is_over else f"again in {self._loading.retry_seconds:g} s"
            _LOG.error(
                "%s version %d: load %d of %d failed, %s: %s",
                name,
                entry.number,
                entry.attempts,
                retries + 1,
                then,
                error.message,
            )
            return
        with self._changed:
            entry.model, entry.error, entry.state = model, None, State.AVAILABLE
            self._drop_unwanted()
            self._changed.notify_all()
        _LOG.info("%s version %d serves", name, entry.number)

    def _drop_unwanted(self) -> None:
        """Unloads what is not wanted, if what is wanted already serves."""
        for name, wanted in self._wanted.items():
            entries = self._versions[name]
            if not wanted or any(entries[n].state == State.AVAILABLE for n in wanted):
                for number, entry in entries.items():
                    if number not in wanted:
                        self._retire(entry)
            over = [n for n in sorted(entries) if entries[n].state == State.END]
            for number in over[:-_REMEMBERED]:
                if number not in wanted:
                    del entries[number]

    def _retire(self, entry: Version) -> None:
        if entry.is_pending:
            entry.state = State.END
        elif entry.state == State.AVAILABLE:
            entry.state = State.UNLOADING
            if not entry.users:
                self._unloader.submit(self._unload, entry)

    def _unload(self, entry: Version) -> None:
        with self._changed:
            model, entry.model = entry.model, None
        if model is not None:
            model.close()
            _LOG.info("%s version %d is unloaded", model.name, entry.number)
        with self._changed:
            entry.state = State.END
            self._changed.notify_all()
