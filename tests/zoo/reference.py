"""The nine LSTMs in NumPy, written out one by one from the equations of Greff et al. 2015.

The yardstick of the tests, so it shares nothing with `zoo`: no flags, no common step. Vectors and
matrices are those of the paper (`W @ x` for one sequence, one time step); only `unpack` knows how
Keras stores them. All of it also runs on complex numbers, which is how `gradient` differentiates it
to machine precision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

Array = np.ndarray
Arrays = Mapping[str, Array]
Loss = Callable[[dict[str, Array]], Any]

CODES = ("V", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR")
"""The variants in the order of the paper."""

GATES = {
    "V": "ifzo",
    "NIG": "fzo",
    "NFG": "izo",
    "NOG": "ifz",
    "NIAF": "ifzo",
    "NOAF": "ifzo",
    "CIFG": "izo",
    "NP": "ifzo",
    "FGR": "ifzo",
}
"""Blocks of kernel, recurrent kernel and bias, in the order in which the zoo documents them."""

PEEPHOLES = {
    "V": "ifo",
    "NIG": "fo",
    "NFG": "io",
    "NOG": "if",
    "NIAF": "ifo",
    "NOAF": "ifo",
    "CIFG": "io",
    "NP": "",
    "FGR": "ifo",
}
"""Blocks of the peephole vector."""


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def blocks(array: Array, names: str) -> dict[str, Array]:
    """Cuts the last axis into equal blocks with one-letter names."""
    return dict(zip(names, np.split(array, len(names), axis=-1), strict=True)) if names else {}


def unpack(
    code: str,
    weights: Arrays,
    activation: Callable[[Array], Array] = np.tanh,
    recurrent_activation: Callable[[Array], Array] = sigmoid,
) -> SimpleNamespace:
    """Takes the weights of a cell apart, into the symbols of the paper.

    Args:
        code: a variant.
        weights: the cell's weights by their name in Keras; without `bias` the biases are 0.
        activation: g and h.
        recurrent_activation: sigma.

    Returns:
        W_i, R_i, b_i, p_i, ... for every gate that has them, R_ab (from gate a to gate b), and g,
        h, sigma.
    """
    symbols: dict[str, Any] = {"g": activation, "h": activation, "sigma": recurrent_activation}
    for gate, block in blocks(weights["kernel"], GATES[code]).items():
        symbols[f"W_{gate}"] = block.T
        symbols[f"b_{gate}"] = 0.0
    for gate, block in blocks(weights["recurrent_kernel"], GATES[code]).items():
        symbols[f"R_{gate}"] = block.T
    if "bias" in weights:
        for gate, block in blocks(weights["bias"], GATES[code]).items():
            symbols[f"b_{gate}"] = block
    if PEEPHOLES[code]:
        for gate, block in blocks(weights["peephole"], PEEPHOLES[code]).items():
            symbols[f"p_{gate}"] = block
    if code == "FGR":
        for target, columns in blocks(weights["gate_recurrent_kernel"], "ifo").items():
            for source, block in blocks(columns.T, "ifo").items():
                symbols[f"R_{source}{target}"] = block
    return SimpleNamespace(**symbols)


def _vanilla(n: SimpleNamespace, x: Array, y: Array, c: Array) -> tuple[Array, ...]:
    z = n.g(n.W_z @ x + n.R_z @ y + n.b_z)
    i = n.sigma(n.W_i @ x + n.R_i @ y + n.p_i * c + n.b_i)
    f = n.sigma(n.W_f @ x + n.R_f @ y + n.p_f * c + n.b_f)
    c = z * i + c * f
    o = n.sigma(n.W_o @ x + n.R_o @ y + n.p_o * c + n.b_o)
    return n.h(c) * o, c


def _no_input_gate(n: SimpleNamespace, x: Array, y: Array, c: Array) -> tuple[Array, ...]:
    z = n.g(n.W_z @ x + n.R_z @ y + n.b_z)
    f = n.sigma(n.W_f @ x + n.R_f @ y + n.p_f * c + n.b_f)
    c = z + c * f
    o = n.sigma(n.W_o @ x + n.R_o @ y + n.p_o * c + n.b_o)
    return n.h(c) * o, c


def _no_forget_gate(n: SimpleNamespace, x: Array, y: Array, c: Array) -> tuple[Array, ...]:
    z = n.g(n.W_z @ x + n.R_z @ y + n.b_z)
    i = n.sigma(n.W_i @ x + n.R_i @ y + n.p_i * c + n.b_i)
    c = z * i + c
    o = n.sigma(n.W_o @ x + n.R_o @ y + n.p_o * c + n.b_o)
    return n.h(c) * o, c


def _no_output_gate(n: SimpleNamespace, x: Array, y: Array, c: Array) -> tuple[Array, ...]:
    z = n.g(n.W_z @ x + n.R_z @ y + n.b_z)
    i = n.sigma(n.W_i @ x + n.R_i @ y + n.p_i * c + n.b_i)
    f = n.sigma(n.W_f @ x + n.R_f @ y + n.p_f * c + n.b_f)
    c = z * i + c * f
    return n.h(c), c


def _no_input_activation(n: SimpleNamespace, x: Array, y: Array, c: Array) -> tuple[Array, ...]:
    z = n.W_z @ x + n.R_z @ y + n.b_z
    i = n.sigma(n.W_i @ x + n.R_i @ y + n.p_i * c + n.b_i)
    f = n.sigma(n.W_f @ x + n.R_f @ y + n.p_f * c + n.b_f)
    c = z * i + c * f
    o = n.sigma(n.W_o @ x + n.R_o @ y + n.p_o * c + n.b_o)
    return n.h(c) * o, c


def _no_output_activation(n: SimpleNamespace, x: Array, y: Array, c: Array) -> tuple[Array, ...]:
    z = n.g(n.W_z @ x + n.R_z @ y + n.b_z)
    i = n.sigma(n.W_i @ x + n.R_i @ y + n.p_i * c + n.b_i)
    f = n.sigma(n.W_f @ x + n.R_f @ y + n.p_f * c + n.b_f)
    c = z * i + c * f
    o = n.sigma(n.W_o @ x + n.R_o @ y + n.p_o * c + n.b_o)
    return c * o, c


def _coupled(n: SimpleNamespace, x: Array, y: Array, c: Array) -> tuple[Array, ...]:
    z = n.g(n.W_z @ x + n.R_z @ y + n.b_z)
    i = n.sigma(n.W_i @ x + n.R_i @ y + n.p_i * c + n.b_i)
    f = 1 - i
    c = z * i + c * f
    o = n.sigma(n.W_o @ x + n.R_o @ y + n.p_o * c + n.b_o)
    return n.h(c) * o, c


def _no_peepholes(n: SimpleNamespace, x: Array, y: Array, c: Array) -> tuple[Array, ...]:
    z = n.g(n.W_z @ x + n.R_z @ y + n.b_z)
    i = n.sigma(n.W_i @ x + n.R_i @ y + n.b_i)
    f = n.sigma(n.W_f @ x + n.R_f @ y + n.b_f)
    c = z * i + c * f
    o = n.sigma(n.W_o @ x + n.R_o @ y + n.b_o)
    return n.h(c) * o, c


def _full_gate_recurrence(
    n: SimpleNamespace, x: Array, y: Array, c: Array, gates: Array
) -> tuple[Array, ...]:
    i, f, o = np.split(gates, 3)
    from_gates_to_i = n.R_ii @ i + n.R_fi @ f + n.R_oi @ o
    from_gates_to_f = n.R_if @ i + n.R_ff @ f + n.R_of @ o
    from_gates_to_o = n.R_io @ i + n.R_fo @ f + n.R_oo @ o
    z = n.g(n.W_z @ x + n.R_z @ y + n.b_z)
    i = n.sigma(n.W_i @ x + n.R_i @ y + from_gates_to_i + n.p_i * c + n.b_i)
    f = n.sigma(n.W_f @ x + n.R_f @ y + from_gates_to_f + n.p_f * c + n.b_f)
    c = z * i + c * f
    o = n.sigma(n.W_o @ x + n.R_o @ y + from_gates_to_o + n.p_o * c + n.b_o)
    return n.h(c) * o, c, np.concatenate([i, f, o])


STEPS: dict[str, Callable[..., tuple[Array, ...]]] = {
    "V": _vanilla,
    "NIG": _no_input_gate,
    "NFG": _no_forget_gate,
    "NOG": _no_output_gate,
    "NIAF": _no_input_activation,
    "NOAF": _no_output_activation,
    "CIFG": _coupled,
    "NP": _no_peepholes,
    "FGR": _full_gate_recurrence,
}


def forward(
    code: str,
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
        code: a variant.
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
    network = unpack(code, weights, **activations)
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
                state = list(STEPS[code](network, x, y, *rest))
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
