"""LSTM cells that take several steps per frame, and choose how many.

The construction is this project's own: of Zhang, Chow and Chan's *DA-LSTM* (2019), whose aim it
shares, only the abstract was available. The halting rule is that of Graves 2016, *Adaptive
computation time for recurrent neural networks*; the steps are those of a deep transition (Pascanu
et al. 2013).
"""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from zoo.registry import get_variant
from zoo.variant_cell import (
    Tensor,
    VariantCell,
    by_gate,
    check_argument,
    is_positive_integer,
    step,
)
from zoo.variants import STEPPED, VARIANTS

HALTING = ("act", "choice", "fixed")
"""Ways to choose the depth of a frame, see `DepthAdaptiveCell`."""

FORMS = ("transition", "shared")
"""Whether inner steps have separate weights or share them."""


@keras.saving.register_keras_serializable(package="lstm_odyssey")
class DepthAdaptiveCell(VariantCell):
    """An LSTM variant with up to D inner steps per frame, as many as the frame needs.

        net¹ = x_t W + h_{t-1} R¹ + b¹,  netⁿ = h^{n-1} Rⁿ + bⁿ,  n = 2 … D    (transition)
        netⁿ = x_t W + δ_{n1} w_flag + h^{n-1} R + b,  h⁰ = h_{t-1}           (shared)
        hⁿ, cⁿ = zoo.variant_cell.step(netⁿ, c^{n-1}, peepholes pⁿ, in the shared form p)
        h_t = Σ πⁿ hⁿ,  c_t = Σ πⁿ cⁿ

    With halting `"act"`, qⁿ = σ(hⁿ w_q + b_q), N is the first n with q¹ + … + qⁿ ≥ 1 - ε, else D,
    and πⁿ = qⁿ before N, π^N = 1 - Σ_{n<N} qⁿ = Rem, 0 after. The ponder cost of a frame is
    N + Rem; its derivative with respect to qⁿ is -1 before N, else 0. A frame with N = 1 gives the
    halting weights no gradient, and a cell whose frames all halt there cannot learn to go deeper:
    b_q should start at 1 or below.

    With `"choice"`, a = [x_t h_{t-1}] A + a_0 and π is the one-hot vector of its largest element,
    so the depth is known beforehand; the gradient is that of softmax(a/θ). The ponder cost is
    Σ n softmax(a)_n. With `"fixed"`, π is 1 at D, and the ponder cost is D.

    `zoo.AdaptiveRNN` adds the ponder cost to the loss. A third state `(batch, 2)` sums the ponder
    cost and N over the frames. All D steps are computed; those after N have no effect on values or
    gradients. With the JAX backend, `"act"` in inference (`training=False`, as in `predict`) skips
    the remaining steps of a frame once every sample of the batch has halted.

    Args:
        units: as in `zoo.VariantCell`.
        max_depth: D, at least 1.
        halting: `"act"`, `"choice"` or `"fixed"`.
        form: `"transition"`, where every step has its own weights, or `"shared"`.
        inner: code of the variant that the steps compute, without gate recurrence. Default: V, or
            the variant of the class.
        epsilon: ε, which lets a frame halt after one step although σ never reaches 1.
        temperature: θ in the gradient of `"choice"`.
        halting_bias_initializer: initializer for b_q.
        **arguments: further arguments, see `zoo.VariantCell`.

    Weights: those of `zoo.VariantCell`, then `recurrent_kernel_n`, `bias_n` and `peephole_n` for
    the steps n = 2 … D of the transition form, or `flag_kernel` `(1, G * units)` for the shared
    form; last `halting_kernel` `(units, 1)` and `halting_bias` `(1,)`, or for `"choice"`
    `(features + units, D)` and `(D,)`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> import numpy as np, keras, zoo
        >>> layer = keras.layers.RNN(zoo.DepthAdaptiveCell(4, max_depth=3), return_state=True)
        >>> outputs, h, c, ponder = layer(np.zeros((2, 7, 3), "float32"))
        >>> tuple(outputs.shape), tuple(ponder.shape), bool(ponder[0, 1] >= 7)
        ((2, 4), (2, 2), True)
    """

    variant = VARIANTS["V"]

    def __init__(
        self,
        units: int = 100,
        max_depth: int = 3,
        halting: str = "act",
        form: str = "transition",
        inner: str | None = None,
        epsilon: float = 0.01,
        temperature: float = 1.0,
        halting_bias_initializer: Any = "ones",
        **arguments: Any,
    ) -> None:
        variant = self.variant if inner is None else get_variant(inner)
        for name, value, expected, right in (
            ("max_depth", max_depth, "a positive integer", is_positive_integer(max_depth)),
            ("halting", halting, " or ".join(map(repr, HALTING)), halting in HALTING),
            ("form", form, " or ".join(map(repr, FORMS)), form in FORMS),
            ("epsilon", epsilon, "a number above 0 and below 1", _is_between(epsilon, 0, 1)),
            ("temperature", temperature, "a number above 0", _is_between(temperature, 0, 1e9)),
            ("inner", inner, "a variant without gate recurrence", not variant.recurrent_gates),
        ):
            check_argument(name, value, expected, right)
        super().__init__(units, **arguments)
        self.variant = variant  # type: ignore[misc]
        self.max_depth, self.halting, self.form = int(max_depth), halting, form
        self.epsilon, self.temperature = float(epsilon), float(temperature)
        self.halting_bias_initializer = keras.initializers.get(halting_bias_initializer)
        self.state_size = [self.units, self.units, 2]

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the weights."""
        super().build(input_shape)
        wide = len(self.variant.gates) * self.units
        peepholes = len(self.variant.peephole_gates) * self.units
        self._inner: list[tuple[Any, Any, Any]] = []
        own = range(2, self.max_depth + 1) if self.form == "transition" else ()
        for n in own:
            recurrent = self._add(f"recurrent_kernel_{n}", "recurrent", self.units, wide)
            bias = self._add(f"bias_{n}", "bias", wide) if self.use_bias else None
            peephole = self._add(f"peephole_{n}", "peephole", peepholes) if peepholes else None
            self._inner.append((recurrent, bias, peephole))
        if self.form == "shared":
            self.flag_kernel = self._add("flag_kernel", "kernel", 1, wide)
        self.halting_kernel = self.halting_bias = None
        if self.halting != "fixed":
            choice = self.halting == "choice"
            rows = input_shape[-1] + self.units if choice else self.units
            columns = self.max_depth if choice else 1
            self.halting_kernel = self._add("halting_kernel", "kernel", rows, columns)
            self.halting_bias = self.add_weight(
                shape=(columns,),
                name="halting_bias",
                initializer="zeros" if choice else self.halting_bias_initializer,
            )

    def call(
        self, inputs: Tensor, states: Sequence[Tensor], training: bool | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Computes the inner steps of one frame."""
        inputs, h, c, ponder = self._received(inputs, states, bool(training))
        # In a TensorFlow loop, a condition costs as much as it saves; in training, it keeps the
        # engine `jax` from moving the products of all frames out of the loop.
        leaves = training is False and keras.backend.backend() == "jax"
        halt: dict[str, Callable[..., tuple[Tensor, Tensor, Tensor]]] = {
            "act": functools.partial(self._act, leaves),
            "choice": self._choose,
            "fixed": self._go_all_the_way,
        }
        h, c, spent = halt[self.halting](inputs, h, c)
        return h, [h, c, ponder + spent]

    def _act(
        self, leaves: bool, inputs: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Halts by Graves' rule; later values are set to 0 before they are used."""
        zero = ops.zeros_like(h[:, :1])
        total, depth, remainder = zero, zero, zero
        mean_h = mean_c = ops.zeros_like(h)
        # None means all: for the engine `jax`, even zeros made of a state would depend on it.
        running: Tensor | None = None

        def kept(tensor: Tensor) -> Tensor:
            return tensor if running is None else ops.where(running, tensor, 0)

        for n in range(1, self.max_depth + 1):
            taken = functools.partial(self._step, n, inputs, kept(h), kept(c), running)
            if leaves and running is not None:
                nothing = ops.zeros_like(h), ops.zeros_like(c)
                h, c = ops.cond(ops.any(running), taken, lambda nothing=nothing: nothing)
            else:
                h, c = taken()
            h, c = kept(h), kept(c)
            depth = depth + (1 if running is None else ops.cast(running, h.dtype))
            if n == self.max_depth:
                share = rest = kept(1 - total)
            else:
                q = ops.sigmoid(ops.matmul(h, self.halting_kernel) + self.halting_bias)
                halts = total + q >= 1 - self.epsilon
                rest = kept(ops.where(halts, 1 - total, zero))
                goes_on = ops.logical_not(halts)
                running = goes_on if running is None else ops.logical_and(running, goes_on)
                share = ops.where(running, q, rest)
                total = total + kept(q)
            remainder = remainder + rest
            mean_h, mean_c = mean_h + share * h, mean_c + share * c
        return mean_h, mean_c, ops.concatenate([depth + remainder, depth], axis=-1)

    def _choose(self, inputs: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Chooses the depth from the frame and the previous state."""
        seen = ops.concatenate([inputs, h], axis=-1)
        scores = ops.matmul(seen, self.halting_kernel) + self.halting_bias
        chosen = ops.one_hot(ops.argmax(scores, axis=-1), self.max_depth, dtype=h.dtype)
        soft = ops.softmax(scores / self.temperature)
        # The value is exactly one-hot; the gradient is that of the softmax.
        shares = chosen + (soft - ops.stop_gradient(soft))
        mean_h = mean_c = ops.zeros_like(h)
        for n in range(1, self.max_depth + 1):
            h, c = self._step(n, inputs, h, c)
            mean_h = mean_h + shares[:, n - 1 : n] * h
            mean_c = mean_c + shares[:, n - 1 : n] * c
        numbers = ops.cast(ops.arange(1, self.max_depth + 1), h.dtype)
        expected = ops.sum(ops.softmax(scores) * numbers, axis=-1, keepdims=True)
        depth = ops.sum(chosen * numbers, axis=-1, keepdims=True)
        return mean_h, mean_c, ops.concatenate([expected, depth], axis=-1)

    def _go_all_the_way(
        self, inputs: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        for n in range(1, self.max_depth + 1):
            h, c = self._step(n, inputs, h, c)
        return h, c, ops.full_like(ops.concatenate([h[:, :1]] * 2, axis=-1), self.max_depth)

    def _step(
        self, n: int, inputs: Tensor, h: Tensor, c: Tensor, running: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Computes inner step n, on zeros for samples that have halted."""
        recurrent, bias, peephole = self.recurrent_kernel, self.bias, self.peephole
        if n > 1 and self._inner:
            recurrent, bias, peephole = self._inner[n - 2]
        net = ops.matmul(h, recurrent)
        if n == 1 or self.form == "shared":
            net = ops.matmul(inputs, self.kernel) + net
        if n == 1 and self.form == "shared":
            net = net + ops.convert_to_tensor(self.flag_kernel)
        if bias is not None:
            net = net + bias
        if running is not None:
            net = ops.where(running, net, 0)
        peepholes: dict[str, Tensor] = {}
        if peephole is not None:
            peepholes = by_gate(ops.convert_to_tensor(peephole), self.variant.peephole_gates)
        h, c, _ = step(
            self.variant,
            by_gate(net, self.variant.gates),
            c,
            peepholes,
            self.activation,
            self.recurrent_activation,
        )
        return h, c

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        initializer = keras.initializers.serialize(self.halting_bias_initializer)
        names = ("max_depth", "halting", "form", "epsilon", "temperature")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "inner": self.variant.code,
            "halting_bias_initializer": initializer,
        }


@keras.saving.register_keras_serializable(package="lstm_odyssey")
class DeepTransitionCell(DepthAdaptiveCell):
    """The deep-transition LSTM: the same number of inner steps in every frame.

    A `zoo.DepthAdaptiveCell` with halting `"fixed"` and the same arguments: the baseline that
    adaptive depth has to beat. With `form="shared"`, it repeats one step (Repeat-LSTM).

    Example:
        >>> import numpy as np, keras, zoo
        >>> layer = keras.layers.RNN(zoo.DeepTransitionCell(4, max_depth=2))
        >>> tuple(layer(np.zeros((2, 7, 3), "float32")).shape)
        (2, 4)
    """

    def __init__(self, units: int = 100, max_depth: int = 3, **arguments: Any) -> None:
        if arguments.pop("halting", "fixed") != "fixed":
            raise ValueError(
                "Received an unexpected argument `halting`: the depth of a DeepTransitionCell is "
                "fixed; use DepthAdaptiveCell."
            )
        super().__init__(units, max_depth, halting="fixed", **arguments)


def _is_between(value: Any, low: float, high: float) -> bool:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_number and low < float(value) < high


for _code, _class in STEPPED.items():
    _base = DepthAdaptiveCell if _code.startswith("DA") else DeepTransitionCell
    globals()[_class] = keras.saving.register_keras_serializable(package="lstm_odyssey")(
        type(
            _class,
            (_base,),
            {
                "variant": VARIANTS[_code.partition("-")[2]],
                "__doc__": f"{_code}: `zoo.{_base.__name__}` of a variant, as a study makes it.",
                "__module__": __name__,
            },
        )
    )
