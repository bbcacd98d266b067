"""Files of work on the music task's training sequences, created on demand.

Slow implementations are timed on fewer sequences than fast ones:

    corpus   all sequences, shortest first
    sample   8 sequences around the middle of each quarter of the corpus, of lengths that a peer
             pads to the same length, see `Work.buckets`
    lengths  two lengths, 8 sequences of each: for peers that compile for every length
    check    4 sequences of one length, without noise
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.work import Work, bucket_lengths, operations
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import find_task
from tuner.training import random_streams
from tuner.training.native import memory
from tuner.training.protocol import Protocol
from zoo.variants import VARIANTS

_BUCKETS, _EACH, _SEED = 8, 8, 1


class WorkFiles:
    """Creates files of work.

    Attributes:
        mean_length: mean number of frames of a training sequence.
    """

    def __init__(self, folder: Path, train: Sequences) -> None:
        """Chooses the sequences of each kind of work; files are written to the folder."""
        self._folder, self._train = folder, train
        self._lengths = lengths = train.lengths
        self.mean_length = float(lengths.mean())
        self._ascending = ascending = np.argsort(lengths, kind="stable")
        self._buckets = bucket_lengths(lengths, _BUCKETS)

        def middles(parts: int) -> list[int]:
            places = (2 * np.arange(parts) + 1) * len(lengths) // (2 * parts)
            return [int(length) for length in lengths[ascending[places]]]

        def exactly(size: int, count: int) -> np.ndarray:
            return np.resize(np.flatnonzero(lengths == size), count)

        self._indices = {
            "corpus": ascending,
            "sample": np.concatenate([self._bucket(size) for size in middles(4)]),
            "lengths": np.concatenate([exactly(size, _EACH) for size in middles(2)]),
            "check": exactly(middles(1)[0], 4),
        }

    def _bucket(self, length: int) -> np.ndarray:
        """Chooses sequences evenly from the bucket that a length belongs to."""
        upper = min(bucket for bucket in self._buckets if bucket >= length)
        lower = max((bucket for bucket in self._buckets if bucket < length), default=0)
        lengths = self._lengths[self._ascending]
        members = self._ascending[(lengths > lower) & (lengths <= upper)]
        places = np.linspace(0, len(members) - 1, _EACH).round().astype(int)
        return np.asarray(members[places])

    def sequences(self, kind: str) -> int:
        """Counts the sequences of a kind of work."""
        return len(self._indices[kind])

    def frames(self, kind: str) -> int:
        """Counts the frames of a kind of work."""
        return int(self._lengths[self._indices[kind]].sum())

    def operations(self, variant: str, units: int) -> float:
        """Counts the operations of a sequence of mean length; see `benchmarks.work.operations`."""
        shape = VARIANTS[variant]
        sizes = (self._train.inputs[0].shape[1], self._train.targets[0].shape[1], units)
        return operations(self.mean_length, *sizes, len(shape.gates), len(shape.recurrent_gates))

    def path(self, kind: str, variant: str, units: int, longer: int = 1) -> str:
        """Writes a file of work, unless it exists, with every sequence repeated `longer` times."""
        path = self._folder / f"{kind}-{variant}-{units}-{longer}.work"
        if path.exists():
            return str(path)
        inputs, targets = (
            tuple(np.tile(arrays[index], (longer, 1)) for index in self._indices[kind])
            for arrays in (self._train.inputs, self._train.targets)
        )
        shapes = memory.keras_shapes(memory.shape_of(find_task("music"), VARIANTS[variant], units))
        Work(
            variant=variant,
            units=units,
            # A rate at which a few updates change the loss visibly, and none diverges.
            learning_rate=1e-3,
            momentum=0.9,
            noise_std=0.0 if kind == "check" else 0.3,
            seed=_SEED,
            inputs=inputs,
            targets=targets,
            weights=random_streams.initial_weights(_SEED, shapes, Protocol().weight_std),
            buckets=self._buckets,
        ).save(path)
        return str(path)
