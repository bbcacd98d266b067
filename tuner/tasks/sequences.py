"""Sequences of a task as NumPy arrays, and the padding that turns them into batches."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import numpy as np


def cut(joined: np.ndarray, lengths: Iterable[int]) -> list[np.ndarray]:
    """Cuts an array that holds sequences one behind the other.

    Args:
        joined: array `[time of all, ...]`.
        lengths: time of each; they add up to that of all.

    Returns:
        The sequences; views of the array.

    Example:
        >>> [part.tolist() for part in cut(np.arange(3), [1, 2])]
        [[0], [1, 2]]
    """
    ends = itertools.accumulate(map(int, lengths), initial=0)
    return [joined[start:end] for start, end in itertools.pairwise(ends)]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some sequences side by side, padded with zeros at the end.

    Attributes:
        indices: which sequences these are, int64 [B].
        inputs: float32 [B, T, inputs], T the longest of the batch.
        lengths: int32 [B], frames that count.
    """

    indices: np.ndarray
    inputs: np.ndarray
    lengths: np.ndarray


@dataclasses.dataclass(frozen=True)
class Sequences:
    """One split of a task: input and target sequences, index by index.

    Attributes:
        inputs: one float32 array [T, inputs] a sequence.
        targets: one array a sequence. Head `bernoulli`: float32 [T, outputs] of zeros and ones;
            `softmax`: int32 [T], the class of each frame; `ctc`: int32 [L], the labels, L >= 1. See
            `tuner.tasks.heads`.

    Example:
        >>> import numpy as np
        >>> roll = np.eye(3, dtype=np.float32)
        >>> split = Sequences(inputs=(roll[:-1],), targets=(roll[1:],))
        >>> len(split), split.frames
        (1, 2)
    """

    inputs: tuple[np.ndarray, ...]
    targets: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise ValueError(
                "Expected as many `targets` as `inputs`. "
                f"Received: {len(self.inputs)} inputs and {len(self.targets)} targets"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def lengths(self) -> np.ndarray:
        """Frames of each sequence, int64 [len(self)]."""
        return np.array([len(sequence) for sequence in self.inputs], dtype=np.int64)

    @property
    def frames(self) -> int:
        """Frames of all sequences together."""
        return int(self.lengths.sum())

    def batches(self, size: int = 64) -> Iterator[Batch]:
        """Yields all sequences in padded batches, sorted by length so that little is padding.

        Args:
            size: most sequences a batch holds.
        """
        order = np.argsort(self.lengths, kind="stable")
        for start in range(0, len(order), size):
            indices = order[start : start + size]
            lengths = self.lengths[indices]
            inputs = np.zeros((len(indices), lengths.max(), self.inputs[0].shape[1]), np.float32)
            for row, index in enumerate(indices):
                inputs[row, : lengths[row]] = self.inputs[index]
            yield Batch(indices=indices, inputs=inputs, lengths=lengths.astype(np.int32))
