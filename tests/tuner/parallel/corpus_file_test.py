import dataclasses
import pathlib

import numpy as np

from tests.tuner.tiny_task import TinyTask
from tuner.parallel import corpus_file
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus


def arrays(corpus: Corpus) -> list[np.ndarray]:
    splits = (corpus.train, corpus.validation, corpus.test)
    return [array for split in splits for array in (*split.inputs, *split.targets)]


def labels_corpus() -> Corpus:
    """Inputs that lie apart in memory, and labels of another type, some of them empty."""
    features = np.arange(60, dtype=np.float32).reshape(10, 6)
    split = Sequences(
        inputs=(features[:, ::2], features[3:7, :3], np.asfortranarray(features[:, :3])),
        targets=(np.array([3, 1], np.int32), np.array([], np.int32), np.array([7], np.int32)),
    )
    return dataclasses.replace(TinyTask().load("a"), train=split)


def test_a_corpus_comes_back_as_it_was(tmp_path: pathlib.Path) -> None:
    for corpus in (TinyTask().load("a"), labels_corpus()):
        with (tmp_path / "corpus").open("wb+") as file:
            corpus_file.save(corpus, file)
            loaded = corpus_file.load(file.fileno())
        assert loaded.dataset == corpus.dataset
        for expected, actual in zip(arrays(corpus), arrays(loaded), strict=True):
            assert actual.dtype == expected.dtype and actual.shape == expected.shape
            np.testing.assert_array_equal(actual, expected)


def test_arrays_are_mapped_aligned_and_private(tmp_path: pathlib.Path) -> None:
    with (tmp_path / "corpus").open("wb+") as file:
        corpus_file.save(TinyTask().load("a"), file)
        first, second = (corpus_file.load(file.fileno()) for _ in range(2))
    for array in arrays(first):
        assert array.ctypes.data % 64 == 0 and not array.flags.owndata
    before = second.train.inputs[0].copy()
    first.train.inputs[0][:] = 5
    np.testing.assert_array_equal(second.train.inputs[0], before)
