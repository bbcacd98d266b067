"""From logits to what they stand for, in operations that every TensorFlow has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

Tensor = Any


def text(logits: Tensor, lengths: Tensor, labels: Sequence[str]) -> Tensor:
    """Transcribes sequences by the most probable path of connectionist temporal classification.

    Of each frame the largest logit is taken, repeats are merged, blanks dropped, and the labels of
    what remains are joined. (Graves et al. 2006, section 3.2, best path decoding.)

    Args:
        logits: float tensor `(batch, time, labels and blank)`; the blank comes last.
        lengths: integer tensor `(batch,)`; frames from a sequence's length on do not count.
        labels: characters, or whatever each output stands for.

    Returns:
        String tensor `(batch,)`, UTF-8.

    Example:
        >>> logits = tf.one_hot([[2, 0, 0, 2, 0, 1, 0, 0]], 3)  # blank a a blank a b, then padding
        >>> text(logits, [6], ["a", "b"]).numpy()
        array([b'aab'], dtype=object)
    """
    path = tf.argmax(logits, axis=-1, output_type=tf.int32)
    # No output has the number -1: the first frame repeats nothing.
    # (`tf.vectorized_map` would pad with 0 whatever the constant is.)
    before = tf.concat([-tf.ones_like(path[:, :1]), path[:, :-1]], axis=-1)
    # The blank's name is empty.
    names = tf.where(path == before, "", tf.gather(tf.constant([*labels, ""]), path))
    return tf.strings.reduce_join(_cut(names, lengths), axis=-1)


def classes(logits: Tensor, lengths: Tensor, labels: Sequence[str]) -> Tensor:
    """Names the class of every frame: the label of the largest logit.

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
    """Empties the names `(batch, time)` that are no part of a sequence."""
    return tf.where(tf.sequence_mask(lengths, tf.shape(names)[1]), names, "")


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How the outputs of a head are decoded.

    Attributes:
        name: of what comes out.
        unlabeled: outputs that have no label: the blank.
        decode: takes logits, lengths and labels.
    """

    name: str
    unlabeled: int
    decode: Callable[[Tensor, Tensor, Sequence[str]], Tensor]


DECODINGS: Mapping[str, Decoding] = {
    "ctc": Decoding("text", 1, text),
    "softmax": Decoding("classes", 0, classes),
}
"""The heads whose outputs are decoded, by name."""
