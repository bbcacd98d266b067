"""A problem and its trials in the device's memory, as `kernels/structures.cuh` describes them.

A trial is one piece of memory. Its weights are padded with zeros: units to the number in the
layout, outputs to multiples of 4, inputs plus the 1 for the biases to multiples of 8. A padding
unit has no weights in or out and never gets any: its gradient is exactly zero. The same is true of
the gates that a variant lacks, since a unit's four gates always lie together.
"""

from __future__ import annotations

import ctypes
import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, Task
from tuner.training import random_streams
from tuner.training.cuda.backend import Backend
from tuner.training.cuda.device import Device
from tuner.training.cuda.layouts import MAX_UNITS, Layout, choose
from tuner.training.cuda.structures import (
    SIZES,
    Control,
    ProblemHeader,
    TrialHeader,
    bytes_of,
)
from tuner.training.protocol import Problem, Trial
from tuner.training.trial_state import Weights
from zoo.registry import switches
from zoo.variants import GATE_ORDER, Variant

HEADS = ("bernoulli", "softmax", "ctc")
"""The heads; the kernels identify them by their index."""

INPUT_MARGIN = 15
"""Frames before and after the inputs of a trial, which the kernels' tiles may read."""

_RECURRENT_GATES = "ifo"
_ALIGNMENT = 256

# Bytes of a device's memory that the driver and the kernels take.
_RESERVED = 2**29


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def switches_of(variant: Variant) -> int:
    """Returns the switches of a variant as the kernels' bits."""
    lacks_or_has = (
        not variant.input_gate,
        not variant.forget_gate,
        not variant.output_gate,
        variant.coupled,
        not variant.input_activation,
        not variant.output_activation,
        not variant.peepholes,
        variant.gate_recurrence,
    )
    return sum(bool(switch) << place for place, switch in enumerate(lacks_or_has))


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes that follow from a problem.

    Attributes:
        inputs: features per frame.
        outputs: outputs per frame.
        directions: 1, or 2 if the network also reads backward.
        max_frames: length of the longest sequence.
        max_labels: largest number of labels of a transcription; 0 for the other heads.
        train: number of training sequences.
        measured: number of validation or test sequences, whichever is larger.
        test_frames: number of frames of the test set; 0 if its classes are not needed.
        max_epochs: maximum number of epochs per trial.
    """

    inputs: int
    outputs: int
    directions: int
    max_frames: int
    max_labels: int
    train: int
    measured: int
    test_frames: int
    max_epochs: int

    @classmethod
    def of(cls, problem: Problem) -> Sizes:
        """Computes the sizes of a problem."""
        task, corpus = problem.task, problem.corpus
        splits = (corpus.train, corpus.validation, corpus.test)
        labels = max(len(target) for split in splits for target in split.targets)
        return cls(
            inputs=task.inputs,
            outputs=task.outputs,
            directions=2 if task.bidirectional else 1,
            max_frames=max(int(split.lengths.max()) for split in splits),
            max_labels=labels if task.head == "ctc" else 0,
            train=len(corpus.train),
            measured=max(len(corpus.validation), len(corpus.test)),
            test_frames=corpus.test.frames if task.groups else 0,
            max_epochs=problem.protocol.max_epochs,
        )

    @property
    def input_row(self) -> int:
        """Inputs plus the 1 for the biases, padded."""
        return _round_up(self.inputs + 1, 8)

    @property
    def output_row(self) -> int:
        """Outputs, padded."""
        return _round_up(self.outputs, 4)

    @property
    def max_states(self) -> int:
        """Maximum number of states of a transcription: labels with blanks around them."""
        return 2 * self.max_labels + 1


class Network:
    """The weights of a network, in Keras' order and in the kernels' layout.

    Attributes:
        layout: the kernel.
        units: LSTM blocks.
        padded: LSTM blocks with padding.
        shapes: shapes of the weights, in the order of `keras.Model.get_weights()`.
        switches: switches of the variant, as bits.
        state: numbers that a step sees of the previous one.
        floats: number of weights with padding.
        size: number of weights without padding.
    """

    def __init__(self, sizes: Sizes, variant: Variant, units: int, layout: Layout) -> None:
        """Lays out the weights.

        Args:
            sizes: sizes of the problem.
            variant: any legal combination of switches.
            units: LSTM blocks.
            layout: a layout that the network fits into.
        """
        self.layout, self.units, self.padded = layout, units, layout.padded(units)
        self.switches = switches_of(variant)
        self.state = self.padded * (4 if variant.gate_recurrence else 1)
        self._sizes = sizes
        self.floats = sum(math.prod(shape) for shape in self._memory_shapes)
        indices = list(self._indices(variant))
        self.shapes = [shape for shape, _ in indices]
        self._places = np.concatenate([places.reshape(-1) for _, places in indices])
        self.size = len(self._places)

    @property
    def _memory_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of `Weights` in `kernels/context.cuh`; a float4 is a last axis of 4."""
        sizes, blocks = self._sizes, self.layout.blocks
        columns = self.padded // blocks
        return (
            (sizes.directions, blocks, sizes.input_row, columns, 4),
            (sizes.directions, blocks, self.state, columns, 4),
            (sizes.directions, blocks, 1, columns, 4),
            (sizes.directions * self.padded + 1, sizes.output_row),
        )

    def _indices(self, variant: Variant) -> list[tuple[tuple[int, ...], np.ndarray]]:
        """Returns the shape of each Keras weight, and the kernels' index of each of its numbers."""
        sizes, units, padded = self._sizes, self.units, self.padded
        places, start = [], 0
        for shape in self._memory_shapes:
            count = math.prod(shape)
            places.append(np.arange(start, start + count).reshape(shape))
            start += count
        # [directions, rows, units, gates]
        kernel, recurrent, peepholes = (
            array.transpose(0, 2, 1, 3, 4).reshape(sizes.directions, -1, padded, 4)[:, :, :units]
            for array in places[:3]
        )
        output = places[3]
        gates = [GATE_ORDER.index(gate) for gate in variant.gates]
        seen = [_RECURRENT_GATES.index(gate) for gate in variant.recurrent_gates]
        peeping = [_RECURRENT_GATES.index(gate) for gate in variant.peephole_gates]
        columns = len(gates) * units
        found: list[tuple[tuple[int, ...], np.ndarray]] = []
        for direction in range(sizes.directions):
            # Keras' rows hold one gate after another.
            rows = kernel[direction][..., gates].swapaxes(1, 2)
            by_unit = recurrent[direction].reshape(-1, padded, units, 4)[:, :units]
            found += [
                ((sizes.inputs, columns), rows[: sizes.inputs]),
                ((units, columns), by_unit[0][..., gates].swapaxes(1, 2)),
                ((columns,), rows[sizes.inputs]),
            ]
            if peeping:
                weights = peepholes[direction, 0][:, peeping].swapaxes(0, 1)
                found.append(((len(peeping) * units,), weights))
            if seen:
                slots = [GATE_ORDER.index(_RECURRENT_GATES[gate]) for gate in seen]
                # [from gate, from unit, to gate, to unit]
                weights = by_unit[[1 + gate for gate in seen]][..., slots].swapaxes(2, 3)
                found.append(((len(seen) * units,) * 2, weights))
        rows = output[:-1].reshape(sizes.directions, padded, -1)[:, :units, : sizes.outputs]
        found.append(((sizes.directions * units, sizes.outputs), rows))
        found.append(((sizes.outputs,), output[-1, : sizes.outputs]))
        return found

    def pack(self, weights: Weights) -> np.ndarray:
        """Copies weights (or velocities) into the kernels' order, float32 [floats]."""
        memory = np.zeros(self.floats, np.float32)
        memory[self._places] = np.concatenate([weight.reshape(-1) for weight in weights])
        return memory

    def unpack(self, memory: np.ndarray) -> Weights:
        """Copies weights (or velocities) into Keras' order; the inverse of `pack`."""
        numbers = memory[self._places]
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1]
        return tuple(
            np.array(part).reshape(shape)
            for part, shape in zip(np.split(numbers, ends), self.shapes, strict=True)
        )

    def output_transposed(self, memory: np.ndarray) -> np.ndarray:
        """Returns the packed output kernel, transposed and without biases, [output_row, inputs]."""
        rows = memory[-(self._sizes.directions * self.padded + 1) * self._sizes.output_row :]
        return np.ascontiguousarray(rows.reshape(-1, self._sizes.output_row)[:-1].T)

    def arrays(self) -> dict[str, int]:
        """Returns the bytes of each array of a trial, in their order in memory."""
        sizes, padded, layout = self._sizes, self.padded, self.layout
        directions, frames = sizes.directions, sizes.max_frames
        steps = directions * frames * padded
        single = {
            "weights": self.floats,
            "velocities": self.floats,
            "output_transposed": sizes.output_row * directions * padded,
            "best": self.floats,
            # Extra frames on either side are read but not used.
            "inputs": (frames + 2 * INPUT_MARGIN) * sizes.input_row,
            "gates": 4 * steps,
            "cells": steps + directions * padded,
            "tanh_cells": steps,
            "states": directions * (frames + 1) * self.state,
            "hidden_grads": steps,
            "logits": frames * sizes.output_row,
            "keys": 2 * sizes.max_epochs,
            "classes": sizes.test_frames,
        }
        double = {
            "partials": layout.blocks * layout.threads,
            "losses": sizes.train,
            "scores": sizes.measured,
            "epochs": 3 * (sizes.max_epochs + 1),
        }
        if sizes.max_labels:
            single |= {"decoded": 2 * frames, "distances": 3 * (sizes.max_labels + 1)}
            double |= {"normalizers": frames, "paths": 2 * frames * sizes.max_states}
        return {
            "header": ctypes.sizeof(TrialHeader),
            "control": ctypes.sizeof(Control),
            **{name: 4 * count for name, count in single.items()},
            **{name: 8 * count for name, count in double.items()},
        }


def places_of(arrays: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Places arrays one after another.

    Args:
        arrays: bytes of each array.

    Returns:
        The start of each array, and the bytes of all together.

    Example:
        >>> places_of({"a": 8, "b": 300, "c": 4})
        ({'a': 0, 'b': 256, 'c': 768}, 1024)
    """
    places, end = {}, 0
    for name, size in arrays.items():
        places[name] = end
        end += _round_up(size, _ALIGNMENT)
    return places, end


def _split_arrays(split: Sequences, task: Task, sizes: Sizes) -> dict[str, np.ndarray]:
    counts = np.array([len(target) for target in split.targets])
    lengths = split.lengths
    arrays = {
        "inputs": np.concatenate(split.inputs).astype(np.float32),
        "starts": np.cumsum(lengths) - lengths,
        "lengths": lengths,
        "target_starts": np.cumsum(counts) - counts,
        "target_counts": counts,
    }
    joined = np.concatenate(split.targets)
    if task.head == "bernoulli":
        arrays["rows"] = np.zeros((len(joined), sizes.output_row), np.float32)
        arrays["rows"][:, : sizes.outputs] = joined
    else:
        arrays["indices"] = joined
    return {
        name: array if array.dtype == np.float32 else array.astype(np.int32)
        for name, array in arrays.items()
    }


def corpus_bytes(corpus: Corpus, task: Task) -> int:
    """Estimates the bytes that a corpus takes in device memory."""
    splits = (corpus.train, corpus.validation, corpus.test)
    width = task.inputs + (task.outputs if task.head == "bernoulli" else 1)
    return sum(4 * split.frames * width for split in splits)


def obstacle(problem: Problem, trial: Trial, device: Device) -> str:
    """Returns why a trial does not fit on a device, in one line; empty if it does.

    Args:
        problem: the trial's problem.
        trial: the trial.
        device: the device to train it on.
    """
    variant = switches(trial.variant)
    assert variant is not None, "that has been looked at"
    if trial.units > MAX_UNITS:
        return f"it takes at most {MAX_UNITS} units, and not {trial.units}"
    layout = choose(trial.units, variant.gate_recurrence, device.capability)
    network = Network(Sizes.of(problem), variant, trial.units, layout)
    needed = corpus_bytes(problem.corpus, problem.task) + places_of(network.arrays())[1]
    if needed > device.memory - _RESERVED:
        needs, has = (f"{size / 2**30:.1f} GiB" for size in (needed + _RESERVED, device.memory))
        return f"a trial of {trial.units} units needs {needs} of memory; {device.name} has {has}"
    return ""


def upload_problem(problem: Problem, backend: Backend) -> int:
    """Copies data and rules to the device.

    Returns:
        The address of their `ProblemHeader`.
    """
    task, corpus, protocol, sizes = (
        problem.task, problem.corpus, problem.protocol, Sizes.of(problem)
    )  # fmt: skip
    header = ProblemHeader()
    for name in ("train", "validation", "test"):
        split: Sequences = getattr(corpus, name)
        place = getattr(header, name)
        place.count = len(split)
        for field, array in _split_arrays(split, task, sizes).items():
            setattr(place, field, _upload(backend, array))
    orders = [
        random_streams.order(protocol.order_seed, epoch, sizes.train)
        for epoch in range(1, protocol.max_epochs + 1)
    ]
    header.order = _upload(backend, np.array(orders, np.int32))
    header.head = HEADS.index(task.head)
    header.patience = protocol.patience
    for name in SIZES:
        if hasattr(sizes, name):
            setattr(header, name, getattr(sizes, name))
    return _upload(backend, bytes_of(header))


def _upload(backend: Backend, array: np.ndarray) -> int:
    address = backend.allocate(max(1, array.nbytes))
    backend.write(address, array)
    return address
