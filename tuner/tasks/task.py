"""The interface of tasks, between data and everything that trains on them."""

from __future__ import annotations

import abc
import dataclasses
import difflib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from common import import_path
from common.errors import InputError, one_line, reason
from common.files import is_name
from tuner.tasks.heads import HEADS
from tuner.tasks.sequences import Sequences


@dataclasses.dataclass(frozen=True)
class Metric:
    """The metric by which a task is judged; it is always minimized.

    Attributes:
        name: for example "NLL".
        unit: for example "nats per frame".
    """

    name: str
    unit: str


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """Identity of the data; printed and stored with every result.

    Attributes:
        name: what the data may be called.
        sha256: hash of the data's canonical form: equal data have equal hashes, whatever file they
            came in.
        detail: a sentence about the origin and the amount of the data.
    """

    name: str
    sha256: str
    detail: str

    def __str__(self) -> str:
        return f"{self.name} [sha256 {self.sha256[:12]}]: {self.detail}"


@dataclasses.dataclass(frozen=True)
class Corpus:
    """The loaded data of a task.

    Attributes:
        dataset: identity of the data.
        train: sequences to train on.
        validation: sequences that select the epoch and the hyperparameters.
        test: sequences that only the final score uses.
        frontend: what computed the inputs from raw data, so that exports can also accept raw data:
            a layer of `zoo.frontends` as serialized by `keras.saving.serialize_keras_object`. None
            if the inputs are the raw data.
    """

    dataset: DatasetInfo
    train: Sequences
    validation: Sequences
    test: Sequences
    frontend: Mapping[str, Any] | None = None


class Task(abc.ABC):
    """A learning problem on sequences.

    A subclass sets the attributes and loads the data; it needs no arguments, so that
    `--task=package.module:TaskClass` can instantiate it. Attributes that depend on the data are set
    by `load` at the latest.

    Attributes:
        name: short name, also used for folders; part of the seeds of a study.
        inputs: number of features per frame.
        outputs: number of outputs per frame; for head `ctc` including the blank, which is the last.
        head: what the outputs mean, a name in `tuner.tasks.heads.HEADS`: `bernoulli` for
            independent probabilities, `softmax` for one class per frame, `ctc` for labels of
            unknown alignment.
        bidirectional: whether the network also reads the sequence backward.
        metric: the metric by which the task is judged.
        labels: names of the outputs, for example characters; for head `ctc` without the blank.
            Empty if they have no names.
        groups: for head `softmax`, the coarser class of each class, -1 if its frames do not count;
            trials then also get the test score of the coarser classes. Empty if there are none.
        choices: values of `data` from which `auto` chooses what is available; empty if it always
            loads the same data.
        quick_learning_rates: range of learning rates of a quick study, in which few epochs suffice
            to learn something. The loss is a sum, so longer sequences need lower rates.
    """

    name: str
    inputs: int
    outputs: int
    head: str
    bidirectional: bool
    metric: Metric
    labels: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()
    choices: tuple[str, ...] = ()
    quick_learning_rates: tuple[float, float] = (2e-3, 1e-2)

    @abc.abstractmethod
    def load(self, data: str) -> Corpus:
        """Loads the data.

        Args:
            data: `auto` for the best available data that need no license, or a path.

        Raises:
            InputError: if the data cannot be used; one line names the file and what is wrong with
                it.
        """


def load_begun(task: Task, begun: DatasetInfo) -> Corpus:
    """Loads the data that a study began with, by `auto`, if available; else what `auto` loads now.

    Args:
        task: the task.
        begun: identity of the data that the study began with.

    Raises:
        InputError: as `load_corpus` does.
    """
    corpus = load_corpus(task, "auto")
    if corpus.dataset.sha256 == begun.sha256:
        return corpus
    for choice in task.choices:
        try:
            other = load_corpus(task, choice)
        except InputError:
            # Not available here; the study will say which data it needs.
            continue
        if other.dataset.sha256 == begun.sha256:
            return other
    return corpus


def load_corpus(task: Task, data: str) -> Corpus:
    """Loads the data of a task and checks that the task's network can be trained on them.

    Args:
        task: the task.
        data: see `Task.load`.

    Raises:
        InputError: if the data cannot be used; one line names the split and the sequence, or the
            attribute of the task.
    """
    corpus = task.load(data)
    _check_attributes(task)
    named = task.outputs - (task.head == "ctc")
    for attribute, expected in (("labels", named), ("groups", task.outputs)):
        received = len(getattr(task, attribute))
        if received not in (0, expected):
            raise InputError(
                f"task {task.name}: expected {expected} {attribute} for {task.outputs} outputs of "
                f"head {task.head}, or none. Received: {received}"
            )
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


def _is_text(value: Any) -> bool:
    """Returns whether a label can be encoded in UTF-8, as exported models require."""
    return isinstance(value, str) and value == value.encode("utf-8", "replace").decode()


_ATTRIBUTES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda name: isinstance(name, str) and is_name(name), "one that a folder can have"),
    # `type`, not `isinstance`: NumPy's numbers cannot be written to the JSON of models.
    "inputs": (lambda count: type(count) is int and count > 0, "an int of at least 1"),
    "outputs": (lambda count: type(count) is int and count > 0, "an int of at least 1"),
    "head": (lambda head: isinstance(head, str) and head in HEADS, f"one of {', '.join(HEADS)}"),
    "bidirectional": (lambda value: type(value) is bool, "True or False"),
    "metric": (lambda metric: isinstance(metric, Metric), "a Metric"),
    "labels": (lambda labels: all(map(_is_text, labels)), "strings"),
    "groups": (lambda groups: all(type(group) is int for group in groups), "ints"),
}
"""A check of each attribute of a task, and the expected value in words."""


def _check_attributes(task: Task) -> None:
    for attribute, (fits, expected) in _ATTRIBUTES.items():
        value = getattr(task, attribute, None)
        try:
            right = fits(value)
        except TypeError:
            right = False
        if not right:
            where = f"task {type(task).__name__}, {attribute}"
            raise InputError(one_line(f"{where}: expected {expected}. Received: {value!r:.60}"))


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
_TASKS = {
    "music": "tuner.tasks.music.task:MusicTask",
    "speech": "tuner.tasks.speech.task:SpeechTask",
    "handwriting": "tuner.tasks.handwriting.task:HandwritingTask",
    "arrays": "tuner.tasks.arrays:ArraysTask",
}


def import_path_of(task: Task) -> str:
    """Returns what `find_task` finds a user's own task by, `package.module:TaskClass`.

    Returns:
        An empty text for a task of the project, and for a class that no other process can import.
    """
    path = import_path.of(type(task))
    can_import = not path.startswith("__main__:") and "<locals>" not in path
    return path if can_import and path not in _TASKS.values() else ""


def find_task(name: str) -> Task:
    """Instantiates the task that a user named.

    Args:
        name: a task of the project (`music`), or `package.module:TaskClass` for a custom one.

    Raises:
        InputError: if there is no such task.

    Example:
        >>> find_task("music").outputs
        88
    """
    path = _TASKS.get(name, name)
    if ":" not in path:
        near = difflib.get_close_matches(name, _TASKS, n=1, cutoff=0.0)
        raise InputError(
            f"--task: expected one of {', '.join(_TASKS)} or package.module:TaskClass. "
            f"Received: {one_line(name)!r} (did you mean {near[0]!r}?)"
        )
    try:
        found: Any = import_path.find(path)
        if not (isinstance(found, type) and issubclass(found, Task)):
            raise ValueError("it is not a subclass of tuner.tasks.task.Task")
        return _make(found)
    except ValueError as error:
        raise InputError(
            f"--task: expected package.module:TaskClass. Received: {path!r}: {error}"
        ) from error


def _make(task_class: type[Task]) -> Task:
    try:
        return task_class()
    except Exception as error:
        # The class is the user's.
        raise ValueError(f"making it failed: {type(error).__name__}: {reason(error)}") from error
