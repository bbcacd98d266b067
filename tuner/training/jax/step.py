"""One step of a cell through time, split by what its operations depend on.

A Keras cell computes (output, states) from an input frame and states. Traced by JAX, its operations
fall into three parts:

* those that depend on weights alone run once per update (`Step.derive`);
* those that depend on the frame but on no state run for many frames at once (`Step.project`);
* the rest depend on the states and run frame by frame (`Step.advance`).

In the last two, each product with a weight is a *tap*: its factor x_t and its value are kept, so
that the backward pass need not multiply again, and the gradient δ_t of the value gives that of the
weight as one product over all frames after the loop, x_1ᵀδ_1 + … + x_Tᵀδ_T, instead of T sums of
whole matrices. Any cell is thus trained like the zoo's recurrence, without knowledge of its
equations.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import keras

Arrays = list[Any]
Multiply = Callable[[Any, Any], Any]
Products = tuple[Arrays, Arrays]
"""Factors and values of tapped products."""

_INLINED = ("jit", "pjit")
_PRODUCT = "dot_general"

_NOTHING, _WEIGHTS, _FRAME, _STATES = range(-1, 3)
"""What an operation depends on; each kind may also depend on the preceding ones."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tap:
    """A product with a weight within a step.

    Attributes:
        equation: the operation.
        weight: index of the weight among those that `Step.derive` returns.
    """

    equation: Any
    weight: int

    @property
    def factor(self) -> tuple[int, ...]:
        """Shape of the other factor."""
        return tuple(self.equation.invars[0].aval.shape)

    @property
    def product(self) -> tuple[int, ...]:
        """Shape of the product."""
        return tuple(self.equation.outvars[0].aval.shape)

    def multiply(self, factor: Any, weight: Any) -> Any:
        """Computes the product."""
        return _apply(self.equation, [factor, weight])[0]

    def gradient(self, factors: Any, of_products: Any) -> Any:
        """Computes the gradient of the weight, summed over frames.

        Args:
            factors: the factors of several frames, `[frames, ...]`.
            of_products: the gradients of their products, `[frames, ...]`.
        """
        ((left,), (right,)), _ = self.equation.params["dimension_numbers"]
        others = [axis for axis in range(len(self.factor)) if axis != left]
        # The axes of a product are the remaining ones of the factor, then those of the weight.
        axes = [0, *(1 + axis for axis in others)], [0, *range(1, 1 + len(others))]
        return jnp.moveaxis(jnp.tensordot(factors, of_products, axes), 0, right)


class Step:
    """The step of a cell.

    Attributes:
        states: sizes of the states.
        projected: shapes of the arrays that `project` returns for a frame.
        frame_taps: the taps of `project`.
        taps: the taps of `advance`.
        looped: indices of the derived weights that `advance` uses outside taps; few and small, such
            as biases and peepholes.
    """

    def __init__(self, cell: Any, inputs: int) -> None:
        """Traces a cell.

        Args:
            cell: a built Keras cell, on Keras' JAX backend.
            inputs: number of features per frame.

        Raises:
            ValueError: if the cell keeps anything besides weights and states (dropout,
                normalization), which each step would change.
        """
        sizes = cell.state_size
        self.states = tuple(keras.tree.flatten(sizes))
        shapes = [variable.shape for variable in cell.trainable_variables]
        kept = [variable.value for variable in cell.non_trainable_variables]

        def step(kept: Arrays, weights: Arrays, states: Arrays, frame: Any) -> tuple[Any, Any]:
            batch = keras.tree.pack_sequence_as(sizes, [state[None] for state in states])
            (output, new), kept = cell.stateless_call(weights, kept, frame[None], batch)
            return (output[0], *(state[0] for state in keras.tree.flatten(new))), kept

        arguments = (
            [jnp.zeros(shape) for shape in shapes],
            [jnp.zeros(size) for size in self.states],
            jnp.zeros(inputs),
        )
        _check_kept(step, kept, arguments)
        flat, tree = jax.tree.flatten(arguments)
        closed = jax.make_jaxpr(
            lambda *flat: step(kept, *jax.tree.unflatten(tree, flat))[0]
        )(*flat)
        # Traced again, with its calls inlined.
        closed = jax.make_jaxpr(lambda *flat: _evaluate(closed, flat))(*flat)
        self._take_apart(closed, len(shapes))

    def _take_apart(self, closed: Any, weights: int) -> None:
        jaxpr = closed.jaxpr
        self._weights = jaxpr.invars[:weights]
        self._states, self._frame = jaxpr.invars[weights:-1], jaxpr.invars[-1]
        self._constants = dict(zip(jaxpr.constvars, closed.consts, strict=True))
        self._outputs = jaxpr.outvars
        kinds = {one: _NOTHING if _whole(one) else _WEIGHTS for one in jaxpr.constvars}
        kinds |= dict.fromkeys(self._weights, _WEIGHTS)
        kinds |= dict.fromkeys(self._states, _STATES) | {self._frame: _FRAME}
        self._parts: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        for equation in jaxpr.eqns:
            kind = max((kinds[variable] for variable in _read(equation)), default=_NOTHING)
            if kind == _NOTHING and all(map(_whole, equation.outvars)):
                # Integers have no gradient to propagate back.
                _run([equation], self._constants)
            else:
                kind = max(kind, _WEIGHTS)
                self._parts[kind].append(equation)
            kinds |= dict.fromkeys(equation.outvars, kind)

        _, frame_part, states_part = self._parts
        needed = [variable for equation in states_part for variable in _read(equation)]
        needed += [one for one in self._outputs if not isinstance(one, jex.Literal)]
        self._projected = _distinct(needed, kinds, _FRAME)
        in_frame = [variable for equation in frame_part for variable in _read(equation)]
        self._derived = _distinct([*in_frame, *needed], kinds, _WEIGHTS)
        self.projected = [variable.aval.shape for variable in self._projected]

        index = {variable: number for number, variable in enumerate(self._derived)}
        self.frame_taps, self.taps = (
            [
                Tap(equation, index[equation.invars[1]])
                for equation in part
                if _is_tapped(equation)
                and [kinds.get(one, _WEIGHTS) for one in equation.invars] == [kind, _WEIGHTS]
            ]
            for part, kind in ((frame_part, _FRAME), (states_part, _STATES))
        )
        tapped = [tap.equation for tap in self.taps]
        others = [one for each in states_part if each not in tapped for one in _read(each)]
        others += [one for one in self._outputs if not isinstance(one, jex.Literal)]
        self.looped = [index[one] for one in _distinct(others, kinds, _WEIGHTS)]

    def derive(self, weights: Sequence[Any]) -> Arrays:
        """Computes the values that depend on weights alone.

        Args:
            weights: the weights, in the order of the cell's trainable variables.
        """
        values = self._constants | dict(zip(self._weights, weights, strict=True))
        _run(self._parts[_WEIGHTS], values)
        return [values[variable] for variable in self._derived]

    def project(
        self, derived: Sequence[Any], frame: Any, known: Sequence[Any] | None = None
    ) -> tuple[Arrays, Products]:
        """Computes the values that depend on a frame but not on states.

        Args:
            derived: the result of `derive`.
            frame: the frame, `[inputs]`.
            known: see `advance`.

        Returns:
            The values; factors and values of the tapped products.
        """
        values = self._constants | dict(zip(self._derived, derived, strict=True))
        values[self._frame] = frame
        tapped = _run_tapped(self._parts[_FRAME], values, self.frame_taps, derived, known)
        return [values[variable] for variable in self._projected], tapped

    def advance(
        self,
        derived: Sequence[Any],
        looped: Sequence[Any],
        projected: Sequence[Any],
        states: Sequence[Any],
        known: Sequence[Any] | None = None,
    ) -> tuple[Arrays, Products]:
        """Runs one step.

        Args:
            derived: the result of `derive`; tapped products take their weights from it.
            looped: the derived weights at the indices `Step.looped`, for everything else.
            projected: the result of `project`.
            states: the states before the step.
            known: values of the tapped products, if an earlier call has computed them. Their
                gradients are those of the products, and their weights get none.

        Returns:
            The output and the states after the step; factors and values of the tapped products.
        """
        values = self._constants | dict(zip(self._derived, derived, strict=True))
        places = [self._derived[place] for place in self.looped]
        values |= dict(zip(places, looped, strict=True))
        values |= dict(zip(self._projected, projected, strict=True))
        values |= dict(zip(self._states, states, strict=True))
        tapped = _run_tapped(self._parts[_STATES], values, self.taps, derived, known)
        return [_value(one, values) for one in self._outputs], tapped


def _is_tapped(equation: Any) -> bool:
    """Returns whether an operation is a product with one common axis."""
    if equation.primitive.name != _PRODUCT:
        return False
    (left, _), (batch, _) = equation.params["dimension_numbers"]
    return len(left) == 1 and not batch


def _run_tapped(
    equations: Iterable[Any],
    values: dict[Any, Any],
    taps: Sequence[Tap],
    derived: Sequence[Any],
    known: Sequence[Any] | None,
) -> Products:
    """Runs operations; returns factors and values of the tapped ones."""
    factors: Arrays = []
    products: Arrays = []
    for equation in equations:
        tap = next((tap for tap in taps if tap.equation is equation), None)
        if tap is None:
            _run([equation], values)
            continue
        factor, weight = values[equation.invars[0]], derived[tap.weight]
        if known is None:
            product = tap.multiply(factor, weight)
        else:
            product = _known_product(tap.multiply, factor, weight, known[len(factors)])
        factors.append(factor)
        products.append(product)
        values[equation.outvars[0]] = product
    return factors, products


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _known_product(multiply: Multiply, factor: Any, weight: Any, value: Any) -> Any:
    """Returns a product's value, with the gradient of the product for its factor and value."""
    return value


def _keep(multiply: Multiply, factor: Any, weight: Any, value: Any) -> tuple[Any, Any]:
    return value, (factor, weight)


def _propagate(multiply: Multiply, kept: Any, gradient: Any) -> tuple[Any, ...]:
    factor, weight = kept
    (of_factor,) = jax.linear_transpose(lambda factor: multiply(factor, weight), factor)(gradient)
    return of_factor, None, gradient


_known_product.defvjp(_keep, _propagate)


def _check_kept(step: Callable[..., Any], kept: Arrays, arguments: tuple[Any, ...]) -> None:
    """Rejects a cell whose steps read or change anything besides weights and states."""
    if not kept:
        return
    traced = jax.make_jaxpr(lambda kept: step(kept, *arguments))(kept).jaxpr
    read = {variable for equation in traced.eqns for variable in _read(equation)}
    if read & set(traced.invars) or traced.outvars[-len(kept) :] != traced.invars:
        raise ValueError("expected a cell of weights and states alone, without dropout")


def _whole(variable: Any) -> bool:
    """Returns whether a variable holds integers or booleans."""
    return not jnp.issubdtype(variable.aval.dtype, jnp.inexact)


def _distinct(variables: Iterable[Any], kinds: Mapping[Any, int], kind: int) -> list[Any]:
    """Lists the variables of a kind, each once."""
    return [one for one in dict.fromkeys(variables) if kinds[one] == kind]


def _read(equation: Any) -> list[Any]:
    """Lists the variables that an operation reads."""
    return [one for one in equation.invars if not isinstance(one, jex.Literal)]


def _value(one: Any, values: Mapping[Any, Any]) -> Any:
    return one.val if isinstance(one, jex.Literal) else values[one]


def _run(equations: Iterable[Any], values: dict[Any, Any]) -> None:
    """Runs operations, which read and write `values`."""
    for equation in equations:
        results = _apply(equation, [_value(one, values) for one in equation.invars])
        values |= dict(zip(equation.outvars, results, strict=True))


def _apply(equation: Any, arguments: Sequence[Any]) -> Arrays:
    """Runs one operation."""
    parameters = equation.primitive.get_bind_params(equation.params)
    # Older releases of JAX return functions in addition to the parameters.
    functions, parameters = parameters if isinstance(parameters, tuple) else ((), parameters)
    results = equation.primitive.bind(*functions, *arguments, **parameters)
    return list(results) if equation.primitive.multiple_results else [results]


def _evaluate(closed: Any, arguments: Sequence[Any]) -> Arrays:
    """Runs a traced function, and the functions it calls, operation by operation."""
    jaxpr = closed.jaxpr
    values = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    values |= dict(zip(jaxpr.invars, arguments, strict=True))
    for equation in jaxpr.eqns:
        inputs = [_value(one, values) for one in equation.invars]
        if equation.primitive.name in _INLINED:
            results = _evaluate(equation.params["jaxpr"], inputs)
        else:
            results = _apply(equation, inputs)
        values |= dict(zip(equation.outvars, results, strict=True))
    return [_value(one, values) for one in jaxpr.outvars]
