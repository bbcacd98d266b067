"""The compiled CTC against sums in logarithms, also where scaled numbers do not reach."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp

from tests.tuner.native_code import alone
from tuner.training.native import ctc

OUTPUTS, WIDTH = 11, 16

loss_and_gradient = alone(ctc.loss_and_gradient)


def in_numpy(logits: np.ndarray, labels: list[int]) -> tuple[float, np.ndarray]:
    """-log p and its gradient by the textbook's sums, float64, logarithms throughout."""
    log_y = log_softmax(logits.astype(float), axis=1)
    path = np.full(2 * len(labels) + 1, OUTPUTS - 1)
    path[1::2] = labels
    time, states = len(logits), len(path)
    # Added to a path over two states: 0 where there is one.
    skip = np.full(states, -np.inf)
    skip[3::2][path[3::2] != path[1:-2:2]] = 0
    never = np.full(2, -np.inf)
    ahead = np.full((time, states), -np.inf)
    behind = np.full((time, states), -np.inf)
    ahead[0, :2] = log_y[0, path[:2]]
    behind[-1, -2:] = 0
    for t in range(1, time):
        before = np.concatenate([never, ahead[t - 1]])
        ways = [before[2:], before[1:-1], before[:-2] + skip]
        ahead[t] = logsumexp(ways, axis=0) + log_y[t, path]
    for t in range(time - 2, -1, -1):
        through = behind[t + 1] + log_y[t + 1, path]
        skipped = np.concatenate([through + skip, never])
        through = np.concatenate([through, never])
        behind[t] = logsumexp([through[:-2], through[1:-1], skipped[2:]], axis=0)
    log_p = logsumexp(ahead[-1, -2:])
    gradient = np.exp(log_y)
    for s, k in enumerate(path):
        gradient[:, k] -= np.exp(ahead[:, s] + behind[:, s] - log_p)
    return -log_p, gradient


def compiled(logits: np.ndarray, labels: list[int]) -> tuple[float, np.ndarray]:
    padded = np.zeros((len(logits), WIDTH), np.float32)
    padded[:, :OUTPUTS] = logits
    # More memory than needed, as every sequence but the longest has.
    buffers = ctc.CTCBuffers.allocate(OUTPUTS, len(logits) + 3, len(labels) + 2)
    flat = padded.reshape(-1)
    array = np.array(labels, np.int32)
    loss = loss_and_gradient(flat, WIDTH, OUTPUTS, len(logits), array, buffers)
    return loss, flat.reshape(-1, WIDTH)[:, :OUTPUTS]


def draw_labels(generator: np.random.Generator, count: int) -> list[int]:
    """Labels with some equal neighbors."""
    labels = generator.integers(OUTPUTS - 1, size=count)
    labels[1::5] = labels[::5][: len(labels[1::5])]
    return labels.tolist()


def rare_beginnings(generator: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """The labels must come early, where a blank is far likelier: later they are impossible."""
    logits = generator.normal(size=(400, OUTPUTS))
    logits[:200, :-1] -= 20.0
    logits[200:, :-1] -= 80.0
    return logits, draw_labels(generator, 90)


def just_fitting(generator: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """No frame to spare, and all of them unlikely."""
    logits = generator.normal(size=(300, OUTPUTS))
    logits[:, -1] += 20.0
    return logits, [t % 7 for t in range(300)]


def sure_but_wrong(generator: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    logits = generator.normal(size=(60, OUTPUTS))
    logits[:, 3] += 300.0
    return logits, [1, 2, 2, 5]


@pytest.mark.parametrize(
    ("time", "count", "scale"),
    [(4, 1, 1.0), (9, 5, 3.0), (1, 1, 1.0), (200, 30, 1.0), (200, 30, 15.0), (600, 120, 3.0)],
)
def test_loss_and_gradient(time: int, count: int, scale: float) -> None:
    generator = np.random.default_rng(time)
    logits = (scale * generator.normal(size=(time, OUTPUTS))).astype(np.float32)
    check(logits, draw_labels(generator, count))


@pytest.mark.parametrize("draw", [rare_beginnings, just_fitting, sure_but_wrong])
def test_where_scaled_numbers_do_not_reach(draw: object) -> None:
    logits, labels = draw(np.random.default_rng(1))
    check(logits.astype(np.float32), labels)


def test_rare_beginnings_are_noticed() -> None:
    """Without the look whether frames agree, the sums would be wrong and nobody would know."""
    logits, labels = rare_beginnings(np.random.default_rng(1))
    padded = np.zeros((400, WIDTH), np.float32)
    padded[:, :OUTPUTS] = logits
    buffers = ctc.CTCBuffers.allocate(OUTPUTS, 400, len(labels))
    array = np.array(labels, np.int32)
    for s in range(2 * len(labels) + 1):
        buffers.skips[s] = float(s % 2 == 1 and s > 1 and labels[s // 2] != labels[s // 2 - 1])
    scaled = -alone(ctc._sum_alpha)(padded.reshape(-1), WIDTH, OUTPUTS, 400, array, buffers)
    loss, _ = in_numpy(logits.astype(np.float32), labels)
    assert not scaled == pytest.approx(loss, rel=1e-3)


def check(logits: np.ndarray, labels: list[int]) -> None:
    expected_loss, expected = in_numpy(logits, labels)
    loss, gradient = compiled(logits, labels)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    # Each log-probability of a path is rounded to float32 relative to the logits.
    error = 1e-5 * max(1.0, float(np.abs(logits).max()))
    np.testing.assert_allclose(gradient, expected, atol=error)
    np.testing.assert_allclose(gradient.sum(axis=1), 0.0, atol=error)
