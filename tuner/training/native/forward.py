"""One direction of an LSTM through time, for every variant.

The equations are those of `zoo.variants`; the variants differ only in the switches of `Shape`.

Steps are counted in reading order: step s of the backward direction is frame T - 1 - s. In the
arrays of a direction, row s is step s; rows of the input and of the hidden layer are frames, and
their stride is negative for the backward direction.
"""

from __future__ import annotations

import numpy as np

from tuner.training.native.compiling import compiled, inlined
from tuner.training.native.memory import frames_in_order, peephole_at
from tuner.training.native.simd.functions import sigmoid, tanh
from tuner.training.native.simd.products import add_row_product, assign_product
from tuner.training.native.simd.tiles import Matrix
from tuner.training.native.simd.vectors import LANES, START, load, splat, store

_ONE = np.float32(1)


@inlined
def _activate_gate(gates, at, width, peepholes, peephole, cells, cell):
    """Replaces the pre-activations of a gate at `at` with σ(pre + p ⊙ c).

    The peephole p is at `peephole`, absent if negative; the cell c that the gate sees is at `cell`.
    """
    if peephole >= 0:
        for unit in range(0, width, LANES):
            from_cell = load(peepholes, peephole + unit) * load(cells, cell + unit)
            store(gates, at + unit, sigmoid(load(gates, at + unit) + from_cell))
    else:
        for unit in range(0, width, LANES):
            store(gates, at + unit, sigmoid(load(gates, at + unit)))


@inlined
def _step(shape, parameters, workspace, direction, at, cell, tanh_cell, hidden):
    """Computes gates, cell and block output of one step from the gates' pre-activations.

        z = g(pre_z),  c' = z ⊙ i + c ⊙ f,  h = h(c') ⊙ o

    Each gate has its own loop: the long chain of operations on one vector then overlaps with the
    next vector's, which is faster than all gates of a vector one after the other. The step's rows
    of the workspace begin at `at` (gates), `cell` (c, followed by c'), `tanh_cell` and `hidden`.
    """
    width, gates, cells = shape.width, workspace.gates, workspace.cells
    peepholes, new_cell = parameters.peephole, cell + shape.width
    at_i, at_f = at + shape.input_gate * width, at + shape.forget_gate * width
    at_z, at_o = at + shape.block_input * width, at + shape.output_gate * width
    if shape.input_activation:
        for unit in range(0, width, LANES):
            store(gates, at_z + unit, tanh(load(gates, at_z + unit)))
    if shape.input_gate >= 0:
        peephole = peephole_at(shape, shape.input_peephole, direction)
        _activate_gate(gates, at_i, width, peepholes, peephole, cells, cell)
    if shape.forget_gate >= 0:
        peephole = peephole_at(shape, shape.forget_peephole, direction)
        _activate_gate(gates, at_f, width, peepholes, peephole, cells, cell)
    for unit in range(0, width, LANES):
        new = load(gates, at_z + unit)
        old = load(cells, cell + unit)
        if shape.input_gate >= 0:
            i = load(gates, at_i + unit)
            new = new * i
            if shape.coupled:
                old = old * (splat(_ONE) - i)
        if shape.forget_gate >= 0:
            old = old * load(gates, at_f + unit)
        store(cells, new_cell + unit, new + old)
    for unit in range(0, width, LANES):
        out = load(cells, new_cell + unit)
        if shape.output_activation:
            out = tanh(out)
        store(workspace.tanh_cells, tanh_cell + unit, out)
    if shape.output_gate >= 0:
        peephole = peephole_at(shape, shape.output_peephole, direction)
        _activate_gate(gates, at_o, width, peepholes, peephole, cells, new_cell)
    for unit in range(0, width, LANES):
        out = load(workspace.tanh_cells, tanh_cell + unit)
        if shape.output_gate >= 0:
            out = out * load(gates, at_o + unit)
        store(workspace.hidden, hidden + unit, out)


@compiled
def _copy_gates(shape, gates, at, states, to):
    """Copies i, f, o of a step for the next step's gate recurrence; padded units stay 0."""
    width = shape.width
    for gate in range(shape.recurrent_gates):
        # The block input is between f and o.
        start = at + (gate if gate < shape.block_input else gate + 1) * width
        for unit in range(shape.units):
            states[to + gate * width + unit] = gates[start + unit]


@compiled
def _add_gate_recurrence(shape, kernel, kernel_at, states, before, gates, at, downward):
    """Adds (i f o) of the previous step, times the gate recurrence, to the pre-activations."""
    width = shape.width
    row, early = shape.recurrent_gates * width, shape.block_input * width
    add_row_product(
        gates, at, states, before, Matrix(kernel, kernel_at, row), row, early, downward
    )
    add_row_product(
        gates, at + early + width, states, before, Matrix(kernel, kernel_at + early, row), row,
        row - early, downward,
    )  # fmt: skip


@compiled
def forward(shape, parameters, workspace, direction, length):
    """Runs one direction over a sequence: from `workspace.inputs` to `workspace.hidden`.

    pre = x W + b over all steps at once; then, step by step, pre += h R (and the gate recurrence).
    """
    width, gates, row = shape.width, workspace.gates, shape.row
    columns, frames = shape.gates * width, workspace.max_frames
    at = direction * frames * row
    kernel = Matrix(parameters.kernel, direction * (shape.inputs + 1) * row, row)
    inputs = frames_in_order(workspace.inputs, direction, length, shape.inputs + 1, START)
    assign_product(
        Matrix(gates, at, row), inputs, kernel, length, columns, shape.inputs + 1
    )
    hidden = frames_in_order(
        workspace.hidden, direction, length, shape.directions * width + 1, direction * width
    )
    recurrent_kernel = Matrix(parameters.recurrent_kernel, direction * width * row, row)
    cell = direction * (frames + 1) * width
    tanh_cell = direction * frames * width
    state_row = shape.recurrent_gates * width
    state = direction * frames * state_row
    for step in range(length):
        if step > 0:
            add_row_product(
                gates, at, workspace.hidden, hidden.at + (step - 1) * hidden.row,
                recurrent_kernel, width, columns, step % 2 == 0,
            )  # fmt: skip
            if shape.recurrent_gates:
                _add_gate_recurrence(
                    shape, parameters.gate_recurrent_kernel, direction * state_row * state_row,
                    workspace.gate_states, state + (step - 1) * state_row, gates, at,
                    step % 2 == 0,
                )  # fmt: skip
        _step(
            shape, parameters, workspace, direction, at, cell + step * width,
            tanh_cell + step * width, hidden.at + step * hidden.row,
        )  # fmt: skip
        if shape.recurrent_gates:
            _copy_gates(shape, gates, at, workspace.gate_states, state + step * state_row)
        at += row
