"""The scan by itself: networks side by side, and the gradient of its pointwise part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.zoo import harness, reference
from zoo import blocks, recurrence

TRIALS, TIME = 3, 5
FLOAT64 = 1e-12
NAMES = ("recurrent_kernel", "peephole", "gate_recurrent_kernel")


def draw(code: str, trials: int = TRIALS) -> dict[str, np.ndarray]:
    """Random tensors for `scan` with a trial axis, by argument."""
    problems = [harness.make_problem(code, seed=seed, time=TIME) for seed in range(trials)]
    wide = problems[0].weights["recurrent_kernel"].shape[-1]
    random = np.random.default_rng(0)
    point = {"inputs": random.normal(size=(TIME, trials, harness.BATCH, wide))}
    for index in range(len(problems[0].states)):
        point[f"state {index}"] = np.stack([problem.states[index] for problem in problems])
    for name in NAMES:
        if name in problems[0].weights:
            point[name] = np.stack([problem.weights[name] for problem in problems])
    return point


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps take two blocks, the last not full; many in one take long to trace."""
    monkeypatch.setattr(blocks, "_BLOCK_STEPS", (2, 3))


def compiled(code: str, names: list[str]) -> Callable[..., list[tf.Tensor]]:
    """Makes a function that is traced once for all points of the same shapes."""

    @tf.function
    def differentiate(values: list[tf.Tensor], mask: tf.Tensor | None) -> list[tf.Tensor]:
        tensors = dict(zip(names, values, strict=True))
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            outputs, states = recurrence.scan(
                zoo.get_variant(code),
                tensors["inputs"],
                [tensors[name] for name in tensors if name.startswith("state")],
                *(tensors.get(name) for name in NAMES),
                mask=mask,
            )
            loss = sum(tf.reduce_sum(tf.sin(3 * result)) for result in [outputs, *states])
        return [outputs, *states, *tape.gradient(loss, list(tensors.values()))]

    return differentiate


def run(
    differentiate: Callable[..., list[tf.Tensor]],
    point: dict[str, np.ndarray],
    mask: np.ndarray | None,
) -> list[np.ndarray]:
    """Outputs, final states and, of a nonlinear loss of these, the gradient by all of `point`."""
    values = [tf.constant(array) for array in point.values()]
    kept = None if mask is None else tf.constant(mask)
    return [tensor.numpy() for tensor in differentiate(values, kept)]


@pytest.mark.parametrize(
    ("code", "masked"),
    [
        pytest.param(code, masked, marks=[] if masked or code == "V" else pytest.mark.slow)
        for code in reference.CODES
        for masked in (False, True)
    ],
)
def test_trials_are_networks_of_their_own(code: str, masked: bool) -> None:
    point = draw(code)
    mask = None
    if masked:
        mask = np.random.default_rng(1).random((TIME, TRIALS, harness.BATCH)) < 0.6
    differentiate = compiled(code, list(point))
    together = run(differentiate, point, mask)
    states = sum(name.startswith("state") for name in point)
    for trial in range(TRIALS):
        alone = {
            name: array[:, trial] if name == "inputs" else array[trial]
            for name, array in point.items()
        }
        expected = run(differentiate, alone, None if mask is None else mask[:, trial])
        for index, (found, wanted) in enumerate(zip(together, expected, strict=True)):
            # Outputs and the slopes of inputs begin with time.
            part = found[:, trial] if index in (0, 1 + states) else found[trial]
            harness.assert_close(part, wanted, FLOAT64, str(index))


@pytest.mark.parametrize("code", ["V", "FGR"])
def test_gradient_equals_central_differences(code: str) -> None:
    point = {name: array[0] for name, array in draw(code).items() if name != "inputs"}
    point["inputs"] = draw(code)["inputs"][:4, 0]
    mask = np.array([[1, 1], [0, 1], [1, 0], [1, 1]], bool)
    gradient = run(compiled(code, list(point)), point, mask)[-len(point) :]
    tensors = {name: tf.constant(array) for name, array in point.items()}
    random = np.random.default_rng(2)

    @tf.function
    def loss(tensors: dict[str, tf.Tensor]) -> tf.Tensor:
        outputs, states = recurrence.scan(
            zoo.get_variant(code),
            tensors["inputs"],
            [tensors[name] for name in tensors if name.startswith("state")],
            *(tensors.get(name) for name in NAMES),
            mask=mask,
        )
        return sum(tf.reduce_sum(tf.sin(3 * result)) for result in [outputs, *states])

    for name, slope in zip(point, gradient, strict=True):
        way = random.normal(size=point[name].shape)
        step = 1e-5
        above, below = (
            float(loss({**tensors, name: tensors[name] + sign * step * way})) for sign in (1, -1)
        )
        np.testing.assert_allclose((slope * way).sum(), (above - below) / (2 * step), rtol=1e-6)
