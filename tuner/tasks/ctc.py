"""Connectionist temporal classification: the loss of a transcription and its decoding.

Graves, Fernández, Gomez, Schmidhuber: Connectionist Temporal Classification (ICML 2006),
https://www.cs.toronto.edu/~graves/icml_2006.pdf. The blank is always the last output.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Replaces log 0: its differences are 0 instead of NaN.
_NEVER = -1e30


def loss(targets: Any, logits: Any) -> Any:
    """Computes -log p(labels | logits) with `keras.ops`; differentiable.

    p is the sum over all paths - one output per frame, with probability softmax(logits) - that
    become the labels when repeats are merged and then blanks dropped. With blanks put around and
    between the labels, l' = (blank, l_1, blank, ..., l_L, blank), section 4.1 of the paper computes

        α_t(s) = y_t(l'_s) (α_{t-1}(s) + α_{t-1}(s-1) + [l'_s ≠ l'_{s-2}] α_{t-1}(s-2)),
        p = α_T(2L + 1) + α_T(2L),

    here as logarithms, minus the largest one in every frame, so that float32 suffices.

    `keras.ops.ctc_loss` is not used because of the TensorFlow function that it calls: time and
    memory grow with the square of the number of labels, and no loss exceeds 707 nats by much,
    because log 0 is replaced by log 1e-307. The alternative, `tf.nn.ctc_loss` with sparse labels,
    returns infinity for logits that are confident but wrong.

    Args:
        targets: tensor `(batch, labels)` of labels from 0 to outputs - 2; they must fit into the
            frames: one per label, and one more between equal neighbors.
        logits: tensor `(batch, time, outputs)`.

    Returns:
        Tensor `(batch,)`, in nats.

    Example:
        >>> import numpy as np
        >>> logits = np.log([[[0.6, 0.4], [0.7, 0.3]]]).astype("float32")
        >>> float(loss(np.array([[0]]), logits)[0])  # -log(0.6 0.7 + 0.6 0.3 + 0.4 0.7)
        0.1278333...
    """
    from keras import ops

    outputs = logits.shape[-1]
    labels = ops.cast(targets, "int32")
    blanks = ops.full_like(labels, outputs - 1)
    pairs = ops.reshape(ops.stack([blanks, labels], axis=2), (ops.shape(labels)[0], -1))
    extended = ops.concatenate([pairs, blanks[:, :1]], axis=1)
    may_skip = ops.pad(ops.not_equal(extended[:, 2:], extended[:, :-2]), ((0, 0), (2, 0)))

    chosen = ops.one_hot(extended, outputs, dtype=logits.dtype)
    log_y = ops.einsum("btk,bsk->tbs", ops.log_softmax(logits), chosen)

    def shifted(log_alpha: Any, by: int) -> Any:
        # Not `ops.pad`: TensorFlow's `vectorized_map` pads with 0, whatever the constant.
        never = ops.full_like(log_alpha[:, :by], _NEVER)
        return ops.concatenate([never, log_alpha[:, :-by]], axis=1)

    def step(carry: tuple[Any, Any], log_y_t: Any) -> tuple[tuple[Any, Any], None]:
        log_alpha, taken_off = carry
        skipped = ops.where(may_skip, shifted(log_alpha, 2), _NEVER)
        ways = ops.stack([log_alpha, shifted(log_alpha, 1), skipped])
        log_alpha = ops.logsumexp(ways, axis=0) + log_y_t
        largest = ops.max(log_alpha, axis=1, keepdims=True)
        return (log_alpha - largest, taken_off + largest), None

    # Before the first frame the path is in the first blank, which it need not emit.
    first = ops.arange(ops.shape(extended)[1]) == 0
    start = ops.where(first, ops.zeros_like(log_y[0]), _NEVER)
    (log_alpha, taken_off), _ = ops.scan(step, (start, ops.zeros_like(start[:, :1])), log_y)
    return -ops.logaddexp(log_alpha[:, -1], log_alpha[:, -2]) - taken_off[:, 0]


def frames_needed(labels: np.ndarray) -> int:
    """Counts the frames of the shortest path: one per label, and one between equal neighbors."""
    return len(labels) + int(np.sum(labels[1:] == labels[:-1]))


def best_path(logits: np.ndarray) -> np.ndarray:
    """Decodes the labels of the most probable path; of equal logits, the first one is chosen.

    Example:
        >>> best_path(np.eye(4)[[3, 1, 1, 3, 1, 0]])
        array([1, 1, 0])
    """
    path = np.argmax(logits, axis=-1)
    starts = np.concatenate([[True], path[1:] != path[:-1]])
    merged = path[starts]
    labels: np.ndarray = merged[merged != logits.shape[-1] - 1]
    return labels
