"""Data are checked where they enter."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from common.errors import InputError
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, Task, load_corpus


def damaged(task: Task, split: str, index: int, **arrays: np.ndarray) -> Task:
    """The task with the inputs or targets of one sequence replaced."""

    class Damaged(type(task)):
        def load(self, data: str) -> Corpus:
            corpus = super().load(data)
            sequences: Sequences = getattr(corpus, split)
            changes = {}
            for name, array in arrays.items():
                parts = list(getattr(sequences, name))
                parts[index] = array
                changes[name] = tuple(parts)
            return dataclasses.replace(corpus, **{split: dataclasses.replace(sequences, **changes)})

    return Damaged()


@pytest.mark.parametrize("task", [TinyTask(), TinySpeech(), TinyHandwriting()])
def test_good_data_pass_unchanged(task: Task) -> None:
    corpus = load_corpus(task, "a")
    assert len(corpus.train) and corpus.dataset == task.load("a").dataset


@pytest.mark.parametrize(
    ("task", "split", "arrays", "expected"),
    [
        (TinyTask(), "train", {"inputs": np.zeros((6, 5))}, "float32 and shape [frames, 5]"),
        (TinyTask(), "test", {"inputs": np.zeros((6, 4), np.float32)}, "Received: float32 [6, 4]"),
        (TinyTask(), "test", {"inputs": np.zeros((0, 5), np.float32)}, "at least one frame"),
        (TinyTask(), "train", {"inputs": np.full((6, 5), np.nan, np.float32)}, "finite inputs"),
        (TinyTask(), "train", {"inputs": np.zeros((7, 5), np.float32)}, "shape [7, 5]"),
        (TinySpeech(), "validation", {"targets": np.full(7, 4, np.int32)}, "from 0 to 3"),
        (
            TinyHandwriting(),
            "train",
            {"inputs": np.zeros((4, 5), np.float32), "targets": np.zeros(3, np.int32)},
            "at least 5 frames for its 3 labels. Received: 4 frames",
        ),
    ],
)
def test_bad_data_are_refused_in_one_line(
    task: Task, split: str, arrays: dict[str, np.ndarray], expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_corpus(damaged(task, split, 1, **arrays), "a")
    message = str(caught.value)
    assert message.startswith(f"task {task.name}, sequence 1 of {split}: expected ")
    assert expected in message and "\n" not in message


def test_an_empty_split_is_refused() -> None:
    class Empty(TinyTask):
        def load(self, data: str) -> Corpus:
            return dataclasses.replace(super().load(data), test=Sequences((), ()))

    with pytest.raises(InputError, match="expected sequences in test"):
        load_corpus(Empty(), "a")


@pytest.mark.parametrize(
    ("task", "attribute", "value", "expected"),
    [
        (TinyHandwriting, "labels", (*"abcd",), "expected 3 labels for 4 outputs of head ctc"),
        (TinySpeech, "labels", (*"abc",), "expected 4 labels for 4 outputs of head softmax"),
        (TinySpeech, "groups", (0, 0, 1), "expected 4 groups for 4 outputs"),
    ],
)
def test_names_of_outputs_are_counted(
    task: type[Task], attribute: str, value: object, expected: str
) -> None:
    wrong = type(task.__name__, (task,), {attribute: value})()
    with pytest.raises(InputError, match=expected):
        load_corpus(wrong, "a")


@pytest.mark.parametrize(
    ("attribute", "value", "expected"),
    [
        *(
            ("name", name, "one that a folder can have")
            for name in ("", "..", "a/b", "/a", "\n", 3)
        ),
        ("inputs", 0, "an int of at least 1"),
        ("inputs", np.int64(5), "an int of at least 1"),
        ("outputs", 5.0, "an int of at least 1"),
        ("outputs", True, "an int of at least 1"),
        ("head", "gaussian", "one of bernoulli, softmax, ctc"),
        ("head", ["ctc"], "one of bernoulli, softmax, ctc"),
        ("bidirectional", "false", "True or False"),
        ("bidirectional", np.True_, "True or False"),
        ("metric", ("NLL", "nats"), "a Metric"),
        ("labels", 5, "strings"),
        ("labels", range(5), "strings"),
        ("labels", ("a", "b", "c", "d", "\udcff"), "strings"),
        ("groups", (0, 0, 1, 1, None), "ints"),
    ],
)
def test_wrong_attributes_are_one_line(attribute: str, value: object, expected: str) -> None:
    """Before a trial trains to its end, and its model cannot be written."""
    wrong = type("Mine", (TinyTask,), {attribute: value})()
    with pytest.raises(InputError) as caught:
        load_corpus(wrong, "a")
    assert str(caught.value).startswith(f"task Mine, {attribute}: expected {expected}. Received: ")
    assert str(caught.value).isprintable()


def test_a_missing_attribute_is_one_line() -> None:
    class Mine(Task):
        name = "mine"

        def load(self, data: str) -> Corpus:
            return TinyTask().load(data)

    with pytest.raises(InputError, match="task Mine, inputs: expected an int of at least 1"):
        load_corpus(Mine(), "a")
