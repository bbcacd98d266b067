"""The engines by name. None is imported before it is to train."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

from common import command_line
from common.errors import InputError
from tuner.parallel.messages import Assignment, EpochEnd, Event, Started
from tuner.tasks.task import Corpus, Task
from tuner.training.protocol import Protocol, Trial, TrialResult
from tuner.training.trial_state import TrialState

_MODULES = {"native": "tuner.training.native", "keras": "tuner.training.keras_engine"}

KERAS_BACKENDS = {"native": "numpy", "keras": "tensorflow"}
"""Keras' backend in a process that only trains with an engine: `numpy` keeps TensorFlow out."""


class Train(Interface):
    """What an engine is: a function that trains trials one after the other."""

    def __call__(
        self,
        task: Task,
        corpus: Corpus,
        trials: Iterable[Trial],
        protocol: Protocol,
        *,
        checkpoint_path: Callable[[Trial], Path] | None = None,
        checkpoint_seconds: float = 30.0,
        observe: Callable[[Trial, TrialState], None] = ...,
    ) -> Iterator[TrialResult]:
        """Trains trials; see `tuner.training.keras_engine.train`."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """An engine, chosen.

    Attributes:
        engine: its name.
        reason: why, where a person might have expected another one; empty otherwise.
    """

    engine: str
    reason: str = ""


def choose(name: str, *, keras_for: str = "") -> Choice:
    """Chooses the engine of a study.

    Args:
        name: `native`, `keras`, or `auto` for the fastest that can be had: `native` on CPUs,
            `keras` on anything else.
        keras_for: what only the `keras` engine can do and is asked for, such as
            "--strategy=mirrored"; empty if nothing is.

    Raises:
        InputError: if the named engine cannot be used.

    Example:
        >>> choose("auto", keras_for="--strategy=mirrored")
        Choice(engine='keras', reason='--strategy=mirrored needs it')
    """
    if name == "keras":
        return Choice("keras")
    obstacle = _native_obstacle()
    if name == "native":
        if keras_for:
            raise InputError(f"--engine=native: {keras_for} needs --engine=keras")
        if obstacle:
            raise InputError(f"--engine=native: {obstacle}; use --engine=keras")
        return Choice("native")
    if keras_for:
        return Choice("keras", f"{keras_for} needs it")
    device = accelerator()
    if device:
        return Choice("keras", f"there is a {device}; --engine=native would train on the CPU")
    if obstacle:
        return Choice("keras", f"the native engine, many times faster, {obstacle}")
    return Choice("native")


def _native_obstacle() -> str:
    """Says why the native engine cannot be had; empty if it can."""
    try:
        importlib.import_module("numba")
    except ImportError as error:
        return f"needs Numba, which cannot be imported ({error})"
    return ""


def accelerator() -> str:
    """Names the kind of device that TensorFlow would prefer to the CPU; empty if none."""
    import tensorflow as tf

    kinds: Iterable[str] = (device.device_type for device in tf.config.list_physical_devices())
    return next((kind for kind in kinds if kind != "CPU"), "")


def load(name: str) -> Train:
    """Imports an engine.

    Args:
        name: `native` or `keras`.

    Raises:
        ImportError: if it cannot be had here.
    """
    if name == "keras":
        command_line.start_tensorflow()
    module: Any = importlib.import_module(_MODULES[name])
    train: Train = module.train
    return train


def carry_out(
    train: Train,
    task: Task,
    corpus: Corpus,
    protocol: Protocol,
    assignments: Iterator[Assignment],
    tell: Callable[[Event], None],
) -> None:
    """Trains trials one after the other.

    Args:
        train: the engine.
        task: what is learned.
        corpus: its data.
        protocol: training rules.
        assignments: the trials; the next one is taken when the one before has been told of.
        tell: is told of starts, epochs and outcomes.
    """
    checkpoints: dict[Trial, Path] = {}

    def trials() -> Iterator[Trial]:
        for assignment in assignments:
            checkpoints[assignment.trial] = assignment.checkpoint
            tell(Started(assignment.trial))
            yield assignment.trial

    # One call for all of them: an engine may prepare the corpus once.
    for outcome in train(
        task,
        corpus,
        trials(),
        protocol,
        checkpoint_path=checkpoints.__getitem__,
        observe=lambda trial, course: tell(EpochEnd.to(trial, course)),
    ):
        tell(outcome)
