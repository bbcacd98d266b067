"""The state of a trial: its best epoch, when to stop, and how to resume after an interruption.

The rules are the same for every engine; an engine only trains, measures and reports its results.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import time
from collections.abc import Callable, Sequence
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from common import files
from tuner.training.protocol import Epoch, Metrics, Protocol, Score, Trial, TrialResult

Weights = tuple[np.ndarray, ...]

OnEpochEnd = Callable[[Trial, "TrialState"], None]
"""Callback that runs after every epoch."""

CheckpointPath = Callable[[Trial], Path | None]
"""Returns the path of a running trial's checkpoint; None if it has none."""

CHECKPOINT_SECONDS = 30.0
"""Minimum time between two checkpoints of a trial."""


def no_checkpoint(trial: Trial) -> None:
    """Returns None: the `CheckpointPath` of trials without checkpoints."""


@dataclasses.dataclass
class TrialState:
    """The progress of a trial.

    Attributes:
        best_epoch: epoch with the best validation score so far.
        best_score: the validation score of that epoch.
        best_weights: the weights after that epoch.
        curve: all epochs so far, the untrained network first.
        diverged: whether a loss or score was not finite.
        seconds: time spent so far.
    """

    best_epoch: int
    best_score: Score
    best_weights: Weights
    curve: list[Epoch]
    diverged: bool = False
    seconds: float = 0.0

    @classmethod
    def begin(cls, score: Score, weights: Weights) -> TrialState:
        """Starts with the untrained network, which is best until an epoch improves on it.

        Args:
            score: its validation score.
            weights: its weights.
        """
        return cls(0, score, weights, [Epoch(0, None, score.mean)], diverged=not score.finite)

    @property
    def epoch(self) -> int:
        """The last finished epoch."""
        return self.curve[-1].epoch

    def end_epoch(self, loss: float, score: Score, weights: Weights) -> None:
        """Records a finished epoch.

        Args:
            loss: training loss per frame during the epoch.
            score: validation score after it.
            weights: the weights after it.
        """
        if not (np.isfinite(loss) and score.finite):
            self.diverged = True
            return
        self.curve.append(Epoch(self.epoch + 1, loss, score.mean))
        if score.mean < self.best_score.mean:
            self.best_epoch, self.best_score, self.best_weights = self.epoch, score, weights

    def should_stop(self, protocol: Protocol) -> bool:
        """Returns whether the trial has had all its epochs, stopped improving, or diverged."""
        return (
            self.diverged
            or self.epoch >= protocol.max_epochs
            or self.epoch - self.best_epoch >= protocol.patience
        )

    def result(
        self, trial: Trial, test: Score, test_grouped: float | None, engine: str
    ) -> TrialResult:
        """Makes the result of a finished trial.

        Args:
            trial: the trial.
            test: test score of the best weights.
            test_grouped: their test score over the task's groups of classes; None if the task has
                none, NaN if no frame counts.
            engine: name of the engine that trained it.
        """
        return TrialResult(
            trial=trial,
            result=Metrics(
                best_epoch=self.best_epoch,
                validation=self.best_score,
                test=test,
                curve=tuple(self.curve),
                diverged=self.diverged,
                seconds=self.seconds,
                parameters=sum(weight.size for weight in self.best_weights),
                engine=engine,
                test_grouped=None if test_grouped is None or isnan(test_grouped) else test_grouped,
            ),
            weights=self.best_weights,
        )


class CheckpointTimer:
    """Measures a trial's time from now on and says when a checkpoint is due."""

    def __init__(self, checkpoint_seconds: float) -> None:
        """Starts the timer.

        Args:
            checkpoint_seconds: minimum time between two checkpoints.
        """
        self._checkpoint_seconds = checkpoint_seconds
        self._clock = self._checkpoint = time.monotonic()

    def add_elapsed(self, state: TrialState) -> None:
        """Adds the time since the last call to the trial's seconds."""
        now = time.monotonic()
        state.seconds += now - self._clock
        self._clock = now

    def due(self) -> bool:
        """Returns whether the last checkpoint is old enough for the next one."""
        return time.monotonic() - self._checkpoint > self._checkpoint_seconds

    def reset(self) -> None:
        """Restarts the time until the next checkpoint."""
        self._checkpoint = time.monotonic()


# Version of the checkpoints' contents: those of a release with another version are not read.
_FORMAT = 4

_DIGEST = hashlib.sha256
_DIGEST_BYTES = _DIGEST().digest_size


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A running trial on disk: everything that the rest of its curve depends on.

    The file is a NumPy `.npz` archive followed by the 32 bytes of its SHA-256, since the archive's
    own checksums miss some damage.

    Attributes:
        trial: the trial.
        engine: name of the engine that trains it; no other engine can resume it.
        state: its progress.
        visited: number of sequences of the unfinished epoch that have been trained on.
        engine_state: arrays that belong to the engine (weights, optimizer, running loss).
    """

    trial: Trial
    engine: str
    state: TrialState
    visited: int
    engine_state: Weights

    def save(self, path: Path) -> None:
        """Writes the checkpoint; a crash leaves the previous one intact.

        Raises:
            OSError: if the disk is full or the folder read-only.
        """
        state = self.state
        facts = {
            **self._identity(self.trial, self.engine),
            "visited": self.visited,
            "best_epoch": state.best_epoch,
            "best_score": dataclasses.asdict(state.best_score),
            "curve": [dataclasses.asdict(epoch) for epoch in state.curve],
            "diverged": state.diverged,
            "seconds": state.seconds,
        }
        arrays: dict[str, Any] = {"facts": np.array(json.dumps(facts))}
        arrays |= {f"best_{index}": array for index, array in enumerate(state.best_weights)}
        arrays |= {f"state_{index}": array for index, array in enumerate(self.engine_state)}

        archive = io.BytesIO()
        np.savez(archive, **arrays)
        content = archive.getvalue()
        files.write_bytes(path, content + _DIGEST(content).digest())

    @staticmethod
    def _identity(trial: Trial, engine: str) -> dict[str, Any]:
        return {"format": _FORMAT, "trial": dataclasses.asdict(trial), "engine": engine}

    @classmethod
    def load(cls, path: Path | None, trial: Trial, engine: str) -> Checkpoint | None:
        """Reads the checkpoint of a trial.

        Args:
            path: the file, which need not exist.
            trial: the trial to resume.
            engine: name of the engine that is to resume it.

        Returns:
            The checkpoint, or None if it is missing, damaged, or from another trial, engine or
            release: the trial then starts over, which does not change its results.
        """
        content = None if path is None else _read_whole(path)
        if content is None:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            facts = json.loads(str(arrays["facts"]))
            best = _numbered(arrays, "best_")
            engine_state = _numbered(arrays, "state_")
        expected = cls._identity(trial, engine)
        if {name: facts.get(name) for name in expected} != expected:
            return None
        state = TrialState(
            best_epoch=facts["best_epoch"],
            best_score=Score(**facts["best_score"]),
            best_weights=best,
            curve=[Epoch(**epoch) for epoch in facts["curve"]],
            diverged=facts["diverged"],
            seconds=facts["seconds"],
        )
        return cls(trial, engine, state, facts["visited"], engine_state)


def is_whole(path: Path) -> bool:
    """Returns whether a file is an undamaged checkpoint: whether its hash matches."""
    return _read_whole(path) is not None


def _read_whole(path: Path) -> bytes | None:
    """Reads a checkpoint without its hash; returns None if it is missing or damaged."""
    try:
        file = path.read_bytes()
    except OSError:
        return None
    content, digest = file[:-_DIGEST_BYTES], file[-_DIGEST_BYTES:]
    return content if _DIGEST(content).digest() == digest else None


def _numbered(arrays: Any, prefix: str) -> Weights:
    """Returns the arrays prefix0, prefix1, … in order."""
    names: Sequence[str] = [name for name in arrays.files if name.startswith(prefix)]
    return tuple(arrays[f"{prefix}{index}"] for index in range(len(names)))
