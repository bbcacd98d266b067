"""Sequences of a task as NumPy arrays, and the padding that makes batches of them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import numpy as np


def cut(joined: np.ndarray, lengths: Iterable[int]) -> list[np.ndarray]:
    """Cuts an array of concatenated sequences.

    Args:
        joined: array `[total time, ...]`.
        lengths: length of each sequence; they add up to the total time.

    Returns:
        The sequences, as views of the array.

    Example:
        >>> [part.tolist() for part in cut(np.arange(3), [1, 2])]
        [[0], [1, 2]]
    """
    ends = itertools.accumulate(map(int, lengths), initial=0)
    return [joined[start:end] for start, end in itertools.pairwise(ends)]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Several sequences, padded with zeros at the end.

    Attributes:
        indices: indices of the sequences, int64 [B].
        inputs: float32 [B, T, inputs], where T is the longest length in the batch.
        lengths: int32 [B], number of valid frames.
    """

    indices: np.ndarray
    inputs: np.ndarray
    lengths: np.ndarray


@dataclasses.dataclass(frozen=True)
class Sequences:
    """One split of a task: input sequences and their targets, by index.

    Attributes:
        inputs: one float32 array [T, inputs] per sequence.
        targets: one array per sequence. Head `bernoulli`: float32 [T, outputs] of zeros and ones;
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
        """Number of frames in each sequence, int64 [len(self)]."""
        return np.array([len(sequence) for sequence in self.inputs], dtype=np.int64)

    @property
    def frames(self) -> int:
        """Number of frames in all sequences together."""
        return int(self.lengths.sum())

    def batches(self, size: int = 64) -> Iterator[Batch]:
        """Yields all sequences in padded batches, sorted by length to minimize padding.

        Args:
            size: largest number of sequences in a batch.
        """
        order = np.argsort(self.lengths, kind="stable")
        for start in range(0, len(order), size):
            indices = order[start : start + size]
            lengths = self.lengths[indices]
            inputs = np.zeros((len(indices), lengths.max(), self.inputs[0].shape[1]), np.float32)
            for row, index in enumerate(indices):
                inputs[row, : lengths[row]] = self.inputs[index]
            yield Batch(indices=indices, inputs=inputs, lengths=lengths.astype(np.int32))
