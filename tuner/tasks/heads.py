"""The meaning of a network's outputs: the loss for training and the score for evaluation."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from tuner.tasks import ctc


class Head(abc.ABC):
    """Interprets logits as a distribution over targets.

    Targets are those of one sequence, an array that `check` accepts; logits are an array `[time,
    outputs]`; in `loss`, both have a batch axis in front.
    """

    @abc.abstractmethod
    def loss(self, targets: Any, logits: Any) -> Any:
        """Computes negative log-likelihoods with `keras.ops`, for sequences without padding.

        Args:
            targets: of any dtype that holds them exactly: `keras.losses.Loss` makes them floats.
            logits: see `Head`.

        Returns:
            Tensor in nats, `(batch, time)` if frames are independent of each other, else
            `(batch,)`.
        """

    def score(self, targets: np.ndarray, logits: np.ndarray) -> float:
        """Computes the metric in float64, summed over a sequence; NaN if a logit is not finite."""
        if not np.all(np.isfinite(logits)):
            return float("nan")
        return self._score(targets, logits.astype(np.float64))

    @abc.abstractmethod
    def _score(self, targets: np.ndarray, logits: np.ndarray) -> float:
        """Computes the score from finite float64 logits."""

    def size(self, targets: np.ndarray) -> int:
        """Counts what the metric is a mean over: frames, or for transcriptions labels."""
        return len(targets)

    @abc.abstractmethod
    def check(self, targets: np.ndarray, frames: int, outputs: int) -> None:
        """Checks targets for an input of `frames` frames and a network of `outputs` outputs.

        Raises:
            ValueError: if the head cannot train on them; one line says what was expected.
        """


class Bernoulli(Head):
    """Independent probabilities p = σ(logit), one for each output.

    -log p(y | a) = log(1 + e^a) - y a = max(a, 0) - y a + log(1 + e^-|a|), summed over outputs; the
    last form never overflows. Targets are float32 `[time, outputs]` of zeros and ones; the metric
    is the negative log-likelihood in nats per frame.
    """

    def loss(self, targets: Any, logits: Any) -> Any:
        """Computes -log p(y | a) of each frame, `(batch, time)`."""
        from keras import ops

        return ops.sum(ops.softplus(logits) - targets * logits, axis=-1)

    def _score(self, targets: np.ndarray, logits: np.ndarray) -> float:
        """Computes the negative log-likelihood of one sequence, in nats.

        Example:
            >>> float(Bernoulli().score(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]])))
            1.3862943611198906
        """
        return float(np.sum(np.logaddexp(0.0, logits) - targets * logits))

    def check(self, targets: np.ndarray, frames: int, outputs: int) -> None:
        """Checks that targets are float32 zeros and ones."""
        _check_array(targets, np.float32, (frames, outputs))
        if not np.all((targets == 0) | (targets == 1)):
            raise ValueError("expected targets of 0 and 1")


class Softmax(Head):
    """One class per frame, p = softmax(logits).

    -log p(k | a) = log Σ_j e^{a_j} - a_k. Targets are int32 `[time]`, the classes, from 0 to
    outputs - 1; the metric is the percentage of frames whose largest logit (the first one, if
    several are equal) belongs to another class.
    """

    def loss(self, targets: Any, logits: Any) -> Any:
        """Computes -log p(k | a) of each frame, `(batch, time)`."""
        from keras import ops

        return ops.sparse_categorical_crossentropy(
            ops.cast(targets, "int32"), logits, from_logits=True
        )

    def _score(self, targets: np.ndarray, logits: np.ndarray) -> float:
        """Computes 100 times the number of wrong frames.

        Example:
            >>> Softmax().score(np.array([1, 1]), np.array([[0.0, 2.0], [3.0, 2.0]]))
            100.0
        """
        return 100.0 * int(np.sum(np.argmax(logits, axis=-1) != targets))

    def check(self, targets: np.ndarray, frames: int, outputs: int) -> None:
        """Checks that there is one class per frame."""
        _check_array(targets, np.int32, (frames,))
        _check_range(targets, outputs)


class CTC(Head):
    """A label sequence of unknown alignment: connectionist temporal classification.

    The last output is the blank; see `tuner.tasks.ctc`. Targets are int32 `[labels]`, at least one,
    from 0 to outputs - 2; the metric is the label error rate in percent: 100 times the edit
    distance between the targets and the best path, divided by the number of labels.
    """

    def loss(self, targets: Any, logits: Any) -> Any:
        """Computes -log p(labels | logits) of each sequence, `(batch,)`; see `Head.loss`."""
        return ctc.loss(targets, logits)

    def _score(self, targets: np.ndarray, logits: np.ndarray) -> float:
        """Computes 100 times the edit distance to the labels of the best path.

        Example:
            >>> path = np.eye(4)[[0, 0, 3, 0, 2]]  # 0 0 blank 0 2
            >>> CTC().score(np.array([0, 1]), path)  # 0 0 2 is one deletion, one replacement away
            200.0
        """
        decoded = ctc.best_path(logits).tolist()
        return 100.0 * Levenshtein.distance(targets.tolist(), decoded)

    def check(self, targets: np.ndarray, frames: int, outputs: int) -> None:
        """Checks that there are labels and that they fit into the frames."""
        _check_array(targets, np.int32, (len(targets),))
        if not len(targets):
            raise ValueError("expected at least one label")
        _check_range(targets, outputs - 1)
        needed = ctc.frames_needed(targets)
        if needed > frames:
            raise ValueError(
                f"expected at least {needed} frames for its {len(targets)} labels. "
                f"Received: {frames} frames"
            )


def grouped_error(
    targets: Sequence[np.ndarray], decided: Sequence[np.ndarray], groups: Sequence[int]
) -> float:
    """Computes the percentage of wrong frames after classes are merged into coarser ones.

    Args:
        targets: class of every frame, int32 `[time]` per sequence.
        decided: class that the network decides on for every frame, int32 `[time]` per sequence.
        groups: see `tuner.tasks.task.Task.groups`.

    Returns:
        Percentage; NaN if no frame counts.

    Example:
        >>> targets, decided = [np.array([0, 1, 2, 3])], [np.array([1, 2, 2, 0])]
        >>> grouped_error(targets, decided, groups=(7, 7, 8, -1))  # 1 taken for 2 is an error
        33.3...
    """
    group_of = np.asarray(groups)
    expected = group_of[np.concatenate(targets)]
    counts = expected >= 0
    wrong = group_of[np.concatenate(decided)] != expected
    return float(100.0 * wrong[counts].mean()) if counts.any() else float("nan")


def _check_array(targets: np.ndarray, dtype: type, shape: tuple[int, ...]) -> None:
    if targets.dtype != dtype or targets.shape != shape:
        raise ValueError(
            f"expected targets of dtype {np.dtype(dtype)} and shape {list(shape)}. "
            f"Received: {targets.dtype} {list(targets.shape)}"
        )


def _check_range(targets: np.ndarray, labels: int) -> None:
    wrong = targets[(targets < 0) | (targets >= labels)]
    if len(wrong):
        raise ValueError(f"expected targets from 0 to {labels - 1}. Received: {wrong[0]}")


HEADS: dict[str, Head] = {"bernoulli": Bernoulli(), "softmax": Softmax(), "ctc": CTC()}
"""The heads by the name that tasks use."""
