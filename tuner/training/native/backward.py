"""Backpropagation through time in one direction of an LSTM, and the update of its weights.

The derivatives follow the equations of `tuner.training.native.forward` in reverse order.
"""

from __future__ import annotations

import numpy as np

from tuner.training.native.compiling import compiled, inlined
from tuner.training.native.memory import frames_in_order, peephole_at
from tuner.training.native.simd.products import add_column_product, nesterov_update
from tuner.training.native.simd.tiles import Matrix, Update, nesterov_step
from tuner.training.native.simd.vectors import LANES, START, load, multiply_add, splat, store

_ZERO = np.float32(0)
_ONE = np.float32(1)


@inlined
def _dsigmoid(gate):
    """σ' = σ (1 - σ)."""
    return gate * (splat(_ONE) - gate)


@compiled
def _step_back(shape, parameters, workspace, direction, at, cell, tanh_cell, hidden):
    """Computes the deltas of one step from ∂loss/∂h, and ∂loss/∂c of the previous step.

        δo = (∂h h(c') + ∂o) o (1 - o),  ∂c' = ∂h o h'(c') + p_o δo + ∂c of the step after
        δz = ∂c' i g',  δi = (∂c' z + ∂i) i (1 - i),  δf = (∂c' c + ∂f) f (1 - f)
        ∂c = ∂c' f + p_i δi + p_f δf

    with ∂i, ∂f, ∂o from the gate recurrence of the next step; a coupled input gate also acts as the
    forget gate 1 - i: δi = (∂c' (z - c) + ∂i) i (1 - i). The step's rows begin at `at` (gates and
    deltas), `cell` (c), `tanh_cell` and `hidden` (∂loss/∂h).
    """
    width, gates, deltas = shape.width, workspace.gates, workspace.deltas
    cell_grad, gate_grads = workspace.cell_grad, workspace.gate_grads
    weights = parameters.peephole
    peephole_i = peephole_at(shape, shape.input_peephole, direction)
    peephole_f = peephole_at(shape, shape.forget_peephole, direction)
    peephole_o = peephole_at(shape, shape.output_peephole, direction)
    at_i, at_f = at + shape.input_gate * width, at + shape.forget_gate * width
    at_z, at_o = at + shape.block_input * width, at + shape.output_gate * width
    # The block input, which has no gate recurrence, comes before o.
    grad_f, grad_o = shape.forget_gate * width, (shape.output_gate - 1) * width
    for unit in range(0, width, LANES):
        to_hidden = load(workspace.hidden_grads, hidden + unit)
        out = load(workspace.tanh_cells, tanh_cell + unit)
        old = load(workspace.cells, cell + unit)
        to_cell = load(cell_grad, unit)
        if shape.output_gate >= 0:
            o = load(gates, at_o + unit)
            to_o = multiply_add(to_hidden, out, load(gate_grads, grad_o + unit))
            delta = to_o * _dsigmoid(o)
            store(deltas, at_o + unit, delta)
            to_hidden = to_hidden * o
            if shape.output_peephole >= 0:
                to_cell = multiply_add(load(weights, peephole_o + unit), delta, to_cell)
        if shape.output_activation:
            to_hidden = to_hidden * (splat(_ONE) - out * out)
        to_cell = to_cell + to_hidden

        z = load(gates, at_z + unit)
        to_z = to_cell
        to_old = to_cell
        if shape.input_gate >= 0:
            i = load(gates, at_i + unit)
            to_z = to_cell * i
            factor = z
            if shape.coupled:
                factor = z - old
                to_old = to_cell * (splat(_ONE) - i)
            delta = multiply_add(to_cell, factor, load(gate_grads, unit)) * _dsigmoid(i)
            store(deltas, at_i + unit, delta)
        if shape.forget_gate >= 0:
            f = load(gates, at_f + unit)
            to_old = to_cell * f
            delta = multiply_add(to_cell, old, load(gate_grads, grad_f + unit)) * _dsigmoid(f)
            store(deltas, at_f + unit, delta)
            if shape.forget_peephole >= 0:
                to_old = multiply_add(load(weights, peephole_f + unit), delta, to_old)
        if shape.input_peephole >= 0:
            weight = load(weights, peephole_i + unit)
            to_old = multiply_add(weight, load(deltas, at_i + unit), to_old)
        if shape.input_activation:
            to_z = to_z * (splat(_ONE) - z * z)
        store(deltas, at_z + unit, to_z)
        store(cell_grad, unit, to_old)


@compiled
def backward(shape, parameters, workspace, direction, length):
    """Runs one direction backward: computes `deltas` from the outputs' gradients, `hidden_grads`.

    Only gradients of the state are carried from step to step: ∂h of the previous step is R δ.
    """
    width, row, deltas = shape.width, shape.row, workspace.deltas
    columns, frames = shape.gates * width, workspace.max_frames
    gates = direction * frames * row
    cell = direction * (frames + 1) * width
    tanh_cell = direction * frames * width
    hidden = frames_in_order(
        workspace.hidden_grads, direction, length, shape.directions * width, direction * width
    )
    recurrent_kernel = Matrix(parameters.recurrent_kernel, direction * width * row, row)
    state_row, early = shape.recurrent_gates * width, shape.block_input * width
    gate_kernel = direction * state_row * state_row
    early_kernel = Matrix(parameters.gate_recurrent_kernel, gate_kernel, state_row)
    late_kernel = Matrix(parameters.gate_recurrent_kernel, gate_kernel + early, state_row)
    workspace.cell_grad[:] = _ZERO
    workspace.gate_grads[:] = _ZERO
    for step in range(length - 1, -1, -1):
        at = gates + step * row
        _step_back(
            shape, parameters, workspace, direction, at, cell + step * width,
            tanh_cell + step * width, hidden.at + step * hidden.row,
        )  # fmt: skip
        if step > 0:
            add_column_product(
                workspace.hidden_grads, hidden.at + (step - 1) * hidden.row, recurrent_kernel,
                deltas, at, width, columns, step % 2 == 0,
            )  # fmt: skip
            if shape.recurrent_gates:
                workspace.gate_grads[:] = _ZERO
                add_column_product(
                    workspace.gate_grads, START, early_kernel, deltas, at, state_row, early,
                    step % 2 == 0,
                )  # fmt: skip
                add_column_product(
                    workspace.gate_grads, START, late_kernel, deltas, at + early + width,
                    state_row, state_row - early, step % 2 == 0,
                )  # fmt: skip


@compiled
def _update_peephole(update, workspace, delta, row, cell, width, length):
    """Updates a peephole by its gradient, Σ δ ⊙ c over the steps."""
    for unit in range(0, width, LANES):
        gradient = splat(_ZERO)
        for step in range(length):
            gradient = multiply_add(
                load(workspace.deltas, delta + step * row + unit),
                load(workspace.cells, cell + step * width + unit),
                gradient,
            )
        nesterov_step(update, update.at + unit, gradient)


@compiled
def update_weights(shape, parameters, velocities, workspace, direction, length, momentum, rate):
    """Updates the weights of one direction; every gradient is one product over all steps.

    ∂W = Σ x ⊗ δ,   ∂R = Σ h_{t-1} ⊗ δ_t,   ∂p = Σ c ⊙ δ;   p_o sees the new cell
    """
    width, row, frames = shape.width, shape.row, workspace.max_frames
    columns, gates = shape.gates * width, direction * frames * row
    deltas = Matrix(workspace.deltas, gates, row)
    later = Matrix(workspace.deltas, gates + row, row)
    nesterov_update(
        Update(
            parameters.kernel, direction * (shape.inputs + 1) * row, row, velocities.kernel,
            momentum, rate,
        ),
        frames_in_order(workspace.inputs, direction, length, shape.inputs + 1, START),
        deltas, shape.inputs + 1, columns, length,
    )  # fmt: skip
    nesterov_update(
        Update(
            parameters.recurrent_kernel, direction * width * row, row,
            velocities.recurrent_kernel, momentum, rate,
        ),
        frames_in_order(
            workspace.hidden, direction, length, shape.directions * width + 1, direction * width
        ),
        later, width, columns, length - 1,
    )  # fmt: skip
    if shape.recurrent_gates:
        state_row, early = shape.recurrent_gates * width, shape.block_input * width
        states = Matrix(workspace.gate_states, direction * frames * state_row, state_row)
        for place, delta, count in (
            (0, 0, early),
            (early, early + width, state_row - early),
        ):
            nesterov_update(
                Update(
                    parameters.gate_recurrent_kernel,
                    direction * state_row * state_row + place, state_row,
                    velocities.gate_recurrent_kernel, momentum, rate,
                ),
                states, Matrix(workspace.deltas, gates + row + delta, row), state_row, count,
                length - 1,
            )  # fmt: skip
    cell = direction * (frames + 1) * width
    for gate, peephole, seen_cell in (
        (shape.input_gate, shape.input_peephole, cell),
        (shape.forget_gate, shape.forget_peephole, cell),
        (shape.output_gate, shape.output_peephole, cell + width),
    ):
        if peephole >= 0:
            update = Update(
                parameters.peephole, peephole_at(shape, peephole, direction), width,
                velocities.peephole, momentum, rate,
            )  # fmt: skip
            delta = gates + gate * width
            _update_peephole(update, workspace, delta, row, seen_cell, width, length)
