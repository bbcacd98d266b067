"""One version of a model: how requests name it, and its life cycle."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from serving.devserver.batcher import Batcher
from serving.runtime.c_api import Failure
from serving.runtime.session import Session
from serving.runtime.status import State


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
    error: Failure | None = None
    loaded: Loaded | None = None
    users: int = 0
    attempts: int = 0
    next_attempt: float = 0.0

    @property
    def is_pending(self) -> bool:
        """Whether it has yet to be loaded."""
        return self.state in (State.START, State.LOADING)
