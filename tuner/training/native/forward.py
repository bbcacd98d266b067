"""One direction of an LSTM through time, for every variant.

The equations are those of `zoo.variants`; what differs between the variants are the switches of
`Shape`.

Steps are counted in the order of reading: step s of the backward direction is frame T - 1 - s. In
the arrays of a direction row s is step s; rows of the input and of the hidden layer are frames, and
their stride is negative for the backward direction.
"""

from __future__ import annotations

import numpy as np

from tuner.training.native.activity import frame_rows, peephole_at
from tuner.training.native.compiling import compiled, inlined
from tuner.training.native.simd.functions import sigmoid, tanh
from tuner.training.native.simd.products import NEXT, add_row_product, assign_product
from tuner.training.native.simd.vectors import LANES, load, spread, store

_ONE = np.float32(1)


@inlined
def _squash_gate(gates, at, width, peephole, weights, cells, cell):
    """Replaces the net inputs of a gate by σ(net + p ⊙ c).

    Args:
        gates: net inputs; activations are written.
        at: place of the gate.
        width: units.
        peephole: place of the gate's peephole in `weights`; below 0 it has none.
        weights: all peepholes.
        cells: holds the cell that the gate sees.
        cell: its place.
    """
    if peephole >= 0:
        for unit in range(0, width, LANES):
            seen = load(weights, peephole + unit) * load(cells, cell + unit)
            store(gates, at + unit, sigmoid(load(gates, at + unit) + seen))
    else:
        for unit in range(0, width, LANES):
            store(gates, at + unit, sigmoid(load(gates, at + unit)))


@inlined
def _step(shape, parameters, activity, direction, at, cell, squashed, hidden):
    """Computes gates, cell and block output of one step from the gates' net inputs.

        z = g(net_z),  c' = z ⊙ i + c ⊙ f,  h = h(c') ⊙ o

    One loop a gate: the long chain of operations of one gate's vector then overlaps with the next
    vector's, which is faster than all gates of a vector one after the other.

    Args:
        shape: switches.
        parameters: for the peepholes.
        activity: where all of it is.
        direction: which direction.
        at: place of the step's gates.
        cell: place of the cell before the step; the new one comes behind it.
        squashed: place of h(c').
        hidden: place of the block output.
    """
    width, gates, cells = shape.width, activity.gates, activity.cells
    weights, new_cell = parameters.peephole, cell + shape.width
    at_i, at_f = at + shape.input_gate * width, at + shape.forget_gate * width
    at_z, at_o = at + shape.block_input * width, at + shape.output_gate * width
    if shape.input_activation:
        for unit in range(0, width, LANES):
            store(gates, at_z + unit, tanh(load(gates, at_z + unit)))
    if shape.input_gate >= 0:
        peephole = peephole_at(shape, shape.input_peephole, direction)
        _squash_gate(gates, at_i, width, peephole, weights, cells, cell)
    if shape.forget_gate >= 0:
        peephole = peephole_at(shape, shape.forget_peephole, direction)
        _squash_gate(gates, at_f, width, peephole, weights, cells, cell)
    for unit in range(0, width, LANES):
        new = load(gates, at_z + unit)
        kept = load(cells, cell + unit)
        if shape.input_gate >= 0:
            i = load(gates, at_i + unit)
            new = new * i
            if shape.coupled:
                kept = kept * (spread(_ONE) - i)
        if shape.forget_gate >= 0:
            kept = kept * load(gates, at_f + unit)
        store(cells, new_cell + unit, new + kept)
    for unit in range(0, width, LANES):
        out = load(cells, new_cell + unit)
        if shape.output_activation:
            out = tanh(out)
        store(activity.squashed, squashed + unit, out)
    if shape.output_gate >= 0:
        peephole = peephole_at(shape, shape.output_peephole, direction)
        _squash_gate(gates, at_o, width, peephole, weights, cells, new_cell)
    for unit in range(0, width, LANES):
        out = load(activity.squashed, squashed + unit)
        if shape.output_gate >= 0:
            out = out * load(gates, at_o + unit)
        store(activity.hidden, hidden + unit, out)


@compiled
def _keep_gates(shape, gates, at, seen, to):
    """Copies i, f, o of a step for the next step's gate recurrence; padded units stay 0."""
    width = shape.width
    for gate in range(shape.recurrent_gates):
        # The block input stands between f and o.
        start = at + (gate if gate < shape.block_input else gate + 1) * width
        for unit in range(shape.units):
            seen[to + gate * width + unit] = gates[start + unit]


@compiled
def _add_gate_recurrence(shape, kernel, kernel_at, seen, before, gates, at, downward):
    """Adds (i f o) of the step before, times the gate recurrence, to the net inputs of i f o."""
    width = shape.width
    row, columns = shape.recurrent_gates * width, shape.block_input * width
    add_row_product(gates, at, seen, before, kernel, kernel_at, row, row, columns, downward)
    add_row_product(
        gates, at + columns + width, seen, before, kernel, kernel_at + columns, row, row,
        row - columns, downward,
    )  # fmt: skip


@compiled
def forward(shape, parameters, activity, direction, frames, length):
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
    columns, row = shape.gates * width, shape.row
    at = direction * frames * row
    inputs_at, inputs_row = frame_rows(direction, length, shape.inputs + 1)
    assign_product(
        gates, at, row, activity.inputs, inputs_at, inputs_row, NEXT, parameters.kernel,
        direction * (shape.inputs + 1) * row, row, length, columns, shape.inputs + 1,
    )  # fmt: skip
    hidden, hidden_row = frame_rows(direction, length, shape.directions * width + 1)
    hidden += direction * width
    cell = direction * (frames + 1) * width
    squashed = direction * frames * width
    recurrent_at = direction * width * row
    seen_row = shape.recurrent_gates * width
    seen = direction * frames * seen_row
    for step in range(length):
        if step > 0:
            before = hidden + (step - 1) * hidden_row
            add_row_product(
                gates, at, activity.hidden, before, parameters.recurrent_kernel, recurrent_at,
                row, width, columns, step % 2 == 0,
            )  # fmt: skip
            if shape.recurrent_gates:
                _add_gate_recurrence(
                    shape, parameters.gate_recurrent_kernel, direction * seen_row * seen_row,
                    activity.seen, seen + (step - 1) * seen_row, gates, at, step % 2 == 0,
                )  # fmt: skip
        _step(
            shape, parameters, activity, direction, at, cell + step * width,
            squashed + step * width, hidden + step * hidden_row,
        )  # fmt: skip
        if shape.recurrent_gates:
            _keep_gates(shape, gates, at, activity.seen, seen + step * seen_row)
        at += row
