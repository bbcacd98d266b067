"""The step of every LSTM variant and the Keras cell around it.

The cells run on every Keras backend (only `keras.ops` is used) and accept the arguments of
`keras.layers.LSTMCell`, from which they inherit the dropout masks that `keras.layers.RNN` keeps for
a whole sequence.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from zoo.variants import Variant

Tensor = Any
"""A tensor of the Keras backend in use."""

Activation = Callable[[Tensor], Tensor]
"""An elementwise function."""


def _identity(x: Tensor) -> Tensor:
    return x


def is_positive_integer(value: object) -> bool:
    """Returns whether a value is a positive integer; NumPy's integers count, True does not."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) > 0


def check_argument(name: str, value: object, expected: str, right: bool) -> None:
    """Rejects an invalid argument, in Keras' wording.

    Raises:
        ValueError: unless `right`.
    """
    if not right:
        raise ValueError(
            f"Received an invalid value for argument `{name}`, expected {expected}, got {value!r}."
        )


def step(
    variant: Variant,
    pre_activations: Mapping[str, Tensor],
    c: Tensor,
    peephole: Mapping[str, Tensor],
    activation: Activation,
    recurrent_activation: Activation,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Computes the pointwise part of one time step of any variant.

        i = σ(a_i + p_i ⊙ c),  f = σ(a_f + p_f ⊙ c),  z = g(a_z)
        c' = z ⊙ i + c ⊙ f,    o = σ(a_o + p_o ⊙ c'), h' = h(c') ⊙ o

    A gate that the variant lacks is 1; a coupled forget gate is 1 - i. NumPy arrays work as well
    as tensors.

    Args:
        variant: the variant to compute.
        pre_activations: a, without peepholes, for each of `variant.gates`: `(batch, units)`.
        c: previous cell state, `(batch, units)`.
        peephole: diagonal weights for each of `variant.peephole_gates`: `(units,)`.
        activation: g and h, where the variant has them.
        recurrent_activation: σ.

    Returns:
        The hidden state h', the cell state c', and the activations of the gates i, f, o that have
        weights.
    """

    def gate(name: str, cell_state: Tensor) -> Tensor:
        pre_activation = pre_activations[name]
        if name in peephole:
            pre_activation = pre_activation + peephole[name] * cell_state
        return recurrent_activation(pre_activation)

    input_activation = activation if variant.input_activation else _identity
    output_activation = activation if variant.output_activation else _identity
    gates = []

    z = input_activation(pre_activations["z"])
    if variant.input_gate:
        i = gate("i", c)
        gates.append(i)
        z = z * i
    if variant.forget_gate:
        f = gate("f", c)
        gates.append(f)
        c = c * f
    elif variant.coupled:
        c = c * (1.0 - i)
    c = z + c
    h = output_activation(c)
    if variant.output_gate:
        o = gate("o", c)
        gates.append(o)
        h = h * o
    return h, c, gates


def by_gate(tensor: Tensor, gates: str) -> dict[str, Tensor]:
    """Splits the last axis into the blocks of `gates`."""
    return dict(zip(gates, ops.split(tensor, len(gates), axis=-1), strict=True))


class VariantCell(keras.layers.LSTMCell):
    """Base class of the nine cells: weights and matrix products; `step` does the rest.

    The arguments are those of `keras.layers.LSTMCell`, with the same meaning, except that there is
    no `implementation`, and for the following:

    Args:
        units: Positive integer, dimensionality of the output space. Defaults to 100.
        activation: g of the block input and h of the cell state on its way out, where the variant
            has them. Default: hyperbolic tangent.
        recurrent_initializer: Initializer for `recurrent_kernel` and `gate_recurrent_kernel` (full
            gate recurrence); likewise `recurrent_regularizer` and `recurrent_constraint`.
        peephole_initializer: Initializer for `peephole`. Default: `"glorot_uniform"`.
        peephole_regularizer: Regularizer for `peephole`. Default: `None`.
        peephole_constraint: Constraint on `peephole`. Default: `None`.
        unit_forget_bias: Boolean (default `True`). If `True`, the bias of a forget gate with
            its own weights is initialized to 1. The paper's networks use `False`.
        dropout: Float between 0 and 1, fraction of the inputs to drop. The same inputs are dropped
            at every time step and for every gate. As in Keras' cells, values outside the range are
            clipped, and 1 drops nothing. Defaults to 0.
        recurrent_dropout: Float between 0 and 1, fraction of the previous hidden state to drop,
            under the same rules as `dropout`. Defaults to 0.

    Call arguments:
        inputs: A 2D tensor, with shape `(batch, features)`.
        states: The tensors of the previous time step, `[h, c]` with shapes `(batch, units)`; in
            full gate recurrence `[h, c, gates]`, where `gates` with shape `(batch, 3 * units)`
            holds the concatenated activations of input, forget and output gate.
        training: Python boolean; only relevant when `dropout` or `recurrent_dropout` is used.

    Weights, with the variant's G gates in the order i f z o, and its P peepholes:
        kernel `(features, G * units)`, recurrent_kernel `(units, G * units)`, bias `(G * units,)`,
        peephole `(P * units,)`, gate_recurrent_kernel `(3 * units, 3 * units)`, from gate (row) to
        gate (column).

    Masking:
        As in `keras.layers.RNN`: a masked step leaves all states unchanged.

    Raises:
        ValueError: if `units` is not a positive integer, or a dropout rate is not a number.
        TypeError: if the base class itself is instantiated.
    """

    variant: ClassVar[Variant]

    def __init__(
        self,
        units: int = 100,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        peephole_initializer: Any = "glorot_uniform",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        peephole_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        peephole_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if type(self) is VariantCell:
            raise TypeError(
                "VariantCell is the base of the cells: use one of them or zoo.make_cell"
            )
        check_argument("units", units, "a positive integer", is_positive_integer(units))
        for name, rate in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            real = isinstance(rate, numbers.Real) and not isinstance(rate, bool)
            right = real and not math.isnan(rate)
            check_argument(name, rate, "a float between 0 and 1", right)
        if "implementation" in kwargs:
            raise ValueError(
                "Received an unexpected argument `implementation`: the cells of the zoo have one "
                f"implementation. Got {kwargs['implementation']!r}."
            )
        super().__init__(
            int(units),
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            unit_forget_bias=unit_forget_bias,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=float(dropout),
            recurrent_dropout=float(recurrent_dropout),
            seed=seed,
            **kwargs,
        )
        # For recurrent dropout, the parent draws one mask per gate; here all gates share one.
        self.dropout_mask_count = None
        self.peephole_initializer = keras.initializers.get(peephole_initializer)
        self.peephole_regularizer = keras.regularizers.get(peephole_regularizer)
        self.peephole_constraint = keras.constraints.get(peephole_constraint)
        if self.variant.recurrent_gates:
            self.state_size.append(len(self.variant.recurrent_gates) * self.units)

    def build(self, input_shape: Sequence[int | None]) -> None:
        units, variant = self.units, self.variant
        wide = len(variant.gates) * units
        peepholes = len(variant.peephole_gates) * units
        gates = len(variant.recurrent_gates) * units
        self.kernel = self._add("kernel", "kernel", input_shape[-1], wide)
        self.recurrent_kernel = self._add("recurrent_kernel", "recurrent", units, wide)
        self.bias = self._add("bias", "bias", wide) if self.use_bias else None
        self.peephole = self._add("peephole", "peephole", peepholes) if peepholes else None
        self.gate_recurrent_kernel = (
            self._add("gate_recurrent_kernel", "recurrent", gates, gates) if gates else None
        )
        self.built = True

    def _add(self, name: str, kind: str, *shape: int | None) -> Any:
        """Adds a weight with the initializer, regularizer and constraint of its kind."""
        initializer = getattr(self, f"{kind}_initializer")
        return self.add_weight(
            shape=shape,
            name=name,
            initializer=self._initial_bias if kind == "bias" else initializer,
            regularizer=getattr(self, f"{kind}_regularizer"),
            constraint=getattr(self, f"{kind}_constraint"),
        )

    def _initial_bias(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Initializes the bias by `bias_initializer`, but 1 for the forget gate if requested."""
        if not (self.unit_forget_bias and self.variant.forget_gate):
            return self.bias_initializer(shape, dtype=dtype)
        before = self.variant.gates.index("f")
        after = len(self.variant.gates) - before - 1
        blocks = [
            self.bias_initializer((before * self.units,), dtype=dtype),
            ops.ones((self.units,), dtype=dtype),
            self.bias_initializer((after * self.units,), dtype=dtype),
        ]
        return ops.concatenate(blocks)

    def _received(self, inputs: Tensor, states: Sequence[Tensor], training: bool) -> list[Tensor]:
        """Checks the states; returns inputs and states, with dropout in training."""
        if len(states) != len(self.state_size):
            raise ValueError(
                f"Received an invalid value for argument `states`, expected {len(self.state_size)} "
                f"tensors, got {len(states)}."
            )
        h, *others = states
        if training and 0 < self.dropout < 1:
            inputs = inputs * self.get_dropout_mask(inputs)
        if training and 0 < self.recurrent_dropout < 1:
            h = h * self.get_recurrent_dropout_mask(h)
        return [inputs, h, *others]

    def call(
        self, inputs: Tensor, states: Sequence[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        inputs, h, c, *previous_gates = self._received(inputs, states, training)
        pre_activation = ops.matmul(inputs, self.kernel) + ops.matmul(h, self.recurrent_kernel)
        if self.bias is not None:
            pre_activation = pre_activation + self.bias
        pre_activations = by_gate(pre_activation, self.variant.gates)
        if previous_gates:
            from_gates = ops.matmul(previous_gates[0], self.gate_recurrent_kernel)
            for gate, extra in by_gate(from_gates, self.variant.recurrent_gates).items():
                pre_activations[gate] = pre_activations[gate] + extra
        peephole = {}
        if self.peephole is not None:
            # Not the variable itself: only a tensor of the compute dtype can be split.
            peephole = by_gate(ops.convert_to_tensor(self.peephole), self.variant.peephole_gates)

        h, c, gates = step(
            self.variant, pre_activations, c, peephole, self.activation, self.recurrent_activation
        )
        if previous_gates:
            return h, [h, c, ops.concatenate(gates, axis=-1)]
        return h, [h, c]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "peephole_initializer": keras.initializers.serialize(self.peephole_initializer),
            "peephole_regularizer": keras.regularizers.serialize(self.peephole_regularizer),
            "peephole_constraint": keras.constraints.serialize(self.peephole_constraint),
        }
