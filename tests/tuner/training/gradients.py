"""The equations of the paper in float64 and derivatives along directions: a judge of engines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.tuner import numpy_protocol
from tests.zoo import reference as equations
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Task
from zoo.variants import Variant

Array = np.ndarray


def lstm(variant: Variant, weights: list[Array], inputs: Array) -> Array:
    """Block outputs `[time, units]` of an LSTM with any switches; takes its weights off the list.

    Gates of the last step, for full gate recurrence, are in the order i f o.
    """
    has = {"i": variant.input_gate, "f": variant.forget_gate, "z": True, "o": variant.output_gate}
    blocks = "".join(gate for gate in "ifzo" if has[gate])
    gates = blocks.replace("z", "")
    kernel, recurrent_kernel, bias = (weights.pop(0) for _ in range(3))
    peepholes = equations.blocks(weights.pop(0), gates) if variant.peepholes and gates else {}
    gate_kernel = weights.pop(0) if variant.gate_recurrence and gates else None
    units = len(recurrent_kernel)
    h = c = np.zeros(units)
    before = np.zeros(len(gates) * units)
    outputs = []
    for x in inputs:
        net = equations.blocks(x @ kernel + h @ recurrent_kernel + bias, blocks)
        if gate_kernel is not None:
            for gate, block in equations.blocks(before @ gate_kernel, gates).items():
                net[gate] = net[gate] + block
        active = {
            gate: equations.sigmoid(net[gate] + peepholes.get(gate, 0.0) * c)
            for gate in gates.replace("o", "")
        }
        z = np.tanh(net["z"]) if variant.input_activation else net["z"]
        i = active.get("i", 1.0)
        c = z * i + c * (1 - i if variant.coupled else active.get("f", 1.0))
        if "o" in gates:
            active["o"] = equations.sigmoid(net["o"] + peepholes.get("o", 0.0) * c)
        h = (np.tanh(c) if variant.output_activation else c) * active.get("o", 1.0)
        before = np.concatenate([active[gate] for gate in gates]) if gates else before
        outputs.append(h)
    return np.array(outputs)


def in_numpy(task: Task, variant: Variant, weights: list[Array], sequence: Sequences) -> complex:
    """The loss of a network for the one sequence of a split."""
    weights, inputs = list(weights), sequence.inputs[0].astype(float)
    hidden = lstm(variant, weights, inputs)
    if task.bidirectional:
        backward = lstm(variant, weights, inputs[::-1])[::-1]
        hidden = np.concatenate([hidden, backward], axis=1)
    kernel, bias = weights
    return numpy_protocol.LOSSES[task.head](sequence.targets[0], hidden @ kernel + bias)


def check(
    task: Task,
    variant: Variant,
    sequence: Sequences,
    weights: Sequence[Array],
    loss: float,
    found: Sequence[Array],
    directions: int = 3,
) -> None:
    """Compares a loss, and the gradient of every array of weights along random directions.

    Args:
        task: for head and direction.
        variant: any legal combination of switches.
        sequence: a split of one sequence.
        weights: the network's, in the order of `keras.Model.get_weights()`.
        loss: what an engine says of them.
        found: the gradient that it says.
        directions: along how many to look at each array.
    """
    point = [weight.astype(float) for weight in weights]
    assert loss == pytest.approx(np.real(in_numpy(task, variant, point, sequence)), rel=1e-6)
    generator = np.random.default_rng(3)
    norm = np.sqrt(sum(float(np.sum(part**2)) for part in found))
    for index, part in enumerate(found):
        for _ in range(directions):
            # The derivative along a direction is one complex step.
            direction = generator.standard_normal(part.shape)
            moved = [*point]
            moved[index] = point[index] + 1e-30j * direction
            expected = np.imag(in_numpy(task, variant, moved, sequence)) / 1e-30
            # Rounding adds up like a random walk over the weights.
            error = 3e-7 * norm * np.sqrt(part.size)
            assert np.sum(part * direction) == pytest.approx(expected, abs=error), (variant, index)
