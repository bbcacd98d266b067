"""Files of work on the music task's training sequences, made when they are asked for.

Slow implementations are timed on fewer sequences than fast ones:

    corpus   all sequences, shortest first
    sample   8 sequences around the middle of each quarter of the corpus: of the lengths that a peer
             pads alike, see `Work.buckets`
    lengths  two lengths, 8 sequences of each: for what compiles for every length
    check    4 sequences of one length, without noise
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.work import Work, bucket_lengths, operations
from tuner.tasks.sequences import Sequences
from tuner.training import random_streams
from tuner.training.protocol import Protocol
from zoo.variants import VARIANTS, Variant

_BUCKETS = 8
_EACH = 8
_SEED = 1


class WorkFiles:
    """Makes files of work.

    Attributes:
        mean_length: frames of a training sequence, on average.
    """

    def __init__(self, folder: Path, train: Sequences) -> None:
        """Chooses the sequences of each kind of work.

        Args:
            folder: where to write.
            train: the training sequences.
        """
        self._folder = folder
        self._train = train
        lengths = train.lengths
        self.mean_length = float(lengths.mean())
        ascending = np.argsort(lengths, kind="stable")
        self._buckets = bucket_lengths(lengths, _BUCKETS)

        def middles(parts: int) -> list[int]:
            places = (2 * np.arange(parts) + 1) * len(lengths) // (2 * parts)
            return [int(length) for length in lengths[ascending[places]]]

        self._indices = {
            "corpus": ascending,
            "sample": np.concatenate([self._bucket(ascending, size) for size in middles(4)]),
            "lengths": np.concatenate([self._exactly(size) for size in middles(2)]),
            "check": self._exactly(middles(1)[0])[:4],
        }

    def _bucket(self, ascending: np.ndarray, length: int) -> np.ndarray:
        """Chooses sequences evenly from the bucket that a length belongs to."""
        upper = min(bucket for bucket in self._buckets if bucket >= length)
        lower = max((bucket for bucket in self._buckets if bucket < length), default=0)
        lengths = self._train.lengths[ascending]
        members = ascending[(lengths > lower) & (lengths <= upper)]
        places = np.linspace(0, len(members) - 1, _EACH).round().astype(int)
        return np.asarray(members[places])

    def _exactly(self, length: int) -> np.ndarray:
        return np.resize(np.flatnonzero(self._train.lengths == length), _EACH)

    def sequences(self, kind: str) -> int:
        """Counts the sequences of a kind of work."""
        return len(self._indices[kind])

    def frames(self, kind: str) -> int:
        """Counts the frames of a kind of work."""
        return int(self._train.lengths[self._indices[kind]].sum())

    def operations(self, kind: str, variant: str, units: int) -> float:
        """Counts the operations of a pass over a kind of work; see `benchmarks.work.operations`."""
        return operations(
            self.frames(kind),
            self._train.inputs[0].shape[1],
            self._train.targets[0].shape[1],
            units,
            len(VARIANTS[variant].gates),
            len(VARIANTS[variant].recurrent_gates),
        )

    def path(self, kind: str, variant: str, units: int, longer: int = 1) -> str:
        """Writes a file of work.

        Args:
            kind: which sequences.
            variant: code of a variant.
            units: LSTM blocks.
            longer: how often every sequence is repeated to make a longer one.
        """
        path = self._folder / f"{kind}-{variant}-{units}-{longer}.npz"
        if path.exists():
            return str(path)
        shape = VARIANTS[variant]
        indices = self._indices[kind]
        inputs = tuple(np.tile(self._train.inputs[index], (longer, 1)) for index in indices)
        targets = tuple(np.tile(self._train.targets[index], (longer, 1)) for index in indices)
        shapes = _shapes(shape, inputs[0].shape[1], units, targets[0].shape[1])
        Work(
            variant=variant,
            units=units,
            gates=shape.gates,
            peephole_gates=shape.peephole_gates,
            # A rate with which a few updates change the loss visibly, and none diverges.
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


def _shapes(variant: Variant, inputs: int, units: int, outputs: int) -> list[tuple[int, ...]]:
    gates = len(variant.gates) * units
    shapes: list[tuple[int, ...]] = [(inputs, gates), (units, gates), (gates,)]
    if variant.peephole_gates:
        shapes.append((len(variant.peephole_gates) * units,))
    if variant.recurrent_gates:
        shapes.append((len(variant.recurrent_gates) * units,) * 2)
    return [*shapes, (units, outputs), (outputs,)]
