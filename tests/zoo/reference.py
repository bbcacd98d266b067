"""The LSTM variants in NumPy, from the equations of Greff et al. 2015.

The yardstick of the tests, so it shares nothing with `zoo` but the names of the switches. Vectors
and matrices are those of the paper (`W @ x` for one sequence, one time step); only `unpack` knows
how Keras stores them. All of it also runs on complex numbers, which is how `gradient`
differentiates it to machine precision.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

Array = np.ndarray
Arrays = Mapping[str, Array]
Loss = Callable[[dict[str, Array]], Any]


@dataclasses.dataclass(frozen=True)
class Switches:
    """What a variant has; a `zoo.Variant` serves in its place."""

    input_gate: bool = True
    forget_gate: bool = True
    output_gate: bool = True
    coupled: bool = False
    input_activation: bool = True
    output_activation: bool = True
    peepholes: bool = True
    gate_recurrence: bool = False


SWITCHES = {
    "V": Switches(),
    "NIG": Switches(input_gate=False),
    "NFG": Switches(forget_gate=False),
    "NOG": Switches(output_gate=False),
    "NIAF": Switches(input_activation=False),
    "NOAF": Switches(output_activation=False),
    "CIFG": Switches(forget_gate=False, coupled=True),
    "NP": Switches(peepholes=False),
    "FGR": Switches(gate_recurrence=True),
}

CODES = tuple(SWITCHES)
"""The variants in the order of the paper."""


def switches(variant: Any) -> Any:
    """The switches of a code; switches themselves stay as they are."""
    return SWITCHES[variant] if isinstance(variant, str) else variant


@functools.cache
def gates(variant: Any) -> str:
    """Blocks of kernel, recurrent kernel and bias, in the order in which the zoo documents them."""
    has = switches(variant)
    return "i" * has.input_gate + "f" * has.forget_gate + "z" + "o" * has.output_gate


@functools.cache
def peepholes(variant: Any) -> str:
    """Blocks of the peephole vector."""
    return gates(variant).replace("z", "") if switches(variant).peepholes else ""


@functools.cache
def recurrent(variant: Any) -> str:
    """Blocks of the state of the gates, and rows and columns of their kernel."""
    return gates(variant).replace("z", "") if switches(variant).gate_recurrence else ""


GATES = {code: gates(code) for code in CODES}
PEEPHOLES = {code: peepholes(code) for code in CODES}


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def blocks(array: Array, names: str) -> dict[str, Array]:
    """Cuts the last axis into equal blocks with one-letter names."""
    size, rest = divmod(array.shape[-1], len(names)) if names else (0, 0)
    assert not rest, (array.shape, names)
    return {name: array[..., k * size : (k + 1) * size] for k, name in enumerate(names)}


def unpack(
    variant: Any,
    weights: Arrays,
    activation: Callable[[Array], Array] = np.tanh,
    recurrent_activation: Callable[[Array], Array] = sigmoid,
) -> SimpleNamespace:
    """Takes the weights of a cell apart, into the symbols of the paper.

    Args:
        variant: a code, or switches.
        weights: the cell's weights by their name in Keras; without `bias` the biases are 0.
        activation: g and h.
        recurrent_activation: sigma.

    Returns:
        W_i, R_i, b_i, p_i, ... for every gate that has them, R_ab (from gate a to gate b), and g,
        h, sigma.
    """
    symbols: dict[str, Any] = {"g": activation, "h": activation, "sigma": recurrent_activation}
    for gate, block in blocks(weights["kernel"], gates(variant)).items():
        symbols[f"W_{gate}"] = block.T
        symbols[f"b_{gate}"] = 0.0
    for gate, block in blocks(weights["recurrent_kernel"], gates(variant)).items():
        symbols[f"R_{gate}"] = block.T
    if "bias" in weights:
        for gate, block in blocks(weights["bias"], gates(variant)).items():
            symbols[f"b_{gate}"] = block
    if peepholes(variant):
        for gate, block in blocks(weights["peephole"], peepholes(variant)).items():
            symbols[f"p_{gate}"] = block
    if recurrent(variant):
        kernel = weights["gate_recurrent_kernel"]
        for target, columns in blocks(kernel, recurrent(variant)).items():
            for source, block in blocks(columns.T, recurrent(variant)).items():
                symbols[f"R_{source}{target}"] = block
    return SimpleNamespace(**symbols)


def step(
    variant: Any, n: SimpleNamespace, x: Array, y: Array, c: Array, gate_state: Array | None = None
) -> tuple[Array, ...]:
    """One step of one sequence: the next y, c, and state of the gates where there is one."""
    has = switches(variant)
    previous = {} if gate_state is None else blocks(gate_state, recurrent(variant))

    def gate(to: str, cell: Array) -> Array:
        total = getattr(n, f"W_{to}") @ x + getattr(n, f"R_{to}") @ y + getattr(n, f"b_{to}")
        for source, value in previous.items():
            total = total + getattr(n, f"R_{source}{to}") @ value
        if has.peepholes:
            total = total + getattr(n, f"p_{to}") * cell
        return n.sigma(total)

    z = n.W_z @ x + n.R_z @ y + n.b_z
    z = n.g(z) if has.input_activation else z
    i = gate("i", c) if has.input_gate else 1.0
    f = gate("f", c) if has.forget_gate else (1 - i if has.coupled else 1.0)
    new = z * i + c * f
    o = gate("o", new) if has.output_gate else 1.0
    y = (n.h(new) if has.output_activation else new) * o
    if gate_state is None:
        return y, new
    present = {"i": i, "f": f, "o": o}
    return y, new, np.concatenate([present[name] for name in recurrent(variant)])


def forward(
    variant: Any,
    weights: Arrays,
    inputs: Array,
    states: Sequence[Array],
    mask: Array | None = None,
    input_dropout: Array | None = None,
    recurrent_dropout: Array | None = None,
    **activations: Callable[[Array], Array],
) -> tuple[Array, list[Array]]:
    """Runs a batch of sequences, one sequence and one step at a time.

    Args:
        variant: a code, or switches.
        weights: as `unpack` takes them.
        inputs: `(batch, time, features)`.
        states: the initial states, each `(batch, size)`.
        mask: `(batch, time)`; a step where it is False keeps the states and repeats the last
            output, which before the first step is 0 (what `keras.layers.RNN` does).
        input_dropout: `(batch, features)`, multiplies the inputs of every step.
        recurrent_dropout: `(batch, units)`, multiplies the block output on its way back.
        **activations: as `unpack` takes them.

    Returns:
        The outputs `(batch, time, units)` and the final states.
    """
    network = unpack(variant, weights, **activations)
    outputs, finals = [], []
    for row, sequence in enumerate(inputs):
        state = [part[row] for part in states]
        output = np.zeros_like(state[0])
        outputs.append([])
        for time, x in enumerate(sequence):
            if mask is None or mask[row, time]:
                y, *rest = state
                if input_dropout is not None:
                    x = x * input_dropout[row]
                if recurrent_dropout is not None:
                    y = y * recurrent_dropout[row]
                state = list(step(variant, network, x, y, *rest))
                output = state[0]
            outputs[-1].append(output)
        finals.append(state)
    return np.array(outputs), [np.array(part) for part in zip(*finals, strict=True)]


def gradient(loss: Loss, point: Arrays) -> dict[str, Array]:
    """Differentiates a real analytic function by complex steps, `Im f(x + ih) / h`.

    No difference is taken, so nothing cancels: with h = 1e-30 the result is exact up to rounding.
    """
    step = 1e-30
    return _each_entry(point, complex, lambda moved: np.imag(loss(moved(1j * step))) / step)


def central_differences(loss: Loss, point: Arrays, step: float = 1e-5) -> dict[str, Array]:
    """Differentiates any smooth function by `(f(x + h) - f(x - h)) / 2h`, good to about h^2."""

    def quotient(moved: Callable[[float], dict[str, Array]]) -> float:
        return (float(loss(moved(step))) - float(loss(moved(-step)))) / (2 * step)

    return _each_entry(point, float, quotient)


def _each_entry(
    point: Arrays, dtype: type, derivative: Callable[[Callable[..., dict[str, Array]]], float]
) -> dict[str, Array]:
    """Calls `derivative` for every entry of `point`, with a function that moves that entry."""
    result = {}
    for name, array in point.items():
        result[name] = np.empty(array.shape)
        for index in np.ndindex(array.shape):

            def moved(by: Any, name: str = name, index: tuple = index) -> dict[str, Array]:
                changed = {key: value.astype(dtype) for key, value in point.items()}
                changed[name][index] += by
                return changed

            result[name][index] = derivative(moved)
    return result
