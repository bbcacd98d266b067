"""What a task is: the contract between data and everything that trains on it."""

from __future__ import annotations

import abc
import dataclasses
import difflib
import importlib
from typing import ClassVar

import numpy as np

from serving.command_line import InputError
from tuner.tasks.heads import HEADS
from tuner.tasks.sequences import Sequences


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a task is judged by; it is always minimised.

    Attributes:
        name: for example "NLL".
        unit: for example "nats per frame".
    """

    name: str
    unit: str


@dataclasses.dataclass(frozen=True)
class Edition:
    """Exactly which data this is; printed and stored with every result.

    Attributes:
        name: what the data may be called.
        sha256: hash of the data's canonical form: equal data have equal hashes, whatever file they
            came in.
        detail: a sentence: where it came from, how much it is.
    """

    name: str
    sha256: str
    detail: str

    def __str__(self) -> str:
        return f"{self.name} [sha256 {self.sha256[:12]}]: {self.detail}"


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A task's data, loaded.

    Attributes:
        edition: which data this is.
        train: sequences to learn from.
        validation: sequences that choose the epoch and the hyperparameters.
        test: sequences that only the final score sees.
    """

    edition: Edition
    train: Sequences
    validation: Sequences
    test: Sequences


class Task(abc.ABC):
    """A learning problem on sequences.

    A subclass sets the class attributes and loads data; it needs no arguments, so that
    `--task=package.module:TaskClass` can make one.

    Attributes:
        name: short name; part of the seeds of a study.
        inputs: features a frame.
        outputs: outputs a frame; head `ctc` counts the blank, which is the last.
        head: what the outputs mean, a name of `tuner.tasks.heads.HEADS`: `bernoulli` independent
            probabilities, `softmax` one class a frame, `ctc` labels of unknown alignment.
        bidirectional: whether the network also reads the sequence backwards.
        metric: what is measured.
    """

    name: ClassVar[str]
    inputs: ClassVar[int]
    outputs: ClassVar[int]
    head: ClassVar[str]
    bidirectional: ClassVar[bool]
    metric: ClassVar[Metric]

    @abc.abstractmethod
    def load(self, data: str) -> Corpus:
        """Loads the data.

        Args:
            data: `auto` for the best data at hand that needs no licence, or a path.

        Raises:
            InputError: if the data cannot be used; one line names the file and what is wrong with
                it.
        """


def load_corpus(task: Task, data: str) -> Corpus:
    """Loads the data of a task and checks that the task's network can be trained on them.

    Args:
        task: whose data.
        data: as for `Task.load`.

    Raises:
        InputError: if the data cannot be used; one line names the split and the sequence.
    """
    corpus = task.load(data)
    for name in ("train", "validation", "test"):
        split: Sequences = getattr(corpus, name)
        if not len(split):
            raise InputError(f"task {task.name}: expected sequences in {name}. Received: none")
        for index, (inputs, targets) in enumerate(zip(split.inputs, split.targets, strict=True)):
            try:
                _check_inputs(inputs, task.inputs)
                HEADS[task.head].check(targets, len(inputs), task.outputs)
            except ValueError as error:
                raise InputError(
                    f"task {task.name}, sequence {index} of {name}: {error}"
                ) from error
    return corpus


def _check_inputs(inputs: np.ndarray, features: int) -> None:
    if inputs.dtype != np.float32 or inputs.ndim != 2 or inputs.shape[1] != features:
        raise ValueError(
            f"expected inputs of dtype float32 and shape [frames, {features}]. "
            f"Received: {inputs.dtype} {list(inputs.shape)}"
        )
    if not len(inputs):
        raise ValueError("expected at least one frame")
    if not np.all(np.isfinite(inputs)):
        raise ValueError("expected finite inputs")


# Values are "module:class" so that naming a task does not import the others.
_TASKS = {"music": "tuner.tasks.music.task:MusicTask"}


def find_task(name: str) -> Task:
    """Makes the task that a user named.

    Args:
        name: a task of the project (`music`), or `package.module:TaskClass` for one's own.

    Raises:
        InputError: if there is no such task.

    Example:
        >>> find_task("music").outputs
        88
    """
    path = _TASKS.get(name, name)
    module_name, separator, class_name = path.partition(":")
    if not separator:
        near = difflib.get_close_matches(name, _TASKS, n=1, cutoff=0.0)
        raise InputError(
            f"--task: expected one of {', '.join(_TASKS)} or package.module:TaskClass. "
            f"Received: {name!r} (did you mean {near[0]!r}?)"
        )
    try:
        task_class = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"--task: cannot import {path!r}: {error}") from error
    if not (isinstance(task_class, type) and issubclass(task_class, Task)):
        raise InputError(
            f"--task: expected a subclass of tuner.tasks.task.Task. Received: {path!r}"
        )
    return task_class()
