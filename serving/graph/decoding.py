"""Decodes logits, with operations that every TensorFlow has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

Tensor = Any


def text(logits: Tensor, lengths: Tensor, labels: Sequence[str]) -> Tensor:
    """Transcribes sequences by the most probable path of connectionist temporal classification.

    In each frame the largest logit is chosen; repeats are merged, blanks are dropped, and the
    labels of the rest are joined. (Graves et al. 2006, section 3.2, best path decoding.)

    Args:
        logits: float tensor `(batch, time, labels and blank)`; the blank comes last.
        lengths: integer tensor `(batch,)`; frames from a sequence's length on are ignored.
        labels: characters, or whatever the outputs stand for.

    Returns:
        String tensor `(batch,)`, UTF-8.

    Example:
        >>> logits = tf.one_hot([[2, 0, 0, 2, 0, 1, 0, 0]], 3)  # blank a a blank a b, then padding
        >>> text(logits, [6], ["a", "b"]).numpy()
        array([b'aab'], dtype=object)
    """
    path = tf.argmax(logits, axis=-1, output_type=tf.int32)
    # No output has the index -1, so the first frame repeats nothing.
    # (`tf.vectorized_map` would pad with 0, whatever the constant.)
    before = tf.concat([-tf.ones_like(path[:, :1]), path[:, :-1]], axis=-1)
    # The blank's name is empty.
    names = tf.where(path == before, "", tf.gather(tf.constant([*labels, ""]), path))
    return tf.strings.reduce_join(_cut(names, lengths), axis=-1)


def classes(logits: Tensor, lengths: Tensor, labels: Sequence[str]) -> Tensor:
    """Returns the class of every frame: the label of the largest logit.

    Args:
        logits: float tensor `(batch, time, classes)`.
        lengths: integer tensor `(batch,)`.
        labels: name of each class.

    Returns:
        String tensor `(batch, time)`, UTF-8; empty from a sequence's length on.

    Example:
        >>> classes(tf.one_hot([[1, 0, 1]], 2), [2], ["h#", "iy"]).numpy().tolist()
        [[b'iy', b'h#', b'']]
    """
    path = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return _cut(tf.gather(tf.constant(list(labels)), path), lengths)


def _cut(names: Tensor, lengths: Tensor) -> Tensor:
    """Empties the names `(batch, time)` that are beyond the end of a sequence."""
    return tf.where(tf.sequence_mask(lengths, tf.shape(names)[1]), names, "")


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How the outputs of a head are decoded.

    Attributes:
        name: name of the decoded output.
        unlabeled: number of outputs without a label: the blank.
        decode: decodes logits, given lengths and labels.
    """

    name: str
    unlabeled: int
    decode: Callable[[Tensor, Tensor, Sequence[str]], Tensor]


DECODINGS: Mapping[str, Decoding] = {
    "ctc": Decoding("text", 1, text),
    "softmax": Decoding("classes", 0, classes),
}
"""Decodings by the name of their head."""
