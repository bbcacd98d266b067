"""The life of one version of a model: START, LOADING, AVAILABLE, UNLOADING, END."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path

from serving.standin.errors import ServingError
from serving.standin.model import LoadedModel


class State(enum.IntEnum):
    """States of `ModelVersionStatus`, by their numbers there."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(frozen=True)
class Status:
    """What is told of a version.

    Attributes:
        version: its number.
        state: where it is in its life.
        error: why it could not be loaded, or None.
    """

    version: int
    state: State
    error: ServingError | None = None


@dataclasses.dataclass
class Version:
    """What the manager knows of a version; its lock protects every field.

    Attributes:
        number: the version.
        folder: its SavedModel.
        state: where it is in its life.
        error: why the last attempt to load it failed.
        model: the loaded version, while there is one.
        users: requests that hold `model`.
        attempts: how often it was tried to load.
        next_attempt: when to try again, in seconds of `time.monotonic`.
    """

    number: int
    folder: Path
    state: State = State.START
    error: ServingError | None = None
    model: LoadedModel | None = None
    users: int = 0
    attempts: int = 0
    next_attempt: float = 0.0

    @property
    def is_pending(self) -> bool:
        """Whether it has yet to be loaded."""
        return self.state in (State.START, State.LOADING)

    @property
    def status(self) -> Status:
        """What is told of it."""
        return Status(self.number, self.state, self.error)
