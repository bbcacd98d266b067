"""One direction of an LSTM back through time, and the step that its weights take.

The derivatives stand in the order of the equations of `tuner.training.native.forward`, backward.
"""

from __future__ import annotations

import numpy as np

from tuner.training.native.activity import frame_rows, peephole_at
from tuner.training.native.compiling import compiled, inlined
from tuner.training.native.simd.products import NEXT, START, add_column_product, descend_product
from tuner.training.native.simd.vectors import LANES, load, multiply_add, spread, store

_ZERO = np.float32(0)
_ONE = np.float32(1)


@inlined
def _slope_of_gate(gate):
    """σ' = σ (1 - σ)."""
    return gate * (spread(_ONE) - gate)


@compiled
def _step_back(shape, parameters, activity, direction, at, cell, squashed, slope):
    """Computes the deltas of one step from ∂loss/∂h, and ∂loss/∂c of the step before.

        δo = (∂h h(c') + ∂o) o (1 - o),  ∂c' = ∂h o h'(c') + p_o δo + what the step after wants
        δz = ∂c' i g',  δi = (∂c' z + ∂i) i (1 - i),  δf = (∂c' c + ∂f) f (1 - f)
        ∂c = ∂c' f + p_i δi + p_f δf

    with ∂i, ∂f, ∂o from the gate recurrence of the step after; a coupled input gate also takes what
    its forget gate 1 - i does: δi = (∂c' (z - c) + ∂i) i (1 - i).

    Args:
        shape: switches.
        parameters: for the peepholes.
        activity: where all of it is.
        direction: which direction.
        at: place of the step's gates and deltas.
        cell: place of the cell before the step.
        squashed: place of h(c').
        slope: place of ∂loss/∂h.
    """
    width, gates, deltas = shape.width, activity.gates, activity.deltas
    carried, through = activity.cell_slope, activity.gate_slopes
    weights = parameters.peephole
    see_i = peephole_at(shape, shape.input_peephole, direction)
    see_f = peephole_at(shape, shape.forget_peephole, direction)
    see_o = peephole_at(shape, shape.output_peephole, direction)
    at_i, at_f = at + shape.input_gate * width, at + shape.forget_gate * width
    at_z, at_o = at + shape.block_input * width, at + shape.output_gate * width
    # Without the block input, which has no gate recurrence and stands before o.
    through_f, through_o = shape.forget_gate * width, (shape.output_gate - 1) * width
    for unit in range(0, width, LANES):
        from_hidden = load(activity.hidden_slopes, slope + unit)
        out = load(activity.squashed, squashed + unit)
        old = load(activity.cells, cell + unit)
        to_cell = load(carried, unit)
        if shape.output_gate >= 0:
            o = load(gates, at_o + unit)
            upward = multiply_add(from_hidden, out, load(through, through_o + unit))
            delta = upward * _slope_of_gate(o)
            store(deltas, at_o + unit, delta)
            from_hidden = from_hidden * o
            if shape.output_peephole >= 0:
                to_cell = multiply_add(load(weights, see_o + unit), delta, to_cell)
        if shape.output_activation:
            from_hidden = from_hidden * (spread(_ONE) - out * out)
        to_cell = to_cell + from_hidden

        z = load(gates, at_z + unit)
        to_z = to_cell
        to_old = to_cell
        if shape.input_gate >= 0:
            i = load(gates, at_i + unit)
            to_z = to_cell * i
            upward = z
            if shape.coupled:
                upward = z - old
                to_old = to_cell * (spread(_ONE) - i)
            delta = multiply_add(to_cell, upward, load(through, unit)) * _slope_of_gate(i)
            store(deltas, at_i + unit, delta)
        if shape.forget_gate >= 0:
            f = load(gates, at_f + unit)
            to_old = to_cell * f
            upward = multiply_add(to_cell, old, load(through, through_f + unit))
            delta = upward * _slope_of_gate(f)
            store(deltas, at_f + unit, delta)
            if shape.forget_peephole >= 0:
                to_old = multiply_add(load(weights, see_f + unit), delta, to_old)
        if shape.input_peephole >= 0:
            to_old = multiply_add(load(weights, see_i + unit), load(deltas, at_i + unit), to_old)
        if shape.input_activation:
            to_z = to_z * (spread(_ONE) - z * z)
        store(deltas, at_z + unit, to_z)
        store(carried, unit, to_old)


@compiled
def backward(shape, parameters, activity, direction, frames, length):
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
    row = shape.row
    gates = direction * frames * row
    cell = direction * (frames + 1) * width
    squashed = direction * frames * width
    slope, slope_row = frame_rows(direction, length, shape.directions * width)
    slope += direction * width
    seen_row, early = shape.recurrent_gates * width, shape.block_input * width
    gate_kernel = direction * seen_row * seen_row
    activity.cell_slope[:] = _ZERO
    activity.gate_slopes[:] = _ZERO
    for step in range(length - 1, -1, -1):
        at = gates + step * row
        _step_back(
            shape, parameters, activity, direction, at, cell + step * width,
            squashed + step * width, slope + step * slope_row,
        )  # fmt: skip
        if step > 0:
            add_column_product(
                activity.hidden_slopes, slope + (step - 1) * slope_row,
                parameters.recurrent_kernel, direction * width * row, row,
                activity.deltas, at, width, columns, step % 2 == 0,
            )  # fmt: skip
            if shape.recurrent_gates:
                activity.gate_slopes[:] = _ZERO
                add_column_product(
                    activity.gate_slopes, START, parameters.gate_recurrent_kernel, gate_kernel,
                    seen_row, activity.deltas, at, seen_row, early, step % 2 == 0,
                )  # fmt: skip
                add_column_product(
                    activity.gate_slopes, START, parameters.gate_recurrent_kernel,
                    gate_kernel + early, seen_row, activity.deltas, at + early + width, seen_row,
                    seen_row - early, step % 2 == 0,
                )  # fmt: skip


@compiled
def _descend_peephole(parameters, velocities, place, activity, delta, row, cell, width, length, momentum, rate): # noqa: E501
    """Moves a peephole: its gradient is Σ δ ⊙ c over the steps."""
    for unit in range(0, width, LANES):
        gradient = spread(_ZERO)
        for step in range(length):
            gradient = multiply_add(
                load(activity.deltas, delta + step * row + unit),
                load(activity.cells, cell + step * width + unit),
                gradient,
            )
        change = spread(-rate) * gradient
        velocity = multiply_add(
            spread(momentum), load(velocities.peephole, place + unit), change
        )
        store(velocities.peephole, place + unit, velocity)
        weight = load(parameters.peephole, place + unit) + change
        store(parameters.peephole, place + unit, multiply_add(spread(momentum), velocity, weight))


@compiled
def descend(shape, parameters, velocities, activity, direction, frames, length, momentum, rate):
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
    columns, step = shape.gates * width, shape.row
    deltas = direction * frames * step
    inputs_at, inputs_row = frame_rows(direction, length, shape.inputs + 1)
    descend_product(
        parameters.kernel, velocities.kernel, momentum, rate,
        direction * (shape.inputs + 1) * step, step, activity.inputs, inputs_at, NEXT,
        inputs_row, activity.deltas, deltas, step, shape.inputs + 1, columns, length,
    )  # fmt: skip
    hidden, hidden_row = frame_rows(direction, length, shape.directions * width + 1)
    descend_product(
        parameters.recurrent_kernel, velocities.recurrent_kernel, momentum, rate,
        direction * width * step, step, activity.hidden, hidden + direction * width, NEXT,
        hidden_row, activity.deltas, deltas + step, step, width, columns, length - 1,
    )  # fmt: skip
    if shape.recurrent_gates:
        row, early = shape.recurrent_gates * width, shape.block_input * width
        kernel, seen = direction * row * row, direction * frames * row
        descend_product(
            parameters.gate_recurrent_kernel, velocities.gate_recurrent_kernel, momentum, rate,
            kernel, row, activity.seen, seen, NEXT, row, activity.deltas, deltas + step, step,
            row, early, length - 1,
        )  # fmt: skip
        descend_product(
            parameters.gate_recurrent_kernel, velocities.gate_recurrent_kernel, momentum, rate,
            kernel + early, row, activity.seen, seen, NEXT, row, activity.deltas,
            deltas + step + early + width, step, row, row - early, length - 1,
        )  # fmt: skip
    cell = direction * (frames + 1) * width
    for gate, peephole, see in (
        (shape.input_gate, shape.input_peephole, cell),
        (shape.forget_gate, shape.forget_peephole, cell),
        (shape.output_gate, shape.output_peephole, cell + width),
    ):
        if peephole >= 0:
            _descend_peephole(
                parameters, velocities, peephole_at(shape, peephole, direction), activity,
                deltas + gate * width, step, see, width, length, momentum, rate,
            )  # fmt: skip
