"""Guided evolutionary strategies: moments, bias and variance, degenerate guides, state."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest

import zoo
from tests.zoo.harness import assert_close, numpy_of
from zoo.directions import exact_directions, orthonormal, perturbations

SAMPLES = 100_000


def _basis(n: int, k: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.linalg.qr(random.normal(size=(n, k)))[0].T


def _draw(n: int, k: int, samples: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(samples, n)), random.normal(size=(samples, k))


def _tensors(*arrays: np.ndarray) -> list[Any]:
    return [keras.ops.convert_to_tensor(array, dtype=array.dtype.name) for array in arrays]


def _gradient(basis: np.ndarray, share: float) -> np.ndarray:
    """A gradient of length 1 with this part of its square in the subspace."""
    random = np.random.default_rng(3)
    within = random.normal(size=len(basis)) @ basis
    outside = random.normal(size=basis.shape[1])
    outside -= outside @ basis.T @ basis
    parts = [part / np.linalg.norm(part) for part in (within, outside)]
    return math.sqrt(share) * parts[0] + math.sqrt(1 - share) * parts[1]


def _variable(*values: float, dtype: str = "float64") -> keras.Variable:
    return keras.Variable(np.array(values, dtype), dtype=dtype)


def _sum(values: list[Any]) -> Any:
    return keras.ops.sum(values[0])


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_perturbations_have_the_covariance_of_the_paper(alpha: float) -> None:
    n, k, sigma = 6, 2, 0.7
    basis = _basis(n, k)
    points = numpy_of(perturbations(*_tensors(basis, *_draw(n, k, SAMPLES)), alpha, sigma))
    expected = sigma**2 * (alpha / n * np.eye(n) + (1 - alpha) / k * basis.T @ basis)
    assert np.trace(expected) == pytest.approx(sigma**2)
    # The variance of a product of two jointly normal numbers.
    error = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / SAMPLES)
    assert np.all(np.abs(points.T @ points / SAMPLES - expected) < 4 * error + 1e-12)
    if alpha == 0:
        assert_close(points @ basis.T @ basis, points, 1e-12)


def test_without_a_subspace_a_plain_strategy_remains() -> None:
    xi, zeta = _draw(5, 2, 4)
    plain = 0.1 * xi / math.sqrt(5)
    for basis, alpha in ((_basis(5, 2), 1.0), (np.zeros((2, 5)), 0.3)):
        assert_close(numpy_of(perturbations(*_tensors(basis, xi, zeta), alpha, 0.1)), plain, 1e-15)
    assert not np.any(numpy_of(perturbations(*_tensors(np.zeros((2, 5)), xi, zeta), 0.0, 0.1)))


@pytest.mark.parametrize(
    ("n", "k", "alpha", "beta", "share", "bias", "variance"),
    [
        (10, 1, 0.5, 1.0, 0.5, 0.55250, 0.45250),
        (10, 3, 0.2, 2.0, 0.3, 0.69973, 0.49973),
        (20, 2, 0.9, 1.5, 0.8, 0.76216, 0.20841),
    ],
)
def test_bias_and_variance(
    n: int, k: int, alpha: float, beta: float, share: float, bias: float, variance: float
) -> None:
    basis = _basis(n, k)
    gradient = _gradient(basis, share)
    points = numpy_of(perturbations(*_tensors(basis, *_draw(n, k, SAMPLES)), alpha, 1.0))
    estimates = beta * points * (points @ gradient)[:, None]
    mean = estimates.mean(axis=0)
    # Without what the mean of a sample strays by itself.
    found = estimates.var(axis=0, ddof=1).sum()
    assert found == pytest.approx(variance, rel=0.02)
    assert ((mean - gradient) ** 2).sum() - found / SAMPLES == pytest.approx(bias, rel=0.02)


@pytest.mark.parametrize(
    ("n", "k", "share", "pairs", "alpha", "beta", "error"),
    [
        (100, 1, 0.5, 1, 0.0, 0.3333, 0.833333),
        (100, 3, 0.05, 10, 0.94030, 8.8162, 0.908329),
        (1000, 10, 0.5, 10, 0.0, 4.7619, 0.761905),
    ],
)
def test_expected_error_at_the_best_scale(
    n: int, k: int, share: float, pairs: int, alpha: float, beta: float, error: float
) -> None:
    basis, trials = _basis(n, k), 40_000 // (n // 100 * pairs)
    gradient = _gradient(basis, share)
    points = numpy_of(perturbations(*_tensors(basis, *_draw(n, k, trials * pairs)), alpha, 1.0))
    estimates = beta / pairs * points * (points @ gradient)[:, None]
    means = estimates.reshape(trials, pairs, n).sum(axis=1)
    errors = ((means - gradient) ** 2).sum(axis=1)
    assert abs(errors.mean() - error) < 3 * errors.std() / math.sqrt(trials)


@pytest.mark.parametrize(
    ("n", "share", "pairs", "error"),
    [(100, 0.5, 10, 0.458716), (100, 0.9, 10, 0.091743), (20, 0.5, 1, 0.5)],
)
def test_expected_error_of_the_exact_guide(n: int, share: float, pairs: int, error: float) -> None:
    basis, trials, others = _basis(n, 1), 4000, pairs - 1
    gradient = _gradient(basis, share)
    xi = np.random.default_rng(1).normal(size=(trials * others, n))
    axis, one, drawn = _tensors(basis, np.array(1.0), xi)
    _, weights = map(numpy_of, exact_directions(axis, one, drawn[:others] if others else None))
    points, _ = map(numpy_of, exact_directions(axis, one, drawn if others else None))
    assert weights[1:] == pytest.approx([(n - 1) / (others + n)] * others)
    samples = points[1:].reshape(trials, others, n)
    scaled = weights[1:] * (samples @ gradient)
    estimates = points[0] * (points[0] @ gradient) + np.einsum("tp,tpn->tn", scaled, samples)
    errors = ((estimates - gradient) ** 2).sum(axis=1)
    assert abs(errors.mean() - error) < 3 * errors.std() / math.sqrt(trials) + 1e-6


def test_plain_strategy_on_a_quadratic_follows_its_moments() -> None:
    # m_i, the mean of the square of gradient i, follows a recursion; the gap is half of m_i/l_i.
    n, rate, steps, streams = 20, 0.3, 60, 2000
    curvature = np.linspace(0.1, 2, n)
    random = np.random.default_rng(5)
    start = random.normal(size=n)
    moments = (curvature * start) ** 2
    x = np.tile(start, (streams, 1))
    xi, zeta = random.normal(size=(steps, streams, n)), np.zeros((steps * streams, 1))
    nothing = np.zeros((1, n))
    points = numpy_of(perturbations(*_tensors(nothing, xi.reshape(-1, n), zeta), 1.0, 0.1))
    for now in points.reshape(xi.shape):
        x -= rate * now / 0.1**2 * ((curvature * x) * now).sum(axis=1, keepdims=True)
        shrunk = 1 - 2 * rate * curvature / n + 2 * rate**2 * curvature**2 / n**2
        moments = moments * shrunk + rate**2 * curvature**2 * moments.sum() / n**2
    gaps = (curvature * x**2).sum(axis=1) / 2
    expected = (moments / curvature).sum() / 2
    assert expected < 0.5 * (curvature * start**2).sum() / 2
    assert abs(gaps.mean() - expected) < 3 * gaps.std() / math.sqrt(streams)


def _loss_of(weights: np.ndarray) -> Any:
    return lambda values: sum(
        keras.ops.sum(keras.ops.reshape(value, (-1,)) * part)
        for value, part in zip(values, _tensors(*np.split(weights, [2])), strict=True)
    )


@pytest.mark.parametrize("granularity", ["global", "variable"])
def test_estimate_is_right_on_average(granularity: str) -> None:
    n, alpha, beta = 8, 0.4, 1.5
    gradient = np.arange(1.0, n + 1)
    surrogate = np.cos(gradient)
    variables = [_variable(0.3, -0.2), keras.Variable(np.ones((2, 3)), dtype="float64")]
    guided = zoo.GuidedES("sgd", alpha, 0.3, beta, pairs=SAMPLES, granularity=granularity, seed=7)
    given = [surrogate[:2], surrogate[2:].reshape(2, 3)]
    found = guided.estimate(_loss_of(gradient), variables, given)
    assert [tuple(each.shape) for each in found] == [(2,), (2, 3)]
    covariance = alpha / n * np.eye(n)
    parts = [slice(0, n)] if granularity == "global" else [slice(0, 2), slice(2, n)]
    for part in parts:
        axis = surrogate[part] / np.linalg.norm(surrogate[part])
        share = (part.stop - part.start) / n
        covariance[part, part] += share * (1 - alpha) * np.outer(axis, axis)
    assert np.trace(covariance) == pytest.approx(1)
    flat = np.concatenate([numpy_of(each).ravel() for each in found])
    length = np.linalg.norm(gradient)
    assert_close(flat, beta * covariance @ gradient, 4 * beta * length / math.sqrt(SAMPLES))


@pytest.mark.parametrize("guide", ["sampled", "exact"])
def test_on_a_quadratic_the_size_of_perturbations_has_no_effect(guide: str) -> None:
    estimates = []
    for sigma, vectorized in ((1e-3, True), (1.0, False)):
        x = _variable(1.0, -2.0, 3.0)
        guided = zoo.GuidedES(
            "sgd", 0.5, sigma, pairs=3, guide=guide, seed=2, vectorized=vectorized
        )
        (curvature,) = _tensors(np.array([1.0, 2.0, 0.5]))
        estimate = guided.estimate(
            lambda values, curvature=curvature: keras.ops.sum(values[0] ** 2 * curvature),
            [x],
            [np.array([1.0, 0.5, 0.0])],
        )
        estimates.append(numpy_of(estimate[0]))
    assert_close(estimates[0], estimates[1], 1e-9)
    assert np.linalg.norm(estimates[0]) > 0.1


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]),
        ([[0, 2, 0], [0, -3, 0]], [[0, 1, 0], [0, 0, 0]]),
        ([[0, 0, 0], [0, 0, 5]], [[0, 0, 0], [0, 0, 1]]),
        ([[np.nan, 1, 0], [3e30, 4e30, 0]], [[0, 0, 0], [0.6, 0.8, 0]]),
        ([[0, 1e-30, 0], [np.inf, 0, 0]], [[0, 1, 0], [0, 0, 0]]),
        ([[1, 1, 0], [1, 1.0000001, 0], [0, 3, 0]], [[0.5**0.5, 0.5**0.5, 0], [0, 0, 0], None]),
    ],
    ids=["zeros", "parallel", "not yet full", "not a number", "small", "a third takes its place"],
)
def test_basis_has_no_arbitrary_axes(rows: list[list[float]], expected: list[Any]) -> None:
    basis = numpy_of(orthonormal(*_tensors(np.array(rows, "float32"))))
    for row, right in zip(basis, expected, strict=True):
        # What is left out counts as a direction unless it is exactly 0.
        assert np.any(row) == (right is None or any(right))
        assert_close(row, [-(0.5**0.5), 0.5**0.5, 0] if right is None else right, 1e-6)


def test_subspace_is_that_of_the_last_surrogates() -> None:
    x = _variable(0.0, 0.0, 0.0, 0.0)
    guided = zoo.GuidedES("sgd", subspace=2, pairs=2, guide="exact", seed=1)
    axes, ones = np.eye(4), np.ones(4)
    expected = [axes[0], axes[0] + axes[1], ones - axes[3], axes[2], axes[3], axes[3]]
    surrogates = [axes[0], axes[0] + axes[1], axes[2] * 9, np.zeros(4), axes[3], None]
    for place, (surrogate, right) in enumerate(zip(surrogates, expected, strict=True)):
        found = numpy_of(guided.estimate(_sum, [x], [surrogate])[0])
        assert_close(found, right, 1e-12, f"after {place + 1}")


def test_variables_without_a_gradient_count_as_zero() -> None:
    variables = [_variable(1.0), _variable(2.0, 3.0)]
    guided = zoo.GuidedES("sgd", guide="exact", seed=1)
    given = [None, np.array([3.0, 4.0])]
    found = numpy_of(guided.estimate(lambda values: keras.ops.sum(values[1]), variables, given))
    assert_close(found[0], [0.0], 1e-12)
    assert_close(found[1], np.array([0.6, 0.8]) * 1.4, 1e-12)


def test_surrogate_is_needed_below_alpha_1() -> None:
    x = _variable(1.0, 2.0)
    plain = zoo.GuidedES("sgd", alpha=1, pairs=4, seed=1)
    assert np.all(np.isfinite(numpy_of(plain.estimate(_sum, [x])[0])))
    for guided in (zoo.GuidedES("sgd"), zoo.GuidedES("sgd", alpha=1, guide="exact")):
        with pytest.raises(ValueError, match="expected gradients unless alpha is 1"):
            guided.estimate(_sum, [x])
    with pytest.raises(ValueError, match=r"expected gradients of shapes \[\(2,\)\], got \[\(3,"):
        plain.estimate(_sum, [x], [np.ones(3)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 1.5}, "`alpha`, expected a number from 0 to 1, got 1.5"),
        ({"alpha": math.nan}, "`alpha`, expected a number from 0 to 1, got nan"),
        ({"sigma": 0}, "`sigma`, expected a number above 0, got 0"),
        ({"beta": "1"}, "`beta`, expected a finite number, got '1'"),
        ({"subspace": 0}, "`subspace`, expected a positive integer, got 0"),
        ({"pairs": 2.0}, "`pairs`, expected a positive integer, got 2.0"),
        ({"guide": "best"}, "`guide`, expected 'sampled' or 'exact', got 'best'"),
        ({"granularity": "row"}, "`granularity`, expected 'global' or 'variable', got 'row'"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        zoo.GuidedES(**arguments)


def test_exact_guide_needs_a_pair_for_each_direction() -> None:
    variables = [_variable(1.0), _variable(2.0)]
    guided = zoo.GuidedES("sgd", guide="exact", granularity="variable", subspace=2, pairs=3)
    with pytest.raises(ValueError, match="`pairs`, expected at least 4, .* got 3"):
        guided.build(variables)


def test_configuration_is_complete() -> None:
    guided = zoo.GuidedES(
        keras.optimizers.SGD(0.25, momentum=0.5),
        *(0.25, 0.5, 2.0, 3, 4, "variable", "exact", False, 5, "mine"),
    )
    config = guided.get_config()
    again = keras.optimizers.deserialize(keras.optimizers.serialize(guided))
    assert again.get_config() == config
    assert again.inner_optimizer.momentum == 0.5
    again.learning_rate = 0.125
    assert float(numpy_of(again.inner_optimizer.learning_rate)) == 0.125
