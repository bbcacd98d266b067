"""The work of every peer of `benchmarks.trial_throughput`, as a file that all of them can read.

A trial's work on one sequence x of T frames, by the protocol:

    noise       x' = x + σ n,  n ~ N(0, 1)
    forward     hidden = LSTM(x'),  logits = hidden K + b
    loss        Σ over frames and outputs of softplus(logit) - target · logit
    backward    the gradient g of every weight w
    Nesterov    v = μ v - λ g,  w += μ v - λ g,  λ = learning rate × (1 - μ)
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import pickle
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class Work:
    """Sequences in the order of training, and the trial that is trained on them.

    Attributes:
        variant: code of the LSTM variant.
        units: number of LSTM blocks.
        learning_rate: learning rate before the factor (1 - momentum).
        momentum: Nesterov momentum.
        noise_std: standard deviation of the input noise.
        seed: seed of the initial weights.
        inputs: float32 [T, inputs] per sequence.
        targets: float32 [T, outputs] per sequence.
        weights: initial weights in the order of `keras.Model.get_weights()`: kernel, recurrent
            kernel, bias, peephole (if any), gate recurrent kernel (if any), kernel and bias of the
            output layer.
        buckets: lengths to which a peer that compiles for each length may pad, ascending; the
            last is that of the longest sequence.
    """

    variant: str
    units: int
    learning_rate: float
    momentum: float
    noise_std: float
    seed: int
    inputs: tuple[np.ndarray, ...]
    targets: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]
    buckets: tuple[int, ...]

    @property
    def frames(self) -> int:
        """Total number of frames of all sequences."""
        return sum(len(sequence) for sequence in self.inputs)

    @property
    def rate(self) -> float:
        """λ of the update."""
        return self.learning_rate * (1.0 - self.momentum)

    def save(self, path: Path) -> None:
        """Writes the work to a file, compressed, because piano rolls are mostly zeros."""
        with gzip.open(path, "wb", compresslevel=1) as file:
            pickle.dump(dataclasses.asdict(self), file)

    @classmethod
    def load(cls, path: str) -> Work:
        """Reads what `save` wrote."""
        with gzip.open(path) as file:
            return cls(**pickle.load(file))


def operations(
    frames: float, inputs: int, outputs: int, units: int, gates: int, recurrent_gates: int
) -> float:
    """Counts the operations of a training step's matrix products, 2 per multiply-add.

        2 T (2 M G H + 3 G H² + 3 H O + 3 (Q H)²)

    for T frames, M inputs, O outputs, H units, G gates and Q gates with gate recurrence: the input
    product has no gradient with respect to the data; every other one is computed forward, for the
    state's gradient and for the weights'.
    """
    products = 2 * inputs * gates * units + 3 * gates * units**2 + 3 * units * outputs
    return 2.0 * frames * (products + 3 * (recurrent_gates * units) ** 2)


def bucket_lengths(lengths: np.ndarray, count: int) -> tuple[int, ...]:
    """Chooses at most `count` lengths to pad to that add the fewest frames, in ascending order."""
    sizes, numbers = np.unique(lengths, return_counts=True)
    until = np.concatenate([[0], np.cumsum(numbers)])

    @functools.cache
    def best(end: int, left: int) -> tuple[float, tuple[int, ...]]:
        """Returns the padded frames of the `end` shortest sizes, and their buckets."""
        if not end or not left:
            return (np.inf if end else 0.0), ()
        last = int(sizes[end - 1])
        ways = ((best(start, left - 1), until[end] - until[start]) for start in range(end))
        return min((padded + last * each, (*edges, last)) for (padded, edges), each in ways)

    return best(len(sizes), count)[1]
