"""Decoding in the graph against decoding in NumPy."""

import numpy as np
import tensorflow as tf

from serving.graph import decoding
from tuner.tasks import ctc

LABELS = ("a", "é", " ")


def test_text_is_that_of_the_best_path_of_each_sequence() -> None:
    generator = np.random.default_rng(4)
    # Few outputs and many frames: repeats, with and without a blank between them.
    logits = generator.normal(size=(40, 23, len(LABELS) + 1)).astype(np.float32)
    lengths = generator.integers(1, 24, size=40).astype(np.int32)
    texts = [text.decode() for text in decoding.text(logits, lengths, LABELS).numpy()]
    best = [ctc.best_path(row[:length]) for row, length in zip(logits, lengths, strict=True)]
    assert texts == ["".join(LABELS[label] for label in path) for path in best]
    whole = [text.decode() for text in decoding.text(logits, lengths * 0 + 23, LABELS).numpy()]
    assert sum(text != other for text, other in zip(texts, whole, strict=True)) > 30


def test_nothing_is_the_text_of_no_frames() -> None:
    for shape in ((1, 3, 4), (1, 0, 4)):
        texts = decoding.text(np.ones(shape, np.float32), [0], LABELS)
        assert texts.numpy().tolist() == [b""]


def test_a_vectorized_text_keeps_its_first_label() -> None:
    # TensorFlow's `vectorized_map` pads with 0, which is the number of a label.
    logits = tf.one_hot([[0, 3, 0], [1, 1, 2]], len(LABELS) + 1)
    texts = tf.vectorized_map(lambda row: decoding.text(row[None], [3], LABELS)[0], logits)
    assert [text.decode() for text in texts.numpy()] == ["aa", "é "]


def test_classes_name_the_largest_logit_of_each_frame_that_counts() -> None:
    logits = np.random.default_rng(5).normal(size=(3, 6, len(LABELS))).astype(np.float32)
    names = decoding.classes(logits, [6, 2, 0], LABELS).numpy()
    for row, length in enumerate((6, 2, 0)):
        expected = [LABELS[label] for label in logits[row, :length].argmax(axis=-1)]
        assert [name.decode() for name in names[row]] == expected + [""] * (6 - length)
