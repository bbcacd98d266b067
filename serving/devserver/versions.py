"""One version of a model: its life cycle, and its place on disk."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path

from serving.devserver.batcher import Batcher
from serving.devserver.errors import RequestError
from serving.runtime.session import Session
from serving.runtime.status import State

_LOG = logging.getLogger(__name__)

_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")
_LARGEST = 2**63


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A loaded version.

    Attributes:
        session: runs the version.
        batcher: combines requests into batches; None to run each request on its own.
    """

    session: Session
    batcher: Batcher | None = None


@dataclasses.dataclass
class Version:
    """The state of a version.

    Attributes:
        name: name of the model.
        number: number of the version.
        folder: folder of its SavedModel.
        state: stage of its life cycle.
        error: why the last attempt to load it failed.
        loaded: the model, while it is loaded.
        users: number of requests that use it.
        attempts: number of failed attempts to load it.
        next_attempt: time of the next attempt, in seconds of `time.monotonic`.
    """

    name: str
    number: int
    folder: Path
    state: State = State.START
    error: RequestError | None = None
    loaded: Loaded | None = None
    users: int = 0
    attempts: int = 0
    next_attempt: float = 0.0

    @property
    def is_pending(self) -> bool:
        """Whether it has yet to be loaded."""
        return self.state in (State.START, State.LOADING)


def find_versions(base_path: Path) -> dict[int, Path]:
    """Finds the versions of a model: the folders whose names are 64-bit integers.

    Args:
        base_path: folder of the versions.

    Returns:
        The folders by number of the version.

    Raises:
        OSError: if the base path cannot be read.
    """
    found: dict[int, Path] = {}
    for entry in sorted(base_path.iterdir()):
        if _NUMBER.fullmatch(entry.name) and entry.is_dir():
            number = int(entry.name)
            if -_LARGEST <= number < _LARGEST:
                if number in found:
                    _LOG.warning("%s and %s are the same version", found[number], entry)
                found[number] = entry
    return found
