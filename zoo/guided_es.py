"""Guided evolutionary strategies: gradients from loss values, guided by a surrogate gradient.

Maheswaranathan et al. 2019, *Guided evolutionary strategies: augmenting random search with
surrogate gradients*. Loss values at random points give a gradient that is correct on average, but
very noisy in many dimensions; a surrogate gradient (from truncated backpropagation, or of a smooth
loss in place of the true one) has no noise, but a bias. Here, the points are drawn mostly from the
subspace of the latest surrogate gradients, and the loss itself determines the step in it.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from zoo.directions import (
    exact_directions,
    orthonormal,
    perturbations,
    side_by_side,
    slices,
)
from zoo.gradients import batched, one_by_one
from zoo.variant_cell import Tensor, check_argument, is_positive_integer


@keras.saving.register_keras_serializable(package="lstm_odyssey")
class GuidedES(keras.optimizers.Optimizer):
    """Optimizer that estimates gradients by guided evolutionary strategies for an inner optimizer.

        ε = σ √(α/n) ξ + σ √((1-α)/k) U ζ,  ξ ~ N(0, I_n), ζ ~ N(0, I_k),  E‖ε‖² = σ²
        g = β / (2 σ² P) Σ_j ε_j (f(x + ε_j) - f(x - ε_j))

    The columns of U `(n, k)` are an orthonormal basis of the last k surrogate gradients; while
    there are fewer, or if they are linearly dependent, k is the actual number of columns.
    Without any, ξ gets all of σ², and with α = 0 the estimate is 0. With ρ² the fraction of the
    squared length of ∇f that lies in the subspace, s = α/n, t = (1-α)/k, A = s + tρ² and
    B = s² + (t² + 2st) ρ², a locally quadratic f gives

        ‖E[g] - ∇f‖² / ‖∇f‖² = β²B - 2βA + 1,  tr Var[g] / ‖∇f‖² = β²(A + B)/P

    With `guide="exact"`, one pair for each column of U measures the derivative along it, and the
    other P - k pairs estimate the gradient in the remaining n - k dimensions, shrunk to minimize
    its expected squared error; α then has no effect. For k ≤ P, the expected error is never
    above that of the sampled form at its best α and β in the subspace alone.

    Use it in `zoo.GuidedESModel.compile`, or in a custom loop with `step`. Its state (the surrogate
    gradients, that of the random generator and of the inner optimizer) is saved with a model.

    Args:
        optimizer: the inner optimizer, which applies the estimates; a Keras optimizer or its name.
        alpha: fraction of the variance in the whole space instead of the subspace, 0 to 1; 1 is a
            plain evolutionary strategy, which needs no surrogate.
        sigma: root mean squared length of a perturbation of all variables together, not the
            standard deviation of each. 0.001 to 0.1 times the length of x suits most losses.
        beta: factor of the estimate; acts like a learning rate, and has no effect if the optimizer
            divides by the gradient's size (Adam).
        subspace: k, number of surrogate gradients to keep.
        pairs: P, pairs of evaluations per step.
        granularity: `"global"` for one subspace of all variables together, or `"variable"` for one
            per variable, with a share of the variance proportional to its size.
        guide: `"sampled"` or `"exact"`; the latter needs at least one pair per column.
        vectorized: whether all evaluations of a step are one batched program; otherwise, they run
            one after the other, for a loss that needs concrete values.
        seed: random seed; None for a different one in every process.
        name: name of the optimizer.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> import keras, zoo
        >>> x = keras.Variable([3.0, -4.0])
        >>> guided = zoo.GuidedES(keras.optimizers.SGD(0.1), guide="exact", subspace=1, seed=1)
        >>> def loss(values):
        ...     return keras.ops.sum(values[0] ** 2) / 2
        >>> gradient = guided.estimate(loss, [x], surrogate=[keras.ops.array([1.0, 0.0])])
        >>> [round(float(each), 3) for each in gradient[0]]
        [3.0, 0.0]
    """

    built: bool

    def __init__(
        self,
        optimizer: Any = "sgd",
        alpha: float = 0.5,
        sigma: float = 0.1,
        beta: float = 1.0,
        subspace: int = 1,
        pairs: int = 1,
        granularity: str = "global",
        guide: str = "sampled",
        vectorized: bool = True,
        seed: int | None = None,
        name: str = "guided_es",
    ) -> None:
        share = _is_number(alpha) and 0 <= alpha <= 1
        check_argument("alpha", alpha, "a number from 0 to 1", share)
        check_argument("sigma", sigma, "a number above 0", _is_number(sigma) and sigma > 0)
        check_argument("beta", beta, "a finite number", _is_number(beta))
        for argument, count in (("subspace", subspace), ("pairs", pairs)):
            check_argument(argument, count, "a positive integer", is_positive_integer(count))
        for argument, value, known in (
            ("granularity", granularity, ("global", "variable")),
            ("guide", guide, ("sampled", "exact")),
        ):
            check_argument(argument, value, " or ".join(map(repr, known)), value in known)
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = keras.optimizers.get(optimizer)
        self.alpha, self.sigma, self.beta = float(alpha), float(sigma), float(beta)
        self.subspace, self.pairs = int(subspace), int(pairs)
        self.granularity, self.guide, self.vectorized = granularity, guide, bool(vectorized)
        self.seed = seed
        self._random = keras.random.SeedGenerator(seed, name="perturbations")

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the state for these variables; called on first use.

        Raises:
            ValueError: if the exact guide has fewer pairs than columns.
        """
        if self.built:
            return
        sizes = [math.prod(variable.shape) for variable in variables]
        self._sizes = [sum(sizes)] if self.granularity == "global" else sizes
        columns = self.subspace * len(self._sizes)
        if self.guide == "exact":
            expected = f"at least {columns}, one for each direction of the exact guide"
            check_argument("pairs", self.pairs, expected, self.pairs >= columns)
        dtypes = {variable.dtype for variable in variables}
        # On PyTorch the result of one double precision type would be single precision.
        dtype = dtypes.pop() if len(dtypes) == 1 else keras.backend.result_type(*dtypes)
        self.inner_optimizer.build(variables)
        super().build(variables)
        # The last surrogate gradients, newest first; 0 where there are none yet.
        self._surrogates = self.add_variable(
            (self.subspace, sum(sizes)), dtype=dtype, initializer="zeros", name="surrogates"
        )
        self.built = True

    @property
    def variables(self) -> list[keras.Variable]:
        """All state variables, those of the inner optimizer last."""
        return [*self._variables, self._random.state, *self.inner_optimizer.variables]

    @property
    def learning_rate(self) -> Any:
        """Learning rate of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """Number of updates by the inner optimizer."""
        return self.inner_optimizer.iterations

    def step(
        self,
        loss: Callable[[list[Tensor]], Tensor],
        variables: Sequence[keras.Variable],
        surrogate: Sequence[Tensor | None] | None = None,
    ) -> None:
        """Estimates the gradient and updates the variables with the inner optimizer.

        Arguments and errors are those of `estimate`. If compiled (`tf.function`; on JAX within a
        `keras.StatelessScope`), the batched program is traced once, otherwise in every call.

        Example:
            >>> import keras, zoo
            >>> x = keras.Variable([3.0, -4.0])
            >>> guided = zoo.GuidedES(keras.optimizers.SGD(0.5), guide="exact", seed=1)
            >>> def loss(values):
            ...     return keras.ops.sum(values[0] ** 2) / 2
            >>> guided.step(loss, [x], surrogate=[keras.ops.array([3.0, 0.0])])
            >>> keras.ops.convert_to_numpy(x).round(3).tolist()
            [1.5, -4.0]
        """
        self.inner_optimizer.apply(self.estimate(loss, variables, surrogate), list(variables))

    def estimate(
        self,
        loss: Callable[[list[Tensor]], Tensor],
        variables: Sequence[keras.Variable],
        surrogate: Sequence[Tensor | None] | None = None,
    ) -> list[Tensor]:
        """Estimates the gradient of a loss.

        Args:
            loss: f, maps the values of the variables, one tensor each, to a scalar. It must depend
                on these alone: dropout or noise that changes with every call adds to the estimate.
                It is not differentiated.
            variables: x.
            surrogate: a gradient that may be biased, in the variables' order and shapes; None for a
                variable means zero. It is added to the subspace. A gradient that is not finite
                counts as zero. Optional if α = 1 and the guide is sampled.

        Returns:
            g, in the variables' order, shapes and dtypes.

        Raises:
            ValueError: if the surrogate is missing but α is below 1 or the guide is exact, or if
                its shapes do not match the variables'.
        """
        self.build(variables)
        dtype = self._surrogates.dtype
        if surrogate is not None:
            gradient = _flat(self._complete(surrogate, variables), dtype)
            earlier = ops.convert_to_tensor(self._surrogates)[:-1]
            self._surrogates.assign(ops.concatenate([gradient[None], earlier]))
        elif self.needs_surrogate:
            raise ValueError(
                "Received an invalid value for argument `surrogate`, expected gradients unless "
                f"alpha is 1 and the guide sampled, got None (alpha {self.alpha}, {self.guide})."
            )
        point = _flat(variables, dtype)
        rows = ops.convert_to_tensor(self._surrogates)
        subspaces = [orthonormal(rows[:, part]) for part in slices(self._sizes)]
        points, weights = self._plan(subspaces, point.shape[0], dtype)

        def value(flat: Tensor) -> Tensor:
            return ops.cast(loss(_like(flat, variables)), dtype)

        steps = point + ops.concatenate([points, -points])
        if self.vectorized:
            values = batched(value, steps)
        else:
            values = one_by_one(value, ops.unstack(steps, 2 * self.pairs))
        above, below = ops.split(ops.reshape(values, (-1,)), 2)
        return _like(ops.matmul(weights * (above - below), points), variables)

    @property
    def needs_surrogate(self) -> bool:
        """Whether `estimate` needs a surrogate gradient."""
        return self.alpha < 1 or self.guide == "exact"

    def _plan(self, subspaces: list[Tensor], size: int, dtype: str) -> tuple[Tensor, Tensor]:
        """Returns perturbations `(pairs, n)` and the factors of their loss differences."""

        def normal(*shape: int) -> Tensor:
            return keras.random.normal(shape, dtype=dtype, seed=self._random)

        if self.guide == "exact":
            others = self.pairs - self.subspace * len(subspaces)
            basis, kept = side_by_side(subspaces)
            points, weights = exact_directions(
                basis, kept, normal(others, size) if others else None
            )
            return self.sigma * points, self.beta / (2 * self.sigma**2) * weights
        parts = [
            math.sqrt(basis.shape[1] / size)
            * perturbations(
                basis,
                normal(self.pairs, basis.shape[1]),
                normal(self.pairs, self.subspace),
                self.alpha,
                self.sigma,
            )
            for basis in subspaces
        ]
        points = ops.concatenate(parts, axis=1)
        factor = self.beta / (2 * self.sigma**2 * self.pairs)
        return points, factor * ops.ones((self.pairs,), dtype=dtype)

    def _complete(
        self, surrogate: Sequence[Tensor | None], variables: Sequence[keras.Variable]
    ) -> list[Tensor]:
        """Replaces missing gradients with zeros, and checks the shapes."""
        full = [
            ops.zeros(variable.shape, variable.dtype) if gradient is None else gradient
            for gradient, variable in zip(surrogate, variables, strict=True)
        ]
        shapes, expected = ([tuple(each.shape) for each in some] for some in (full, variables))
        # In a graph, TensorFlow may not know all sizes of a gradient.
        fits = all(
            len(shape) == len(sizes)
            and all(one in (None, size) for one, size in zip(shape, sizes, strict=True))
            for shape, sizes in zip(shapes, expected, strict=True)
        )
        check_argument("surrogate", shapes, f"gradients of shapes {expected}", fits)
        return full

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Rejects gradients.

        Raises:
            ValueError: always, so that a plain Keras model does not train with true gradients.
        """
        raise ValueError(
            "zoo.GuidedES takes values of a loss instead of gradients: compile a "
            "zoo.GuidedESModel with it, or call its step or estimate."
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        names = "alpha sigma beta subspace pairs granularity guide vectorized seed name".split()
        inner = keras.optimizers.serialize(self.inner_optimizer)
        return {"optimizer": inner, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> GuidedES:
        """Creates an optimizer from the result of `get_config`."""
        inner = keras.saving.deserialize_keras_object(
            config["optimizer"], custom_objects=custom_objects
        )
        return cls(**{**config, "optimizer": inner})


def _flat(tensors: Sequence[Any], dtype: str) -> Tensor:
    parts = [ops.reshape(ops.cast(ops.convert_to_tensor(t), dtype), (-1,)) for t in tensors]
    return ops.concatenate(parts)


def _like(flat: Tensor, variables: Sequence[keras.Variable]) -> list[Tensor]:
    """Splits a vector into tensors of the variables' shapes and dtypes."""
    parts = slices([math.prod(variable.shape) for variable in variables])
    return [
        ops.cast(ops.reshape(flat[part], variable.shape), variable.dtype)
        for part, variable in zip(parts, variables, strict=True)
    ]


def _is_number(value: Any) -> bool:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real and math.isfinite(value)
