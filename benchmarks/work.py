"""The work that every peer of `benchmarks.trial_throughput` does, as a file that any of them reads.

A trial's work on one sequence x of T frames, by the protocol:

    noise       x' = x + σ n,  n ~ N(0, 1)
    forward     hidden = LSTM(x'),  logits = hidden K + b
    loss        Σ over frames and outputs of softplus(logit) - target · logit
    backward    the gradient g of every weight w
    Nesterov    v = μ v - λ g,  w += μ v - λ g,  λ = learning rate × (1 - μ)
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Work:
    """Sequences in the order of training, and the trial that is trained on them.

    Attributes:
        variant: code of the LSTM variant.
        units: LSTM blocks.
        gates: blocks of its weights, such as `ifzo`.
        peephole_gates: gates that have a peephole.
        learning_rate: before the factor (1 - momentum).
        momentum: Nesterov momentum.
        noise_std: standard deviation of the input noise.
        seed: seed of the initial weights.
        inputs: float32 [T, inputs] a sequence.
        targets: float32 [T, outputs] a sequence.
        weights: initial weights in the order of `keras.Model.get_weights()`: kernel, recurrent
            kernel, bias, peephole (if any), gate recurrent kernel (if any), kernel and bias of the
            output layer.
        buckets: lengths to which a peer may pad that compiles for each length, ascending; the
            last is the longest sequence's.
    """

    variant: str
    units: int
    gates: str
    peephole_gates: str
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
        """Frames of all sequences."""
        return sum(len(sequence) for sequence in self.inputs)

    @property
    def rate(self) -> float:
        """λ of the update."""
        return self.learning_rate * (1.0 - self.momentum)

    def save(self, path: Path) -> None:
        """Writes the work to an `.npz` file."""
        facts: dict[str, Any] = {}
        arrays: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("inputs", "targets", "weights"):
                arrays |= {f"{field.name}_{index}": array for index, array in enumerate(value)}
            else:
                facts[field.name] = value
        # Piano rolls are mostly zeros.
        np.savez_compressed(path, facts=np.array(json.dumps(facts)), **arrays)

    @classmethod
    def load(cls, path: str) -> Work:
        """Reads what `save` wrote."""
        with np.load(path) as archive:
            fields = json.loads(str(archive["facts"]))
            fields["buckets"] = tuple(fields["buckets"])
            for name in ("inputs", "targets", "weights"):
                count = sum(key.startswith(f"{name}_") for key in archive)
                fields[name] = tuple(archive[f"{name}_{index}"] for index in range(count))
        return cls(**fields)


@dataclasses.dataclass(frozen=True)
class Pass:
    """One pass of a peer over a work's sequences.

    Attributes:
        seconds: time of the pass.
        loss: mean loss a frame, over all trials.
        trials: trials trained at once.
    """

    seconds: float
    loss: float
    trials: int = 1


def operations(
    frames: float, inputs: int, outputs: int, units: int, gates: int, recurrent_gates: int
) -> float:
    """Counts the operations of a training step's matrix products, 2 a multiply-add.

        2 T (2 M G H + 3 G H² + 3 H O + 3 (Q H)²)

    for T frames, M inputs, O outputs, H units, G gates and Q gates with gate recurrence: the input
    product has no gradient with respect to the data; every other one is computed forward, for the
    state's gradient and for the weights'.

    Args:
        frames: T.
        inputs: M.
        outputs: O.
        units: H.
        gates: G.
        recurrent_gates: Q.

    Example:
        >>> operations(61, 88, 88, units=64, gates=4, recurrent_gates=0) / 1e6
        13.554688
    """
    products = 2 * inputs * gates * units + 3 * gates * units**2 + 3 * units * outputs
    return 2.0 * frames * (products + 3 * (recurrent_gates * units) ** 2)


def bucket_lengths(lengths: np.ndarray, count: int) -> tuple[int, ...]:
    """Chooses the lengths to pad to that add the fewest frames.

    Args:
        lengths: frames of each sequence, int [N].
        count: most lengths to choose.

    Returns:
        The chosen lengths, ascending; the last is the longest.

    Example:
        >>> bucket_lengths(np.array([3, 3, 4, 9, 10]), 2)
        (4, 10)
    """
    ascending = np.sort(lengths)
    total = len(ascending)
    # padded[j]: fewest frames to which the j shortest can be padded with the buckets so far.
    padded = np.concatenate([[0.0], np.full(total, np.inf)])
    starts = []
    for _ in range(min(count, total)):
        costs = padded[:total, None] + ascending[None, :] * (
            np.arange(1, total + 1)[None, :] - np.arange(total)[:, None]
        )
        costs[np.tril_indices(total, -1)] = np.inf
        starts.append(np.argmin(costs, axis=0))
        padded = np.concatenate([[np.inf], np.min(costs, axis=0)])
    edges = []
    end = total
    for start in reversed(starts):
        edges.append(int(ascending[end - 1]))
        end = int(start[end - 1])
    return tuple(sorted(set(edges)))
