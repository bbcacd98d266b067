"""Networks, losses, metrics and training of the paper in NumPy and float64, one by one.

The yardstick of the engines' tests: it shares with `tuner` only the random streams. Losses also run
on complex numbers, which is how they are differentiated to machine precision.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np

from tests.zoo import reference as equations
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, Task
from tuner.training import random_streams
from tuner.training.protocol import Protocol, Trial

Array = np.ndarray
Point = dict[str, Array]


def _cell_shapes(variant: str, inputs: int, units: int) -> dict[str, tuple[int, ...]]:
    gates, peepholes = len(equations.GATES[variant]), len(equations.PEEPHOLES[variant])
    shapes: dict[str, tuple[int, ...]] = {
        "kernel": (inputs, gates * units),
        "recurrent_kernel": (units, gates * units),
        "bias": (gates * units,),
    }
    if peepholes:
        shapes["peephole"] = (peepholes * units,)
    if variant == "FGR":
        shapes["gate_recurrent_kernel"] = (3 * units, 3 * units)
    return shapes


def weight_shapes(task: Task, variant: str, units: int) -> dict[str, tuple[int, ...]]:
    """All weights of a task's network, in the order of `Model.get_weights()`."""
    directions = ("forward", "backward") if task.bidirectional else ("forward",)
    shapes = {
        f"{direction} {name}": shape
        for direction in directions
        for name, shape in _cell_shapes(variant, task.inputs, units).items()
    }
    hidden = len(directions) * units
    return {**shapes, "kernel": (hidden, task.outputs), "bias": (task.outputs,)}


def named(task: Task, variant: str, units: int, weights: Sequence[Array]) -> Point:
    """Names weights that come in the order of `Model.get_weights()`."""
    shapes = weight_shapes(task, variant, units)
    assert [weight.shape for weight in weights] == list(shapes.values())
    return {name: part.astype(float) for name, part in zip(shapes, weights, strict=True)}


def logits(task: Task, variant: str, point: Point, inputs: Array) -> Array:
    """Outputs of the network for one sequence, `[time, outputs]`."""

    def read(direction: str, sequence: Array) -> Array:
        weights = {
            name.removeprefix(f"{direction} "): part
            for name, part in point.items()
            if name.startswith(f"{direction} ")
        }
        units = weights["recurrent_kernel"].shape[0]
        sizes = [units, units, 3 * units] if variant == "FGR" else [units, units]
        start = [np.zeros((1, size)) for size in sizes]
        return equations.forward(variant, weights, sequence[np.newaxis], start)[0][0]

    hidden = read("forward", inputs)
    if task.bidirectional:
        hidden = np.concatenate([hidden, read("backward", inputs[::-1])[::-1]], axis=1)
    return hidden @ point["kernel"] + point["bias"]


def bernoulli_loss(targets: Array, logits: Array) -> complex:
    probability = equations.sigmoid(logits)
    return -np.sum(targets * np.log(probability) + (1 - targets) * np.log(1 - probability))


def _softmax(logits: Array) -> Array:
    return np.exp(logits) / np.sum(np.exp(logits), axis=-1, keepdims=True)


def softmax_loss(targets: Array, logits: Array) -> complex:
    probability = _softmax(logits)
    return -sum(np.log(probability[frame, target]) for frame, target in enumerate(targets))


def ctc_loss(targets: Array, logits: Array) -> complex:
    """By the forward variables of Graves et al. 2006, section 4.1, as probabilities."""
    y, blank = _softmax(logits), logits.shape[1] - 1
    extended = [blank, *itertools.chain.from_iterable((label, blank) for label in targets)]
    alpha = {0: y[0, blank], 1: y[0, extended[1]]}
    for frame in y[1:]:
        before = alpha
        alpha = {}
        for s, label in enumerate(extended):
            total = before.get(s, 0) + before.get(s - 1, 0)
            if label != blank and s >= 2 and label != extended[s - 2]:
                total += before.get(s - 2, 0)
            alpha[s] = total * frame[label]
    last = len(extended) - 1
    return -np.log(alpha.get(last, 0) + alpha[last - 1])


LOSSES = {"bernoulli": bernoulli_loss, "softmax": softmax_loss, "ctc": ctc_loss}


def edit_distance(one: Sequence[int], other: Sequence[int]) -> int:
    """Levenshtein's distance by its recursion."""

    @functools.cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        replaced = distance(i - 1, j - 1) + (one[i - 1] != other[j - 1])
        return min(replaced, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    return distance(len(one), len(other))


def collapse(path: Sequence[int], blank: int) -> list[int]:
    """Labels of a path: repeats merged, then blanks dropped."""
    return [label for label, _ in itertools.groupby(path) if label != blank]


def total_and_size(head: str, targets: Array, logits: Array) -> tuple[float, int]:
    """The metric of one sequence, as a sum and what it is divided by."""
    if head == "bernoulli":
        return float(bernoulli_loss(targets, logits)), len(logits)
    path = [max(range(len(frame)), key=frame.__getitem__) for frame in logits.tolist()]
    if head == "softmax":
        wrong = [found != target for found, target in zip(path, targets.tolist(), strict=True)]
        return 100.0 * sum(wrong), len(logits)
    found = collapse(path, logits.shape[1] - 1)
    return 100.0 * edit_distance(found, targets.tolist()), len(targets)


def score(task: Task, variant: str, point: Point, split: Sequences) -> tuple[float, float]:
    """Both means of the metric on a split."""
    pairs = [
        total_and_size(task.head, targets, logits(task, variant, point, inputs.astype(float)))
        for inputs, targets in zip(split.inputs, split.targets, strict=True)
    ]
    totals, sizes = np.array(pairs).T
    return totals.sum() / sizes.sum(), float(np.mean(totals / sizes))


def train(
    task: Task, corpus: Corpus, trial: Trial, protocol: Protocol
) -> tuple[list[tuple[float, float, float]], Point]:
    """The protocol of the paper without early stopping.

    Returns:
        Training loss a frame and both validation means after every epoch; the last weights.
    """
    shapes = weight_shapes(task, trial.variant, trial.units)
    drawn = random_streams.initial_weights(trial.seed, list(shapes.values()), protocol.weight_std)
    point = named(task, trial.variant, trial.units, drawn)
    velocity = {name: np.zeros(part.shape) for name, part in point.items()}
    rate, momentum = trial.learning_rate * (1 - trial.momentum), trial.momentum
    split = corpus.train

    def loss(at: Point, inputs: Array, targets: Array) -> complex:
        return LOSSES[task.head](targets, logits(task, trial.variant, at, inputs))

    curve = []
    for epoch in range(1, protocol.max_epochs + 1):
        order = random_streams.order(protocol.order_seed, epoch, len(split))
        noise = random_streams.noise(trial.seed, epoch, [split.inputs[i].shape for i in order], 0)
        total = 0.0
        for index, drawn_noise in zip(order, noise, strict=True):
            inputs = split.inputs[index] + trial.noise_std * drawn_noise.astype(float)
            here = functools.partial(loss, inputs=inputs, targets=split.targets[index])
            total += np.real(here(point))
            for name, part in equations.gradient(here, point).items():
                # Sutskever's form of Nesterov's step, at the point that looks ahead.
                velocity[name] = momentum * velocity[name] - rate * part
                point[name] = point[name] + momentum * velocity[name] - rate * part
        validation = score(task, trial.variant, point, corpus.validation)
        curve.append((total / split.lengths.sum(), *validation))
    return curve, point
