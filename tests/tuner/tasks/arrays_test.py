"""The task of arrays in a file: what goes in comes out, and what does not fit is one line."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from common.errors import InputError
from tests.tuner.tiny import PROTOCOL, TRIAL
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask
from tuner.tasks import arrays
from tuner.tasks.arrays import ArraysTask
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Task, find_task, load_corpus
from tuner.training import native

TASKS = [TinyTask(), TinySpeech(), TinyHandwriting()]


def splits_of(task: Task) -> dict[str, Sequences]:
    corpus = task.load("a")
    return {name: getattr(corpus, name) for name in arrays.SPLITS}


def saved(path: pathlib.Path, task: Task, **optional: Any) -> pathlib.Path:
    arrays.save(path, task.head, splits_of(task), bidirectional=task.bidirectional, **optional)
    return path


@pytest.mark.parametrize("task", TASKS)
def test_a_trial_on_the_file_is_a_trial_on_the_data(tmp_path: pathlib.Path, task: Task) -> None:
    path = saved(tmp_path / "mine.npz", task, outputs=task.outputs)
    found = find_task("arrays")
    corpus = load_corpus(found, str(path))
    assert (found.inputs, found.outputs, found.head) == (task.inputs, task.outputs, task.head)
    assert found.bidirectional == task.bidirectional
    (ours,) = native.train(found, corpus, [TRIAL], PROTOCOL)
    (expected,) = native.train(task, task.load("a"), [TRIAL], PROTOCOL)
    assert ours.result.curve == expected.result.curve
    assert ours.result.test == expected.result.test


def test_optional_keys_have_defaults(tmp_path: pathlib.Path) -> None:
    for task, bidirectional in zip(TASKS, (False, True, True), strict=True):
        arrays.save(tmp_path / "mine.npz", task.head, splits_of(task))
        found = ArraysTask()
        found.load(str(tmp_path / "mine.npz"))
        assert found.bidirectional is bidirectional
        assert (found.name, found.labels, found.outputs) == ("arrays", (), task.outputs)


def test_labels_count_the_outputs(tmp_path: pathlib.Path) -> None:
    labels = [*"abcdé"]
    path = saved(tmp_path / "mine.npz", TinyHandwriting(), labels=labels, name="ink")
    found = ArraysTask()
    found.load(str(path))
    assert (found.name, found.labels, found.outputs) == ("ink", tuple(labels), 6)


def test_the_hash_is_that_of_the_content(tmp_path: pathlib.Path) -> None:
    one = ArraysTask().load(str(saved(tmp_path / "one.npz", TinySpeech()))).dataset
    content = dict(np.load(tmp_path / "one.npz"))
    np.savez(tmp_path / "two.npz", **dict(reversed(content.items())))
    two = ArraysTask().load(str(tmp_path / "two.npz")).dataset
    assert one.sha256 == two.sha256 and (one.name, two.name) == (
        "arrays of one.npz",
        "arrays of two.npz",
    )
    content["test_targets"] = content["test_targets"][::-1]
    np.savez(tmp_path / "two.npz", **content)
    assert ArraysTask().load(str(tmp_path / "two.npz")).dataset.sha256 != one.sha256


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("head", None, "head: expected one of bernoulli, softmax, ctc. Received: ''"),
        ("head", "gaussian", "Received: 'gaussian'"),
        ("head", np.array(["ctc", "ctc"]), "head: expected a string"),
        ("train_inputs", None, "expected an array 'train_inputs'"),
        ("train_inputs", np.zeros(20), "train_inputs: expected numbers in 2 dimensions"),
        ("train_inputs", np.array([["x"]]), "train_inputs: expected numbers"),
        ("test_inputs", np.zeros((13, 4)), "test_inputs: expected [frames, 3] as in train"),
        ("test_lengths", np.array([8, 4]), "add up to 13. Received: 12"),
        ("test_lengths", np.array([14, -1]), "the shortest -1"),
        ("test_lengths", np.array([6.0, 7.0]), "test_lengths: expected integers in 1 dimension"),
        ("validation_targets", np.zeros(4, int), "expected one a frame, 17. Received: 4"),
        ("validation_targets", np.full(17, 2**33), "outputs: expected"),
        ("outputs", 3, "outputs: expected 4 to 65,536. Received: 3"),
        ("labels", np.array(["a", "b"]), "labels: expected 4, one an output. Received: 2"),
    ],
)
def test_what_does_not_fit_is_one_line(
    tmp_path: pathlib.Path, key: str, value: Any, expected: str
) -> None:
    content = dict(np.load(saved(tmp_path / "mine.npz", TinySpeech())))
    content[key] = value
    np.savez(tmp_path / "bad.npz", **{k: v for k, v in content.items() if v is not None})
    with pytest.raises(InputError) as caught:
        ArraysTask().load(str(tmp_path / "bad.npz"))
    assert expected in str(caught.value) and "bad.npz" in str(caught.value)
    assert str(caught.value).isprintable()


def test_labels_of_ctc_need_their_lengths(tmp_path: pathlib.Path) -> None:
    content = dict(np.load(saved(tmp_path / "mine.npz", TinyHandwriting())))
    content["test_target_lengths"] = np.array([5])
    np.savez(tmp_path / "bad.npz", **content)
    with pytest.raises(InputError, match="test_target_lengths: expected 2, one a sequence"):
        ArraysTask().load(str(tmp_path / "bad.npz"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY"])
def test_other_files_are_refused(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "mine.npz").write_bytes(content)
    with pytest.raises(InputError, match="expected a .npz file"):
        ArraysTask().load(str(tmp_path / "mine.npz"))


def test_pickles_are_never_opened(tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / "mine.npz", train_inputs=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="expected a .npz file"):
        ArraysTask().load(str(tmp_path / "mine.npz"))


def test_a_single_array_and_no_file_are_refused(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "mine.npy", np.zeros(3))
    for name in ("mine.npy", "none.npz"):
        with pytest.raises(InputError, match="expected a .npz file"):
            ArraysTask().load(str(tmp_path / name))
    with pytest.raises(InputError, match="Received: 'auto'"):
        ArraysTask().load("auto")
