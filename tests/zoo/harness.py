"""What the tests of the zoo share: a random problem, and a Keras layer that solves it.

Runs on the TensorFlow and JAX backends; the backend-specific part is `Differentiable`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pytest

import zoo
from tests.zoo import reference

ROOT = pathlib.Path(__file__).absolute().parents[2]
"""The root of the source tree, where `import zoo` works."""

CELLS: dict[str, type[zoo.VariantCell]] = {
    "V": zoo.VanillaCell,
    "NIG": zoo.NoInputGateCell,
    "NFG": zoo.NoForgetGateCell,
    "NOG": zoo.NoOutputGateCell,
    "NIAF": zoo.NoInputActivationCell,
    "NOAF": zoo.NoOutputActivationCell,
    "CIFG": zoo.CoupledInputForgetGateCell,
    "NP": zoo.NoPeepholesCell,
    "FGR": zoo.FullGateRecurrenceCell,
}
"""The class of every variant; not taken from the registry, which is itself under test."""

SOME = [
    code if code in ("V", "FGR", "CIFG") else pytest.param(code, marks=pytest.mark.slow)
    for code in reference.CODES
]
"""All variants as parameters, those slow that go ways which the others have gone."""

ON_JAX = keras.backend.backend() == "jax"
each_variant = pytest.mark.parametrize("code", SOME if ON_JAX else reference.CODES)
"""What a variant computes follows from its switches on every backend: one backend tests all."""

some_variants = pytest.mark.parametrize("code", SOME)

BATCH, TIME, FEATURES, UNITS = 2, 5, 3, 4
"""All different, so that no exchange of axes goes unnoticed."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """Random weights, inputs and initial states of one variant, and a random linear loss.

    Every number differs from every other (equal weights would hide exchanged gates) and no state
    starts at zero (a zero state would hide recurrent weights, forget gate and peepholes).

    Attributes:
        code: the variant, by code or switches.
        weights: by their name in Keras.
        inputs: `(batch, time, features)`.
        states: the initial states.
        output_gradient: gradient of the loss in each output.
        state_gradients: gradient of the loss in each final state.
    """

    code: str | zoo.Variant
    weights: dict[str, np.ndarray]
    inputs: np.ndarray
    states: list[np.ndarray]
    output_gradient: np.ndarray
    state_gradients: list[np.ndarray]

    @property
    def point(self) -> dict[str, np.ndarray]:
        """Everything that the loss can be differentiated by."""
        states = {f"state {index}": state for index, state in enumerate(self.states)}
        return {**self.weights, "inputs": self.inputs, **states}

    def loss(self, outputs: Any, finals: Sequence[Any]) -> Any:
        """The loss of outputs and final states, of NumPy or of the backend."""
        loss = (outputs * self.output_gradient).sum()
        for final, gradients in zip(finals, self.state_gradients, strict=True):
            loss = loss + (final * gradients).sum()
        return loss

    def reference_loss(self, point: Mapping[str, np.ndarray], **arguments: Any) -> Any:
        """The loss at `point` by the NumPy reference, which gets the arguments too."""
        states = [point[f"state {index}"] for index in range(len(self.states))]
        results = reference.forward(self.code, point, point["inputs"], states, **arguments)
        return self.loss(*results)


def make_problem(
    code: str | zoo.Variant,
    seed: int = 0,
    batch: int = BATCH,
    time: int = TIME,
    features: int = FEATURES,
    units: int = UNITS,
) -> Problem:
    """Draws a problem; weights are N(0, 1/2), so that gates are far from saturated."""
    name = code if isinstance(code, str) else code.code
    random = np.random.default_rng([seed, *name.encode()])
    wide = len(reference.gates(code)) * units
    peepholes = len(reference.peepholes(code)) * units
    gates = len(reference.recurrent(code)) * units
    shapes = {
        "kernel": (features, wide),
        "recurrent_kernel": (units, wide),
        "bias": (wide,),
        "peephole": (peepholes,),
        "gate_recurrent_kernel": (gates, gates),
    }
    shapes = {name: shape for name, shape in shapes.items() if 0 not in shape}
    sizes = [units, units, *([gates] if gates else [])]
    return Problem(
        code,
        weights={name: random.normal(0, 0.5, shape) for name, shape in shapes.items()},
        inputs=random.normal(size=(batch, time, features)),
        states=[random.normal(size=(batch, size)) for size in sizes],
        output_gradient=random.normal(size=(batch, time, units)),
        state_gradients=[random.normal(size=(batch, size)) for size in sizes],
    )


def legal_variants() -> list[zoo.Variant]:
    """Every combination of switches that `zoo.Variant` accepts."""
    names = [field.name for field in dataclasses.fields(reference.Switches)]
    legal = []
    for values in itertools.product((False, True), repeat=len(names)):
        code = "X" + "".join(str(int(value)) for value in values)
        with contextlib.suppress(ValueError):
            legal.append(zoo.Variant(code, code, **dict(zip(names, values, strict=True))))
    return legal


def assert_step_follows_the_paper(problem: Problem, step: Callable[..., Any]) -> None:
    """Compares outputs and final states of `zoo.variant_cell.step`, run on NumPy, to the paper's.

    Args:
        problem: what to compute.
        step: the function, or one with a mistake.
    """
    code, weights = problem.code, problem.weights
    variant = zoo.get_variant(code) if isinstance(code, str) else code
    peephole = reference.blocks(weights.get("peephole", np.empty(0)), reference.peepholes(code))
    h, c, *gates = problem.states
    outputs = []
    for x in problem.inputs.transpose(1, 0, 2):
        a = x @ weights["kernel"] + h @ weights["recurrent_kernel"] + weights["bias"]
        a = reference.blocks(a, reference.gates(code))
        if gates:
            extra = gates[0] @ weights["gate_recurrent_kernel"]
            for gate, block in reference.blocks(extra, reference.recurrent(code)).items():
                a[gate] = a[gate] + block
        h, c, new = step(variant, a, c, peephole, np.tanh, reference.sigmoid)
        gates = [np.concatenate(new, axis=-1)] if gates else []
        outputs.append(h)
    expected, states = reference.forward(code, weights, problem.inputs, problem.states)
    assert_close(np.stack(outputs, axis=1), expected, 1e-13, "outputs")
    for index, (final, state) in enumerate(zip([h, c, *gates], states, strict=True)):
        assert_close(final, state, 1e-13, f"state {index}")


def _tanh(x: Any) -> Any:
    return 2 * keras.ops.sigmoid(2 * x) - 1


def float64_arguments(dtype: str) -> dict[str, Any]:
    """Arguments of a cell that keep float64 on JAX, where `keras.ops.tanh` rounds to float32.

    Keras says so in `keras.backend.common.dtypes`: 64 bits are for the TensorFlow backend only. The
    cells' own tanh is tested on JAX in float32.
    """
    return {"activation": _tanh} if ON_JAX and dtype == "float64" else {}


@functools.cache
def exact_gradient(code: str) -> dict[str, np.ndarray]:
    """The gradient of `make_problem(code)` by the reference, which takes its time."""
    problem = make_problem(code)
    return reference.gradient(problem.reference_loss, problem.point)


def set_weights(cell: keras.layers.Layer, weights: Mapping[str, np.ndarray]) -> None:
    """Gives a built cell its weights by name, and checks that it has these and no others."""
    names = [variable.name for variable in cell.trainable_variables]
    assert sorted(names) == sorted(weights), "the cell has other weights than the paper"
    for variable in cell.trainable_variables:
        variable.assign(weights[variable.name])


@functools.cache
def cell_class(code: str | zoo.Variant) -> type[zoo.VariantCell]:
    """The class of a variant; of switches a new one."""
    return (
        CELLS[code]
        if isinstance(code, str)
        else type("Cell", (zoo.VariantCell,), {"variant": code})
    )


def make_cell(problem: Problem, dtype: str = "float64", **arguments: Any) -> zoo.VariantCell:
    """Makes the cell of a problem, with its weights."""
    units = problem.states[0].shape[-1]
    cell = cell_class(problem.code)(units, dtype=dtype, **{**float64_arguments(dtype), **arguments})
    cell.build((None, problem.inputs.shape[-1]))
    set_weights(cell, problem.weights)
    return cell


def make_layer(
    problem: Problem,
    dtype: str = "float64",
    cell_arguments: Mapping[str, Any] | None = None,
    kind: type[keras.layers.RNN] = keras.layers.RNN,
    **arguments: Any,
) -> keras.layers.RNN:
    """Makes a layer around the cell of a problem; returns all outputs and the states."""
    arguments = {"return_sequences": True, "return_state": True, **arguments}
    cell = make_cell(problem, dtype, **(cell_arguments or {}))
    layer = kind(cell, dtype=dtype, **arguments)
    layer.build(problem.inputs.shape)
    return layer


@contextlib.contextmanager
def small_blocks() -> Iterator[None]:
    """Blocks of 2 or 3 steps: a graph that holds few steps is made in a third of the time."""
    from zoo import blocks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_BLOCK_STEPS", (2, 3))
        yield


def numpy_of(tensors: Any) -> Any:
    """Takes tensors, nested as they may be, to NumPy."""
    if isinstance(tensors, list | tuple):
        return [numpy_of(tensor) for tensor in tensors]
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(tensors)))


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """On JAX one program: of each operation alone JAX would compile one."""
    if not ON_JAX:
        return function
    import jax

    return jax.jit(function)


def run(
    layer: keras.layers.RNN, problem: Problem, **arguments: Any
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Calls a layer of `make_layer` with the inputs and initial states of a problem."""
    tensors = [keras.ops.convert_to_tensor(state) for state in problem.states]
    inputs = keras.ops.convert_to_tensor(problem.inputs)
    outputs, *finals = numpy_of(layer(inputs, initial_state=tensors, **arguments))
    return outputs, finals


def assert_close(actual: Any, expected: Any, tolerance: float, name: str = "") -> None:
    """Compares arrays by absolute and, above 1, relative difference."""
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance, err_msg=name)


def assert_all_close(
    actual: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], tolerance: float
) -> None:
    """Compares arrays by name."""
    assert list(actual) == list(expected)
    for name, array in expected.items():
        assert actual[name].shape == array.shape, name
        assert_close(actual[name], array, tolerance, name)


class Differentiable:
    """The loss of a problem as a function of `problem.point` on the backend in use.

    Args:
        problem: gives the point and the loss.
        layer: of `make_layer`, or with the same call, weights and results.
        dtype: of the point and of the sum that makes the loss.
        **arguments: of the call of the layer.
    """

    def __init__(
        self,
        problem: Problem,
        layer: keras.layers.RNN,
        dtype: str = "float64",
        **arguments: Any,
    ) -> None:
        # The states of the cell's random generator, needed to call it, but unused here.
        others = [variable.value for variable in layer.non_trainable_variables]
        names = [variable.name for variable in layer.trainable_variables]
        gradients = [problem.output_gradient, *problem.state_gradients]
        gradients = [array.astype(dtype) for array in gradients]

        def loss(point: dict[str, Any]) -> Any:
            states = [point[f"state {index}"] for index in range(len(problem.states))]
            weights = [point[name] for name in names]
            results, _ = layer.stateless_call(
                weights, others, point["inputs"], initial_state=states, **arguments
            )
            pairs = zip(results, gradients, strict=True)
            return sum(keras.ops.sum(keras.ops.cast(r, dtype) * gradient) for r, gradient in pairs)

        self._point = {name: array.astype(dtype) for name, array in problem.point.items()}
        self.loss, self._gradient = _compile(loss)

    def gradient(self) -> dict[str, np.ndarray]:
        """The gradient of the loss by the backend's automatic differentiation."""
        tensors = {name: keras.ops.convert_to_tensor(a) for name, a in self._point.items()}
        gradient = self._gradient(tensors)
        return {name: numpy_of(gradient[name]) for name in self._point}


def _compile(loss: Callable[[dict[str, Any]], Any]) -> tuple[Callable, Callable]:
    """Makes a fast function and its gradient on the backend in use."""
    if ON_JAX:
        import jax

        return jax.jit(loss), jax.jit(jax.grad(loss))

    import tensorflow as tf

    def gradient(point: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(point)
            value = loss(point)
        return tape.gradient(value, point)

    # The loss is called once per entry of the point, the gradient once: tracing would cost more.
    return tf.function(loss), gradient


def run_python(*arguments: str, folder: pathlib.Path = ROOT, **environment: str) -> str:
    """Runs a fresh Python process that can import `zoo`, and returns what it printed.

    Raises:
        AssertionError: if it failed; the message ends with the end of what it printed.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment = {
        **inherited,
        # All of the path, because a build tool may have put the dependencies there.
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "-1",
        **environment,
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout[-5000:]}\n{done.stderr[-5000:]}"
    return done.stdout
