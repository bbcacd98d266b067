"""Features by layers of `zoo.frontends`: batched, in a process of their own, normalized."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from common.errors import InputError
from tuner.tasks import features as features_of
from tuner.tasks.features import Extraction
from tuner.tasks.task import DatasetInfo
from zoo.frontends import MFCC, PenStrokes

LENGTHS = (7, 1, 30, 12, 2)
PEN = Extraction("PenStrokes", {"keep_every": 3})


def strokes() -> list[np.ndarray]:
    generator = np.random.default_rng(4)
    lines = [generator.normal(size=(length, 4)).astype(np.float32) for length in LENGTHS]
    for line in lines:
        line[:, 2] = np.arange(len(line))
        line[:, 3] = generator.integers(2, size=len(line))
    return lines


def one_by_one() -> list[np.ndarray]:
    layer = PenStrokes(3)
    return [np.asarray(layer(line[None], np.array([len(line)]))[0][0]) for line in strokes()]


@pytest.mark.parametrize("most", [1, 50, 120, 10**9])
def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(features_of, "_NUMBERS_A_BATCH", most)
    for found, expected in zip(PEN.compute(strokes()), one_by_one(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_raw_data_of_one_dimension() -> None:
    audio = [np.arange(length, dtype=np.int16) for length in (900, 400, 1000)]
    options = {"filters": 15}
    found = Extraction("MFCC", options).compute(audio)
    for one, samples in zip(found, audio, strict=True):
        expected, _ = MFCC(**options)(samples[None].astype(np.float32), np.array([len(samples)]))
        np.testing.assert_allclose(one, expected[0], atol=1e-4)


def test_a_process_of_its_own_computes_them(capfd: pytest.CaptureFixture[str]) -> None:
    for found, expected in zip(PEN.run(strokes()), one_by_one(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert capfd.readouterr() == ("", "")


def test_a_process_that_fails_is_told_in_one_line() -> None:
    # It does not unpickle objects, which it finds out before it has imported Keras.
    with pytest.raises(InputError, match=r"^MFCC: .* exit status 1 of their process: .*pickle"):
        Extraction("MFCC", {}).run([np.array([None])])


def test_the_serialized_layer_gives_normalized_features() -> None:
    labels = [np.full(3, index) for index in range(5)]
    targets = {"train": labels[:3], "validation": labels[3:4], "test": labels[4:]}
    dataset = DatasetInfo("strokes", "", "")
    corpus = features_of.corpus_of(dataset, PEN, PEN.compute(strokes()), targets)
    assert [len(split) for split in (corpus.train, corpus.validation, corpus.test)] == [3, 1, 1]
    assert corpus.test.targets[0].tolist() == [4, 4, 4]
    training = np.concatenate(corpus.train.inputs).astype(np.float64)
    np.testing.assert_allclose(training.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(training.std(axis=0), 1, atol=1e-6)
    layer = keras.saving.deserialize_keras_object(dict(corpus.frontend or {}))
    features = [*corpus.train.inputs, *corpus.validation.inputs, *corpus.test.inputs]
    for line, expected in zip(strokes(), features, strict=True):
        found, _ = layer(line[None], np.array([len(line)]))
        np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_a_feature_that_never_changes_has_variance_1() -> None:
    features = [np.array([[1, 2, 3], [3, 2, 4]], np.float32), np.array([[5, 2, 5]], np.float32)]
    mean, variance = features_of.statistics(features)
    assert mean.tolist() == [3, 2, 4]
    np.testing.assert_allclose(variance, [8 / 3, 1, 2 / 3])
