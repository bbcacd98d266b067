from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.tuner.tasks.handwriting.made_up import some_lines
from tuner.tasks.features import Extraction
from tuner.tasks.handwriting.lines import write_npz
from tuner.tasks.handwriting.task import HandwritingTask
from tuner.tasks.task import Corpus, find_task, load_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    path: Path = tmp_path_factory.mktemp("own") / "own.npz"
    write_npz(path, some_lines())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Extraction, "run", Extraction.compute)
        return load_corpus(find_task("handwriting"), str(path))


def test_the_task_is_the_papers() -> None:
    task = find_task("handwriting")
    assert isinstance(task, HandwritingTask)
    assert (task.inputs, task.outputs, task.head, task.bidirectional) == (4, 82, "ctc", True)
    assert task.metric.name == "CER"
    assert len(task.labels) == 81 and task.labels[0] == " "


def test_inputs_are_halved_and_normalized_over_the_training_set(corpus: Corpus) -> None:
    lines = some_lines()
    assert corpus.train.lengths.tolist() == [-(-len(line.points) // 2) for line in lines.train]
    frames = np.concatenate(corpus.train.inputs).astype(np.float64)
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-5)
    # The features of a test line by hand, then normalized with the training set's.
    points = lines.test[0].points[::2]
    moved = np.diff(points[:, 0], prepend=points[0, 0])
    statistics = corpus.frontend["config"]  # type: ignore[index]
    expected = (moved - statistics["mean"][0]) / np.sqrt(statistics["variance"][0])
    np.testing.assert_allclose(corpus.test.inputs[0][:, 0], expected, rtol=1e-4, atol=1e-5)


def test_targets_are_the_texts(corpus: Corpus) -> None:
    labels = find_task("handwriting").labels
    read = [
        "".join(labels[label] for label in targets)
        for split in (corpus.train, corpus.validation, corpus.test)
        for targets in split.targets
    ]
    assert read == ["one two", "#3", "four.", "five", "six", "seven"]


def test_the_front_end_gives_the_inputs(corpus: Corpus) -> None:
    layer = keras.saving.deserialize_keras_object(dict(corpus.frontend or {}))
    assert layer.get_config()["keep_every"] == 2
    for line, inputs in zip(some_lines().train, corpus.train.inputs, strict=True):
        computed, frames = layer(line.points[None], np.array([len(line.points)]))
        np.testing.assert_allclose(computed[0], inputs, rtol=0, atol=1e-6)
        assert int(frames[0]) == len(inputs)
