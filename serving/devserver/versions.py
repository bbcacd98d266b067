"""One version of a model: where it is in its life, and where on disk."""

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
    """A version that can be asked.

    Attributes:
        session: runs it.
        batcher: puts requests together; None to run each by itself.
    """

    session: Session
    batcher: Batcher | None = None


@dataclasses.dataclass
class Version:
    """What is known of a version.

    Attributes:
        name: of the model.
        number: the version.
        folder: its SavedModel.
        state: where it is in its life.
        error: why the last attempt to load it failed.
        loaded: the model, while there is one.
        users: requests that hold it.
        attempts: how often it was tried to load.
        next_attempt: when to try again, in seconds of `time.monotonic`.
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
    """Finds the versions of a model: the folders whose names are whole numbers of 64 bits.

    Args:
        base_path: folder of the versions.

    Returns:
        Their folders by number.

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
