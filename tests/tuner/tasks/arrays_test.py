"""The task of arrays in a file: what goes in comes out, and what does not fit is one line."""

from __future__ import annotations

import io
import pathlib
import zipfile
from typing import Any

import numpy as np
import pytest

from common import machine
from common.errors import InputError
from tests.tuner.tiny import PROTOCOL, TRIAL
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask
from tuner.tasks import arrays
from tuner.tasks.arrays import ArraysTask
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Task, find_task, load_corpus
from tuner.training.native.engine import Trainer
from tuner.training.protocol import Problem

TASKS = [TinyTask(), TinySpeech(), TinyHandwriting()]


def splits_of(task: Task) -> dict[str, Sequences]:
    corpus = task.load("a")
    return {name: getattr(corpus, name) for name in arrays.SPLITS}


def saved(path: pathlib.Path, task: Task, **optional: Any) -> pathlib.Path:
    arrays.save(path, task.head, splits_of(task), bidirectional=task.bidirectional, **optional)
    return path


PLACES = ("/elsewhere", "..", ".", "", "a/b", "../a", "a\nb", "\x7f", "x" * 201, "é" * 101)
"""Names that would lead elsewhere, or that no folder can have."""


@pytest.mark.parametrize("task", TASKS)
def test_a_trial_on_the_file_is_a_trial_on_the_data(tmp_path: pathlib.Path, task: Task) -> None:
    path = saved(tmp_path / "mine.npz", task, outputs=task.outputs)
    found = find_task("arrays")
    corpus = load_corpus(found, str(path))
    assert (found.inputs, found.outputs, found.head) == (task.inputs, task.outputs, task.head)
    assert found.bidirectional == task.bidirectional
    (ours,) = Trainer(Problem(found, corpus, PROTOCOL)).train([TRIAL])
    (expected,) = Trainer(Problem(task, task.load("a"), PROTOCOL)).train([TRIAL])
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
        ("train_inputs", np.array([["x"]]), "train_inputs: expected numbers [frames, inputs]"),
        ("test_inputs", np.zeros((13, 4)), "test_inputs: expected [frames, 3] as in train"),
        ("test_lengths", np.array([8, 4]), "add up to the 13 rows of test_inputs. Received: 12"),
        ("validation_targets", np.zeros(4, int), "expected one a frame, 17. Received: 4"),
        ("validation_targets", np.full(17, 2**33), "validation_targets: expected 0 to 65,535"),
        ("validation_targets", np.full(17, 1 - 2**32), "validation_targets: expected 0 to 65,535"),
        ("head", "x" * 10_000, "head: expected one of bernoulli, softmax, ctc. Received: 'xxx"),
        ("head", b"softmax", "head: expected a string. Received: bytes"),
        ("head", 3, "head: expected a string. Received: int64 []"),
        (
            "test_targets",
            np.zeros(13),
            "test_targets: expected integers [targets]. Received: float",
        ),
        ("test_targets", np.full(13, 0.7), "expected integers [targets]. Received: float64 [13]"),
        ("test_targets", np.zeros(13, bool), "expected integers [targets]. Received: bool [13]"),
        (
            "test_targets",
            np.zeros(13, complex),
            "expected integers [targets]. Received: complex128",
        ),
        ("test_targets", np.full(13, "a"), "expected integers [targets]. Received: str"),
        (
            "test_targets",
            np.zeros(13, "M8[s]"),
            "expected integers [targets]. Received: datetime64",
        ),
        (
            "test_targets",
            np.zeros(13, "m8[s]"),
            "expected integers [targets]. Received: timedelta64",
        ),
        ("test_targets", np.zeros(13, "i4,f4"), "expected integers [targets]. Received: void64"),
        (
            "test_targets",
            np.full(13, None),
            "test_targets: expected an array of numbers or strings",
        ),
        (
            "test_targets",
            np.zeros((13, 1), int),
            "expected integers [targets]. Received: int64 [13,",
        ),
        ("test_targets", np.full(13, -1), "test_targets: expected 0 to 65,535. Received: -1 to -1"),
        ("test_targets", np.full(13, 2**64 - 1, np.uint64), "test_targets: expected 0 to 65,535"),
        ("outputs", 3, "outputs: expected 4 to 65,536. Received: 3"),
        ("outputs", 4.7, "outputs: expected an integer. Received: float64 []"),
        ("outputs", [4, 4], "outputs: expected an integer. Received: int64 [2]"),
        ("outputs", "five", "outputs: expected an integer. Received: str []"),
        ("outputs", np.nan, "outputs: expected an integer. Received: float64 []"),
        ("outputs", -1, "outputs: expected 4 to 65,536. Received: -1"),
        ("outputs", 2**40, "outputs: expected 4 to 65,536. Received: 1,099,511,627,776"),
        ("outputs", True, "outputs: expected an integer. Received: bool []"),
        ("bidirectional", [True, False], "bidirectional: expected true or false"),
        ("bidirectional", "false", "bidirectional: expected true or false. Received: str"),
        ("bidirectional", np.nan, "bidirectional: expected true or false. Received: float64 []"),
        ("bidirectional", 2, "bidirectional: expected true or false. Received: 2"),
        ("bidirectional", -1, "bidirectional: expected true or false. Received: -1"),
        ("name", 5, "name: expected a string. Received: int64 []"),
        ("name", ["a"], "name: expected a string. Received: str"),
        ("name", b"a", "name: expected a string. Received: bytes"),
        *(("name", name, "name: expected one that a folder can have.") for name in PLACES),
        ("labels", np.array([b"a"] * 4), "labels: expected strings [labels]. Received: bytes"),
        ("labels", np.arange(4.0), "labels: expected strings [labels]. Received: float64 [4]"),
        ("labels", np.full(70_000, "a"), "labels: expected at most 65,536. Received: 70,000"),
        ("labels", np.array("a"), "labels: expected strings [labels]"),
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


def test_other_files_are_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "mine.npy", np.zeros(3))
    with pytest.raises(InputError, match="mine.npy: expected an .npz file"):
        ArraysTask().load(str(tmp_path / "mine.npy"))
    with pytest.raises(InputError, match="none.npz: expected a readable file. Received: No such"):
        ArraysTask().load(str(tmp_path / "none.npz"))
    with pytest.raises(InputError, match="Received: 'auto'"):
        ArraysTask().load("auto")
    path = saved(tmp_path / "mine.npz", TinySpeech())
    monkeypatch.setattr(arrays, "LARGEST", 2000)
    with pytest.raises(InputError, match="expected at most 2,000 bytes"):
        ArraysTask().load(str(path))


@pytest.mark.parametrize("value", [1 + 1e-12, 1e-50, 0.5, 2, -1, np.nan, np.inf])
def test_targets_are_checked_before_they_are_cast(tmp_path: pathlib.Path, value: float) -> None:
    content = dict(np.load(saved(tmp_path / "mine.npz", TinyTask())))
    targets = content["validation_targets"].astype(np.float64)
    targets[7, 3] = value
    np.savez(tmp_path / "bad.npz", **content | {"validation_targets": targets})
    expected = "validation_targets: expected 0 or 1. Received: .* as output 3 of frame 7$"
    with pytest.raises(InputError, match=expected):
        ArraysTask().load(str(tmp_path / "bad.npz"))


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f2", "f8", ">f4"])
def test_zeros_and_ones_of_every_type_are_the_same(tmp_path: pathlib.Path, dtype: str) -> None:
    content = dict(np.load(saved(tmp_path / "mine.npz", TinyTask())))
    changed = {name: array.astype(dtype) for name, array in content.items() if "targets" in name}
    np.savez(tmp_path / "other.npz", **content | changed)
    corpus = load_corpus(ArraysTask(), str(tmp_path / "other.npz"))
    np.testing.assert_array_equal(np.concatenate(corpus.test.targets), content["test_targets"])


def test_no_inputs_and_no_outputs_are_refused(tmp_path: pathlib.Path) -> None:
    content = dict(np.load(saved(tmp_path / "mine.npz", TinyTask())))
    for kind in ("inputs", "targets"):
        none = {f"{split}_{kind}": content[f"{split}_{kind}"][:, :0] for split in arrays.SPLITS}
        np.savez(tmp_path / "bad.npz", **content | none)
        with pytest.raises(InputError, match=f"{kind.replace('targets', 'outputs')}: expected"):
            load_corpus(ArraysTask(), str(tmp_path / "bad.npz"))


def test_the_unpacked_size_is_bounded_by_the_machine_before_anything_is_unpacked(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "mine.npz", TinySpeech())
    bomb = io.BytesIO()
    np.save(bomb, np.zeros(2**19))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("more.npy", bomb.getvalue())
    load_corpus(ArraysTask(), str(path))
    monkeypatch.setattr(machine, "memory", lambda: 2**22)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with pytest.raises(InputError, match="at most 2,097,152 bytes when unpacked. Received: 4,"):
        ArraysTask().load(str(path))
