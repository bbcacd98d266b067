"""The compiled programs: a training epoch and the logits of a split, for several trials at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Task
from tuner.training.jax import gradients, noise
from tuner.training.jax.blocks import BLOCK, blocks_for
from tuner.training.jax.gradients import Direction, Network
from tuner.training.jax.losses import LOSSES
from tuner.training.jax.step import Arrays, Step
from tuner.training.jax.updates import Update
from tuner.training.protocol import Options
from zoo.adaptive_cell import DepthAdaptiveCell
from zoo.registry import cell_class

_CHUNK = 2**13
"""Most frames whose logits are computed at a time, unless a single sequence is longer."""


@dataclasses.dataclass(frozen=True)
class Split:
    """The sequences of a split on the device, concatenated.

    Attributes:
        inputs: float32 `[frames, inputs]`, followed by padding for the longest sequence.
        targets: the targets, followed by padding as well.
        table: int32 `[sequences, 4]`: for each sequence, the start of its inputs, the number of its
            frames, the start of its targets, and their number.
        room: length of the longest sequence, rounded up to a whole block.
        label_room: `room` if there is a target for every frame, else the most labels of a sequence.
    """

    inputs: Any
    targets: Any
    table: Any
    room: int
    label_room: int

    @classmethod
    def of(cls, split: Sequences) -> Split:
        """Copies a split to the device."""
        frames = split.lengths
        labels = np.array([len(targets) for targets in split.targets])
        room = blocks_for(int(frames.max())) * BLOCK
        label_room = room if np.array_equal(labels, frames) else int(labels.max())
        columns = [_starts(frames), frames, _starts(labels), labels]
        return cls(
            _joined(split.inputs, room),
            _joined(split.targets, label_room),
            jnp.asarray(np.stack(columns, axis=1).astype(np.int32)),
            room,
            label_room,
        )

    @property
    def lengths(self) -> np.ndarray:
        """Number of frames of each sequence."""
        return np.asarray(self.table)[:, 1]

    def sequence(self, index: Any, steps: Any) -> gradients.Sequence:
        """Extracts a sequence, in compiled code.

        Args:
            index: index of the sequence.
            steps: see `gradients.Sequence`.
        """
        start, frames, first, labels = self.table[index]
        inputs = lax.dynamic_slice_in_dim(self.inputs, start, self.room)
        targets = lax.dynamic_slice_in_dim(self.targets, first, self.label_room)
        return gradients.Sequence(inputs, targets, frames, labels, steps)


jax.tree_util.register_dataclass(
    Split, data_fields=["inputs", "targets", "table"], meta_fields=["room", "label_room"]
)


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)[:-1]])


def _joined(arrays: Sequence[np.ndarray], room: int) -> Any:
    """Concatenates arrays and appends padding for the longest one."""
    padding = np.zeros((room, *arrays[0].shape[1:]), arrays[0].dtype)
    return jnp.asarray(np.concatenate([*arrays, padding]))


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings in which trials of one program differ, each with an axis of trials.

    Attributes:
        rate: learning rate of the update.
        momentum: momentum, float32.
        noise: standard deviation of the input noise.
        price: price of an inner step of a depth-adaptive cell.
        key: key of the epoch's noise, two words of uint32.
        order: indices of the sequences in visiting order, int32.
        updates: number of updates before the epoch.
        visited: number of visits that the trial has already completed, int32: in these its weights
            do not change. None for a trial that is trained alone.
        exists: for each weight 1 where the trial has it, 0 where `tuner.training.jax.padding` has
            added it; empty if the gradients of added weights are zero anyway.
    """

    rate: Any
    momentum: Any
    noise: Any
    price: Any
    key: Any
    order: Any
    updates: Any
    visited: Any | None
    exists: Arrays


jax.tree_util.register_dataclass(Settings)


def build(
    task: Task, variant: str, units: int, options: Options = ()
) -> tuple[Network, list[tuple[int, ...]]]:
    """Makes the network of a task.

    Args:
        task: provides inputs, outputs, head and direction.
        variant: code of the cell.
        units: size of the cell.
        options: further arguments of the cell.

    Returns:
        The network, and the shapes of its weights in the order of
        `tuner.training.network.make_network`.

    Raises:
        ValueError: if the cell keeps anything besides weights and states.
    """
    cell: Any = cell_class(variant)(units, **dict(options))
    cell.build((1, task.inputs))
    step, size = Step(cell, task.inputs), int(cell.output_size)
    ways = (False, True) if task.bidirectional else (False,)
    ponders = isinstance(cell, DepthAdaptiveCell)
    directions = tuple(
        Direction(step, size, backward=backward, ponders=ponders) for backward in ways
    )
    shapes = [tuple(weight.shape) for weight in cell.trainable_variables] * len(ways)
    shapes += [(size * len(ways), task.outputs), (task.outputs,)]
    return Network(directions, LOSSES[task.head]), shapes


class Program:
    """The compiled code of one network, for a fixed number of trials side by side.

    All arrays of trials have a leading axis, along which JAX distributes them over devices if they
    are placed so.
    """

    def __init__(self, network: Network, update: Update, trials: int) -> None:
        """Prepares the code, which is compiled on its first call.

        Args:
            network: the network, see `build`.
            update: update rule of the optimizer.
            trials: number of trials side by side.
        """
        self._network = network
        self._update = update
        over = _over_trials(trials)
        none = (None, None, None, None)
        self._epoch: Any = jax.jit(over(self._train, (0, 0, 0, *none)), donate_argnums=(0, 1))
        self._logits: Any = jax.jit(over(self._compute, (0, *none)))

    def epoch(
        self,
        weights: Arrays,
        slots: Arrays,
        settings: Settings,
        split: Split,
        first: int,
        last: int,
    ) -> tuple[Arrays, Arrays, np.ndarray]:
        """Trains on a range of visits of an epoch.

        Args:
            weights: arrays `[trials, ...]`; their buffers are donated, as are those of the slots.
            slots: slots of the optimizer, those of one weight next to each other.
            settings: settings of the trials.
            split: the training sequences.
            first: first visit.
            last: visit before which to stop.

        Returns:
            Weights, slots, and the losses of the visits, float32 `[trials, visits]`.
        """
        steps = split.lengths[np.asarray(settings.order)].max(axis=0)
        weights, slots, losses = self._epoch(weights, slots, settings, split, steps, first, last)
        return weights, slots, np.asarray(losses)[:, first:last]

    def _train(
        self,
        weights: Arrays,
        slots: Arrays,
        settings: Settings,
        split: Split,
        steps: Any,
        first: Any,
        last: Any,
    ) -> tuple[Arrays, Arrays, Any]:
        rule, each = self._update.step, self._update.slots

        def visit(number: Any, carry: Any) -> Any:
            weights, slots, losses = carry
            sequence = split.sequence(settings.order[number], steps[number])
            room, features = sequence.inputs.shape
            count = sequence.frames * features
            drawn = noise.standard_normal(settings.key, number, count, room * features)
            noisy = sequence.inputs + settings.noise * drawn.reshape(room, features)
            sequence = dataclasses.replace(sequence, inputs=noisy)
            loss, parts = self._network.gradients(weights, sequence, settings.price)
            if settings.exists:
                parts = [part * one for part, one in zip(parts, settings.exists, strict=True)]
            done = (settings.updates + number + 1).astype(jnp.float32)
            new, new_slots = [], []
            for place, (weight, part) in enumerate(zip(weights, parts, strict=True)):
                own = slots[place * each : (place + 1) * each]
                weight, own = rule(weight, part, own, settings.rate, settings.momentum, done)
                new.append(weight)
                new_slots += own
            if settings.visited is not None:
                ahead = number < settings.visited
                new, new_slots = jax.tree.map(
                    lambda old, other: jnp.where(ahead, old, other),
                    (weights, slots), (new, new_slots),
                )  # fmt: skip
            return new, new_slots, losses.at[number].set(loss)

        losses = jnp.zeros(len(settings.order))
        done: tuple[Arrays, Arrays, Any] = lax.fori_loop(
            first, last, visit, (weights, slots, losses)
        )
        return done

    def logits(self, weights: Arrays, split: Split) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the index and the logits `[trials, time, outputs]` of each sequence in a split."""
        lengths = split.lengths
        ends, first = np.cumsum(lengths), 0
        starts = ends - lengths
        while first < len(lengths):
            base = starts[first]
            last = max(first + 1, int(np.searchsorted(ends, base + _CHUNK, side="right")))
            found = np.asarray(self._logits(weights, split, first, last, base))
            for index in range(first, last):
                yield index, found[:, starts[index] - base : ends[index] - base]
            first = last

    def _compute(self, weights: Arrays, split: Split, first: Any, last: Any, base: Any) -> Any:
        def one(index: Any, found: Any) -> Any:
            start, frames, *_ = split.table[index]
            logits = self._network.logits(weights, split.sequence(index, frames))
            # The next sequence overwrites everything past the end of this one.
            return lax.dynamic_update_slice_in_dim(found, logits, start - base, 0)

        found = jnp.zeros((_CHUNK + split.room, weights[-1].shape[0]))
        return lax.fori_loop(first, last, one, found)


def _over_trials(trials: int) -> Callable[[Any, tuple[int | None, ...]], Any]:
    """Makes a transformation that adds a leading axis of trials to a function of one trial."""
    if trials > 1:
        return lambda function, axes: jax.vmap(function, in_axes=axes)

    def alone(function: Any, axes: tuple[int | None, ...]) -> Any:
        # An axis of length 1 would cost time in every product.
        def lifted(*arguments: Any) -> Any:
            own = [
                argument if axis is None else jax.tree.map(lambda array: array[0], argument)
                for argument, axis in zip(arguments, axes, strict=True)
            ]
            return jax.tree.map(lambda array: array[None], function(*own))

        return lifted

    return alone
