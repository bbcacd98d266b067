"""One direction of an LSTM through time and back, for all nine variants.

The equations are those of `zoo.variants`. What differs between the variants are the switches of
`Shape`, asked once for a gate and step: inside a gate's loop there are none, so that it is
vectorized. The derivatives are written beside the equations that they belong to.

Steps are counted in the order of reading: step s of the backward direction is frame T - 1 - s. In
the arrays of a direction row s is step s; rows of the input and of the hidden layer are frames, and
their stride is negative for the backward direction.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tuner.native.compiling import compiled
from tuner.native.functions import sigmoid, tanh
from tuner.native.layout import Parameters, Shape
from tuner.native.products import (
    add_column_product,
    add_row_product,
    assign_product,
    descend_product,
)

_ZERO = np.float32(0)
_ONE = np.float32(1)

# As arguments, literal numbers would make Numba compile a function once more for them.
_START = np.int64(0)
_NEXT = np.int64(1)


class Activity(NamedTuple):
    """What a sequence does in the network; flat float32, for the longest sequence.

    Attributes:
        inputs: [frames, inputs + 1], the last always 1.
        gates: activations i f z o, [directions, frames, gates, width].
        cells: c, [directions, frames + 1, width]; row s is the cell before step s.
        squashed: h(c), [directions, frames, width].
        seen: activations i f o for the gate recurrence, [directions, frames, 3, width].
        hidden: h, [frames, directions * width + 1], the last always 1.
        deltas: ∂loss/∂(net input) of the gates, as `gates`.
        hidden_slopes: ∂loss/∂h, [frames, directions * width].
        cell_slope: ∂loss/∂c of the step after, [width].
        gate_slopes: ∂loss/∂(i f o) through the step after, [3, width].
        sums: room for a peephole's gradient, [width].
        logits: outputs and then ∂loss/∂outputs, [frames, output_width].
        transposed: the output kernel with rows and columns exchanged.
    """

    inputs: np.ndarray
    gates: np.ndarray
    cells: np.ndarray
    squashed: np.ndarray
    seen: np.ndarray
    hidden: np.ndarray
    deltas: np.ndarray
    hidden_slopes: np.ndarray
    cell_slope: np.ndarray
    gate_slopes: np.ndarray
    sums: np.ndarray
    logits: np.ndarray
    transposed: np.ndarray


def room_for(shape: Shape, frames: int) -> Activity:
    """Makes room for sequences of up to `frames` frames."""
    directions, width = shape.directions, shape.width
    sizes = Activity(
        inputs=frames * (shape.inputs + 1),
        gates=directions * frames * shape.gates * width,
        cells=directions * (frames + 1) * width,
        squashed=directions * frames * width,
        seen=directions * frames * shape.recurrent_gates * width,
        hidden=frames * (directions * width + 1),
        deltas=directions * frames * shape.gates * width,
        hidden_slopes=frames * directions * width,
        cell_slope=width,
        gate_slopes=3 * width,
        sums=width,
        logits=frames * shape.output_width,
        transposed=directions * width * shape.output_width,
    )
    activity = Activity(*(np.zeros(size, np.float32) for size in sizes))
    activity.inputs[shape.inputs :: shape.inputs + 1] = 1
    activity.hidden[directions * width :: directions * width + 1] = 1
    return activity


@compiled
def _rows(shape, direction, length, row):  # type: ignore[no-untyped-def]
    """Returns place and stride of rows that are frames, in the order of reading."""
    return (0, row) if direction == 0 else ((length - 1) * row, -row)


@compiled
def _squash_gate(gates, at, cells, cell, peephole, weights, width):  # type: ignore[no-untyped-def]
    """σ(net + p ⊙ c); `peephole` below 0 means none."""
    net = gates[at : at + width]
    if peephole >= 0:
        seen, weight = cells[cell : cell + width], weights[peephole : peephole + width]
        for unit in range(width):
            net[unit] += weight[unit] * seen[unit]
    for unit in range(width):
        net[unit] = sigmoid(net[unit])


@compiled
def _peephole(shape, place, direction):  # type: ignore[no-untyped-def]
    """Returns where a peephole's weights begin, -1 for one that a variant lacks."""
    return (direction * shape.peepholes + place) * shape.width if place >= 0 else -1


@compiled
def _keep_gates(shape, gates, at, seen, to):  # type: ignore[no-untyped-def]
    """Copies i, f, o of a step for the next step's gate recurrence; padding stays 0."""
    width = shape.width
    for gate in range(3):
        # The block input stands between f and o.
        start = at + (gate if gate < 2 else 3) * width
        for unit in range(shape.units):
            seen[to + gate * width + unit] = gates[start + unit]


@compiled
def _add_gate_recurrence(shape, kernel, kernel_at, seen, before, gates, at):  # type: ignore[no-untyped-def]
    """Adds (i f o) of the step before, times the gate recurrence, to the net inputs of i f o."""
    width = shape.width
    row = 3 * width
    add_row_product(gates, at, seen, before, kernel, kernel_at, row, 2 * width, row)
    add_row_product(
        gates, at + 3 * width, seen, before, kernel, kernel_at + 2 * width, row, width, row
    )


@compiled
def _step(shape, parameters, activity, direction, at, cell, squashed, hidden):  # type: ignore[no-untyped-def]
    """Computes gates, cell and block output of one step from the gates' net inputs.

    Args:
        shape: switches.
        parameters: for the peepholes.
        activity: where all of it is.
        direction: which direction.
        at: place of the step's gates.
        cell: place of the cell before the step; the new one comes behind it.
        squashed: place of h(c).
        hidden: place of the block output.
    """
    width, gates, cells = shape.width, activity.gates, activity.cells
    peephole = parameters.peephole
    old, new = cells[cell : cell + width], cells[cell + width : cell + 2 * width]

    # z = g(net), c' = z ⊙ i + c ⊙ f
    start = at + shape.block_input * width
    z = gates[start : start + width]
    if shape.input_activation:
        for unit in range(width):
            z[unit] = tanh(z[unit])
    if shape.input_gate >= 0:
        start = at + shape.input_gate * width
        place = _peephole(shape, shape.input_peephole, direction)
        _squash_gate(gates, start, cells, cell, place, peephole, width)
        i = gates[start : start + width]
        if shape.coupled:
            for unit in range(width):
                new[unit] = z[unit] * i[unit] + old[unit] * (_ONE - i[unit])
        else:
            for unit in range(width):
                new[unit] = z[unit] * i[unit]
    else:
        for unit in range(width):
            new[unit] = z[unit]
    if shape.forget_gate >= 0:
        start = at + shape.forget_gate * width
        place = _peephole(shape, shape.forget_peephole, direction)
        _squash_gate(gates, start, cells, cell, place, peephole, width)
        f = gates[start : start + width]
        for unit in range(width):
            new[unit] += old[unit] * f[unit]
    elif not shape.coupled:
        for unit in range(width):
            new[unit] += old[unit]

    # h = h(c') ⊙ o
    out, block_output = (
        activity.squashed[squashed : squashed + width],
        activity.hidden[hidden : hidden + width],
    )
    if shape.output_activation:
        for unit in range(width):
            out[unit] = tanh(new[unit])
    else:
        for unit in range(width):
            out[unit] = new[unit]
    if shape.output_gate >= 0:
        start = at + shape.output_gate * width
        place = _peephole(shape, shape.output_peephole, direction)
        _squash_gate(gates, start, cells, cell + width, place, peephole, width)
        o = gates[start : start + width]
        for unit in range(width):
            block_output[unit] = out[unit] * o[unit]
    else:
        for unit in range(width):
            block_output[unit] = out[unit]


@compiled
def forward(shape, parameters, activity, direction, frames, length):  # type: ignore[no-untyped-def]
    """Runs one direction over a sequence: from `activity.inputs` to `activity.hidden`.

    net = x W + b over all steps at once; then, step by step, net += h R (and the gate recurrence).

    Args:
        shape: sizes and switches.
        parameters: weights.
        activity: inputs; gates, cells and hidden layer are written.
        direction: 0 forward, 1 backward.
        frames: the length that there is room for.
        length: frames of the sequence.
    """
    width, gates = shape.width, activity.gates
    columns = shape.gates * width
    at = direction * frames * columns
    inputs_at, inputs_row = _rows(shape, direction, length, shape.inputs + 1)
    assign_product(
        gates, at, columns, activity.inputs, inputs_at, inputs_row, _NEXT, parameters.kernel,
        direction * (shape.inputs + 1) * columns, columns, length, columns, shape.inputs + 1,
    )  # fmt: skip
    hidden, hidden_row = _rows(shape, direction, length, shape.directions * width + 1)
    hidden += direction * width
    cell = direction * (frames + 1) * width
    squashed = direction * frames * width
    recurrent_at = direction * width * columns
    seen_row = shape.recurrent_gates * width
    seen = direction * frames * seen_row
    for step in range(length):
        if step > 0:
            before = hidden + (step - 1) * hidden_row
            add_row_product(
                gates, at, activity.hidden, before, parameters.recurrent_kernel, recurrent_at,
                columns, columns, width,
            )  # fmt: skip
            if shape.recurrent_gates:
                _add_gate_recurrence(
                    shape, parameters.gate_recurrent_kernel, direction * seen_row * seen_row,
                    activity.seen, seen + (step - 1) * seen_row, gates, at,
                )  # fmt: skip
        _step(
            shape, parameters, activity, direction, at, cell + step * width,
            squashed + step * width, hidden + step * hidden_row,
        )  # fmt: skip
        if shape.recurrent_gates:
            _keep_gates(shape, gates, at, activity.seen, seen + step * seen_row)
        at += columns


@compiled
def _step_back(shape, parameters, activity, direction, at, cell, squashed, slope):  # type: ignore[no-untyped-def]
    """Computes the deltas of one step from ∂loss/∂h, and ∂loss/∂c of the step before.

    Args:
        shape: switches.
        parameters: for the peepholes.
        activity: where all of it is.
        direction: which direction.
        at: place of the step's gates and deltas.
        cell: place of the cell before the step; the step's own comes behind it.
        squashed: place of h(c).
        slope: place of ∂loss/∂h.
    """
    width, gates, deltas = shape.width, activity.gates, activity.deltas
    peephole = parameters.peephole
    carried, through_gates = activity.cell_slope, activity.gate_slopes
    old = activity.cells[cell : cell + width]
    out = activity.squashed[squashed : squashed + width]
    from_hidden = activity.hidden_slopes[slope : slope + width]

    # h = h(c) ⊙ o: δo = (∂h h(c) + ∂o) o (1 - o),  ∂c += ∂h o h'(c) + p_o ⊙ δo
    if shape.output_gate >= 0:
        start = at + shape.output_gate * width
        o, delta = gates[start : start + width], deltas[start : start + width]
        extra = through_gates[2 * width :]
        for unit in range(width):
            upward = from_hidden[unit] * out[unit] + extra[unit]
            delta[unit] = upward * (o[unit] * (_ONE - o[unit]))
            from_hidden[unit] *= o[unit]
        place = _peephole(shape, shape.output_peephole, direction)
        if place >= 0:
            weight = peephole[place : place + width]
            for unit in range(width):
                carried[unit] += weight[unit] * delta[unit]
    if shape.output_activation:
        for unit in range(width):
            carried[unit] += from_hidden[unit] * (_ONE - out[unit] * out[unit])
    else:
        for unit in range(width):
            carried[unit] += from_hidden[unit]

    # c' = z ⊙ i + c ⊙ f: δz = ∂c i g',  δi = (∂c (z - c if coupled else z) + ∂i) i (1 - i),
    # δf = (∂c c + ∂f) f (1 - f),  ∂c of the step before = ∂c f + p_i ⊙ δi + p_f ⊙ δf
    start = at + shape.block_input * width
    z, delta_z = gates[start : start + width], deltas[start : start + width]
    if shape.input_gate >= 0:
        start = at + shape.input_gate * width
        i, delta = gates[start : start + width], deltas[start : start + width]
        for unit in range(width):
            delta_z[unit] = carried[unit] * i[unit]
        if shape.coupled:
            for unit in range(width):
                upward = carried[unit] * (z[unit] - old[unit]) + through_gates[unit]
                delta[unit] = upward * (i[unit] * (_ONE - i[unit]))
                carried[unit] *= _ONE - i[unit]
        else:
            for unit in range(width):
                upward = carried[unit] * z[unit] + through_gates[unit]
                delta[unit] = upward * (i[unit] * (_ONE - i[unit]))
    else:
        for unit in range(width):
            delta_z[unit] = carried[unit]
    if shape.input_activation:
        for unit in range(width):
            delta_z[unit] *= _ONE - z[unit] * z[unit]
    if shape.forget_gate >= 0:
        start = at + shape.forget_gate * width
        f, delta = gates[start : start + width], deltas[start : start + width]
        extra = through_gates[width : 2 * width]
        for unit in range(width):
            upward = carried[unit] * old[unit] + extra[unit]
            delta[unit] = upward * (f[unit] * (_ONE - f[unit]))
            carried[unit] *= f[unit]
        place = _peephole(shape, shape.forget_peephole, direction)
        if place >= 0:
            weight = peephole[place : place + width]
            for unit in range(width):
                carried[unit] += weight[unit] * delta[unit]
    place = _peephole(shape, shape.input_peephole, direction)
    if place >= 0:
        start = at + shape.input_gate * width
        weight, delta = peephole[place : place + width], deltas[start : start + width]
        for unit in range(width):
            carried[unit] += weight[unit] * delta[unit]


@compiled
def backward(shape, parameters, activity, direction, frames, length):  # type: ignore[no-untyped-def]
    """Runs one direction back: from `activity.hidden_slopes` to `activity.deltas`.

    Only slopes of the state are carried from step to step: ∂h of the step before is R δ.

    Args:
        shape: sizes and switches.
        parameters: weights.
        activity: what `forward` left, and ∂loss/∂h as far as it comes from the outputs.
        direction: 0 forward, 1 backward.
        frames: the length that there is room for.
        length: frames of the sequence.
    """
    width = shape.width
    columns = shape.gates * width
    gates = direction * frames * columns
    cell = direction * (frames + 1) * width
    squashed = direction * frames * width
    slope, slope_row = _rows(shape, direction, length, shape.directions * width)
    slope += direction * width
    seen_row = shape.recurrent_gates * width
    gate_kernel = direction * seen_row * seen_row
    activity.cell_slope[:] = _ZERO
    activity.gate_slopes[:] = _ZERO
    for step in range(length - 1, -1, -1):
        at = gates + step * columns
        _step_back(
            shape, parameters, activity, direction, at, cell + step * width,
            squashed + step * width, slope + step * slope_row,
        )  # fmt: skip
        if step > 0:
            add_column_product(
                activity.hidden_slopes, slope + (step - 1) * slope_row,
                parameters.recurrent_kernel, direction * width * columns, columns,
                activity.deltas, at, width, columns,
            )  # fmt: skip
            if shape.recurrent_gates:
                activity.gate_slopes[:] = _ZERO
                add_column_product(
                    activity.gate_slopes, _START, parameters.gate_recurrent_kernel, gate_kernel,
                    seen_row, activity.deltas, at, seen_row, 2 * width,
                )  # fmt: skip
                add_column_product(
                    activity.gate_slopes, _START, parameters.gate_recurrent_kernel,
                    gate_kernel + 2 * width, seen_row, activity.deltas, at + 3 * width, seen_row,
                    width,
                )  # fmt: skip


@compiled
def _descend_peephole(parameters, velocities, place, activity, delta, row, cell, width, length, momentum, rate):  # type: ignore[no-untyped-def] # noqa: E501
    """Moves a peephole: its gradient is Σ δ ⊙ c over the steps."""
    sums = activity.sums
    sums[:] = _ZERO
    for step in range(length):
        start = delta + step * row
        deltas = activity.deltas[start : start + width]
        start = cell + step * width
        cells = activity.cells[start : start + width]
        for unit in range(width):
            sums[unit] += deltas[unit] * cells[unit]
    weight = parameters.peephole[place : place + width]
    velocity = velocities.peephole[place : place + width]
    for unit in range(width):
        change = -rate * sums[unit]
        velocity[unit] = momentum * velocity[unit] + change
        weight[unit] += momentum * velocity[unit] + change


@compiled
def descend(shape, parameters, velocities, activity, direction, frames, length, momentum, rate):  # type: ignore[no-untyped-def]
    """Moves the weights of one direction; every gradient is one product over all steps.

        ∂W = Σ x ⊗ δ,   ∂R = Σ h_{t-1} ⊗ δ_t,   ∂p = Σ c ⊙ δ;   p_o sees the new cell

    Args:
        shape: sizes and switches.
        parameters: weights; they are moved.
        velocities: of the weights; they are moved.
        activity: what `forward` and `backward` left.
        direction: 0 forward, 1 backward.
        frames: the length that there is room for.
        length: frames of the sequence.
        momentum: Nesterov momentum.
        rate: learning rate.
    """
    width = shape.width
    columns = shape.gates * width
    deltas = direction * frames * columns
    inputs_at, inputs_row = _rows(shape, direction, length, shape.inputs + 1)
    descend_product(
        parameters.kernel, velocities.kernel, momentum, rate,
        direction * (shape.inputs + 1) * columns, columns, activity.inputs, inputs_at, _NEXT,
        inputs_row, activity.deltas, deltas, columns, shape.inputs + 1, columns, length,
    )  # fmt: skip
    hidden, hidden_row = _rows(shape, direction, length, shape.directions * width + 1)
    descend_product(
        parameters.recurrent_kernel, velocities.recurrent_kernel, momentum, rate,
        direction * width * columns, columns, activity.hidden, hidden + direction * width, _NEXT,
        hidden_row, activity.deltas, deltas + columns, columns, width, columns, length - 1,
    )  # fmt: skip
    if shape.recurrent_gates:
        row = shape.recurrent_gates * width
        kernel, seen = direction * row * row, direction * frames * row
        descend_product(
            parameters.gate_recurrent_kernel, velocities.gate_recurrent_kernel, momentum, rate,
            kernel, row, activity.seen, seen, _NEXT, row, activity.deltas, deltas + columns, columns,
            row, 2 * width, length - 1,
        )  # fmt: skip
        descend_product(
            parameters.gate_recurrent_kernel, velocities.gate_recurrent_kernel, momentum, rate,
            kernel + 2 * width, row, activity.seen, seen, _NEXT, row, activity.deltas,
            deltas + columns + 3 * width, columns, row, width, length - 1,
        )  # fmt: skip
    cell = direction * (frames + 1) * width
    for gate, peephole, see in (
        (shape.input_gate, shape.input_peephole, cell),
        (shape.forget_gate, shape.forget_peephole, cell),
        (shape.output_gate, shape.output_peephole, cell + width),
    ):
        if peephole >= 0:
            _descend_peephole(
                parameters, velocities, _peephole(shape, peephole, direction), activity,
                deltas + gate * width, columns, see, width, length, momentum, rate,
            )  # fmt: skip
