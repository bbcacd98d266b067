"""Losses, their gradients and metrics of the heads against sums over everything there is."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from rapidfuzz.distance import Levenshtein

from tests.tuner import numpy_protocol
from tests.zoo import reference as equations
from tuner.tasks.ctc import best_path
from tuner.tasks.heads import HEADS
from tuner.training.network import SummedLoss

OUTPUTS = 4
"""Of all that is traced, which takes seconds: one graph a head."""

CTC_LABELS = [[0], [1, 1], [2, 0, 1], [0, 0, 2], [1, 0, 1, 1]]


def draw_targets(head: str, generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    time, outputs = shape
    if head == "bernoulli":
        return generator.integers(2, size=shape).astype(np.float32)
    if head == "softmax":
        return generator.integers(outputs, size=time).astype(np.int32)
    return generator.integers(outputs - 1, size=time // 2 - 1).astype(np.int32)


@functools.cache
def traced(head: str, outputs: int, dtype: np.dtype, axes: int) -> Callable[..., Any]:
    """Loss and gradient as `model.fit` takes them: in a graph, lengths unknown."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,) * (1 + axes), dtype),
            tf.TensorSpec((None, None, outputs)),
        ]
    )
    def differentiate(targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = SummedLoss(head)(targets, logits)
        return loss, tape.gradient(loss, logits)

    return differentiate


def loss_and_gradient(
    head: str, targets: np.ndarray, logits: np.ndarray
) -> tuple[float, np.ndarray]:
    """Of one sequence."""
    differentiate = traced(head, logits.shape[-1], targets.dtype, targets.ndim)
    batch = targets[np.newaxis], logits[np.newaxis].astype(np.float32)
    loss, gradient = differentiate(*batch)
    return float(loss), gradient.numpy()[0]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("spread", [1.0, 10.0])
def test_loss_and_gradient(head: str, spread: float) -> None:
    generator = np.random.default_rng(5)
    for time in (5, 9, 30):
        logits = spread * generator.normal(size=(time, OUTPUTS)).astype(np.float32)
        targets = draw_targets(head, generator, logits.shape)
        loss, gradient = loss_and_gradient(head, targets, logits)

        def exact(
            point: dict[str, np.ndarray], targets: np.ndarray = targets, head: str = head
        ) -> complex:
            return numpy_protocol.LOSSES[head](targets, point["logits"])

        point = {"logits": logits.astype(float)}
        assert loss == pytest.approx(np.real(exact(point)), rel=2e-6)
        expected = equations.gradient(exact, point)["logits"]
        # Float32 rounds the log-probabilities of whole paths, which grow with time and spread.
        np.testing.assert_allclose(gradient, expected, atol=1e-6 * spread * time)
        assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("labels", CTC_LABELS)
def test_ctc_is_the_sum_over_all_paths(labels: list[int]) -> None:
    time = 6
    logits = np.random.default_rng(len(labels)).normal(0, 2, size=(time, OUTPUTS))
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    total = sum(
        np.prod(probability[np.arange(time), path])
        for path in itertools.product(range(OUTPUTS), repeat=time)
        if numpy_protocol.collapse(path, blank=OUTPUTS - 1) == labels
    )
    targets = np.array(labels, np.int32)
    assert np.real(numpy_protocol.ctc_loss(targets, logits)) == pytest.approx(-np.log(total))
    loss, _ = loss_and_gradient("ctc", targets, logits)
    assert loss == pytest.approx(-np.log(total), rel=1e-6)


def test_ctc_of_many_frames_and_sure_logits() -> None:
    labels = np.arange(30, dtype=np.int32) % 3
    path = np.repeat(np.stack([labels, np.full(30, 3)], axis=1).ravel(), 10)
    right = 60 * np.eye(OUTPUTS)[path]
    loss, gradient = loss_and_gradient("ctc", labels, right)
    assert loss == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(gradient, 0, atol=1e-4)
    # Always label 0, which the line has ten times: the 20 other labels cost 60 nats each, and the
    # other 380 frames are shared out among the ten in C(379, 9) ways.
    wrong = 60 * np.eye(OUTPUTS)[np.zeros(400, int)]
    loss, gradient = loss_and_gradient("ctc", labels, wrong)
    assert loss == pytest.approx(20 * 60 - math.log(math.comb(379, 9)), rel=1e-6)
    assert np.all(np.isfinite(gradient)) and np.abs(gradient).max() > 0.5


def test_a_batch_keeps_its_sequences_apart() -> None:
    generator = np.random.default_rng(3)
    for head in HEADS:
        logits = generator.normal(size=(3, 8, 4)).astype(np.float32)
        targets = np.stack([draw_targets(head, generator, (8, 4)) for _ in range(3)])
        found = np.asarray(HEADS[head].loss(targets, keras.ops.convert_to_tensor(logits)))
        assert found.shape == ((3,) if head == "ctc" else (3, 8))
        for row in range(3):
            expected = numpy_protocol.LOSSES[head](targets[row], logits[row].astype(float))
            assert np.sum(found[row]) == pytest.approx(np.real(expected), rel=1e-5)


def test_ctc_of_vectorized_sequences() -> None:
    generator = np.random.default_rng(6)
    logits = tf.constant(generator.normal(size=(3, 7, 4)), tf.float32)
    targets = tf.constant([[0, 1], [2, 2], [1, 0]], tf.int32)

    def loss(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return SummedLoss("ctc")(pair[0][tf.newaxis], pair[1][tf.newaxis])

    found = tf.vectorized_map(loss, (targets, logits))
    expected = [
        numpy_protocol.ctc_loss(one.numpy(), each.numpy().astype(float))
        for one, each in zip(targets, logits, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_score_and_size(head: str) -> None:
    generator = np.random.default_rng(9)
    for time in (4, 7, 12):
        logits = generator.normal(size=(time, 5)).astype(np.float32)
        targets = draw_targets(head, generator, logits.shape)
        total, size = numpy_protocol.total_and_size(head, targets, logits.astype(float))
        assert HEADS[head].score(targets, logits) == pytest.approx(total, rel=1e-12)
        assert HEADS[head].size(targets) == size
        for bad in (np.nan, np.inf, -np.inf):
            logits[1, 2] = bad
            assert np.isnan(HEADS[head].score(targets, logits))


def test_the_first_of_equal_logits_is_chosen() -> None:
    logits = np.array([[0.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
    assert HEADS["softmax"].score(np.array([1, 0]), logits) == 0
    assert best_path(logits).tolist() == [1, 0]


def test_best_path_merges_before_it_drops() -> None:
    generator = np.random.default_rng(2)
    for _ in range(50):
        path = generator.integers(3, size=10)
        expected = numpy_protocol.collapse(path.tolist(), blank=2)
        assert best_path(np.eye(3)[path]).tolist() == expected
    assert best_path(np.eye(3)[[2, 2]]).size == 0
    # A line without any decoded label: all labels are missing.
    assert HEADS["ctc"].score(np.array([0, 1, 1]), np.eye(3)[[2, 2]]) == 300


def test_edit_distance_of_the_yardstick() -> None:
    generator = np.random.default_rng(4)
    for _ in range(20):
        one, other = (generator.integers(3, size=generator.integers(7)).tolist() for _ in "12")
        assert numpy_protocol.edit_distance(one, other) == Levenshtein.distance(one, other)


@pytest.mark.parametrize(
    ("head", "targets", "expected"),
    [
        ("bernoulli", np.zeros((4, 3)), "dtype float32"),
        ("bernoulli", np.zeros((4, 2), np.float32), r"shape \[4, 3\]"),
        ("bernoulli", np.full((4, 3), 0.5, np.float32), "0 and 1"),
        ("softmax", np.zeros(4), "dtype int32"),
        ("softmax", np.zeros((4, 1), np.int32), r"shape \[4\]"),
        ("softmax", np.array([0, 1, 3, 2], np.int32), "from 0 to 2. Received: 3"),
        ("softmax", np.array([0, -1, 2, 2], np.int32), "from 0 to 2. Received: -1"),
        ("ctc", np.zeros(2), "dtype int32"),
        ("ctc", np.zeros((2, 1), np.int32), "shape"),
        ("ctc", np.zeros(0, np.int32), "at least one label"),
        # 2 is the blank.
        ("ctc", np.array([0, 2], np.int32), "from 0 to 1. Received: 2"),
        ("ctc", np.array([0, 1, 1, 0], np.int32), "at least 5 frames for its 4 labels"),
    ],
)
def test_targets_that_a_head_cannot_learn(head: str, targets: np.ndarray, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        HEADS[head].check(targets, frames=4, outputs=3)


def test_ctc_targets_that_just_fit() -> None:
    HEADS["ctc"].check(np.array([0, 1, 1], np.int32), frames=4, outputs=3)
