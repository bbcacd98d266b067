from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from tests.zoo import harness
from zoo.frontends import PenStrokes


def reference(points: np.ndarray, keep_every: int) -> np.ndarray:
    """One sequence, point by point, in float64."""
    kept: list[list[float]] = []
    for index, (x, y, time, pen_up) in enumerate(points.astype(np.float64)):
        if index % keep_every == 0:
            kept.append([x, y, time, pen_up])
        else:
            kept[-1][3] = max(kept[-1][3], pen_up)
    features = []
    for index, (x, y, time, pen_up) in enumerate(kept):
        if index == 0:
            start, before = time, (x, y)
        else:
            before = (kept[index - 1][0], kept[index - 1][1])
            if kept[index - 1][3]:
                start = time
        features.append([x - before[0], y - before[1], time - start, pen_up])
    return np.array(features)


def points_of(rng: np.random.Generator, strokes: list[int]) -> np.ndarray:
    """Strokes of so many points, every number another."""
    count = sum(strokes)
    points = np.empty((count, 4), np.float32)
    points[:, 0] = 3 + np.cumsum(rng.uniform(1, 9, count))
    points[:, 1] = -7 + np.cumsum(rng.normal(0, 5, count))
    points[:, 2] = 0.5 + np.cumsum(rng.uniform(0.01, 0.03, count))
    points[:, 3] = 0
    points[np.cumsum(strokes) - 1, 3] = 1
    return points


def batch_of(sequences: list[np.ndarray], padding: float, more: int = 0) -> tuple[Any, Any]:
    lengths = np.array([len(sequence) for sequence in sequences], np.int32)
    raw = np.full((len(sequences), lengths.max() + more, 4), padding, np.float32)
    for row, sequence in zip(raw, sequences, strict=True):
        row[: len(sequence)] = sequence
    return raw, lengths


STROKES = [[9], [4, 3, 6], [1, 1, 1, 1, 1], [1], [2, 1, 8, 1], [3, 4]]


def sequences() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [points_of(rng, strokes) for strokes in STROKES]


@pytest.mark.parametrize("keep_every", [1, 2, 3])
def test_features_follow_the_definition(keep_every: int) -> None:
    expected = [reference(points, keep_every) for points in sequences()]
    features, frames = harness.compiled(PenStrokes(keep_every))(*batch_of(sequences(), 0.0))
    features, frames = ops.convert_to_numpy(features), ops.convert_to_numpy(frames)
    assert frames.dtype == np.int32
    assert frames.tolist() == [len(one) for one in expected]
    assert features.shape[1] == max(frames)
    for row, one in zip(features, expected, strict=True):
        np.testing.assert_allclose(row[: len(one)], one, rtol=0, atol=2e-6)
        assert not row[len(one) :].any()


def test_a_dropped_pen_up_goes_to_the_point_before_and_ends_its_stroke() -> None:
    points = np.array(
        [[1, 5, 1.0, 0], [2, 7, 1.5, 1], [4, 4, 2.0, 0], [9, 9, 2.5, 0], [7, 1, 3.0, 1]]
    )
    features, frames = PenStrokes()(*batch_of([points], 0.0))
    assert ops.convert_to_numpy(features)[0].tolist() == [
        [0, 0, 0, 1],
        [3, -1, 0, 0],
        [3, -3, 1, 1],
    ]
    assert int(frames[0]) == 3


@pytest.mark.parametrize("more", [0, 1, 6])
@pytest.mark.parametrize("padding", [1.0, -1e9, np.nan])
def test_padding_changes_nothing(padding: float, more: int) -> None:
    layer = PenStrokes(mean=[1, 2, 3, 4], variance=[5, 6, 7, 8])
    expected = ops.convert_to_numpy(layer(*batch_of(sequences(), 0.0))[0])
    features = ops.convert_to_numpy(layer(*batch_of(sequences(), padding, more))[0])
    np.testing.assert_array_equal(features[:, : expected.shape[1]], expected)
    assert not features[:, expected.shape[1] :].any()


def test_all_four_features_are_normalized() -> None:
    mean, variance = [2.0, -1.0, 0.05, 0.2], [9.0, 4.0, 0.25, 0.16]
    raw, lengths = batch_of(sequences()[:1], 0.0)
    plain = ops.convert_to_numpy(PenStrokes()(raw, lengths)[0])
    features = PenStrokes(mean=mean, variance=variance)(raw, lengths)[0]
    np.testing.assert_allclose(
        ops.convert_to_numpy(features), (plain - mean) / np.sqrt(variance), rtol=1e-5, atol=1e-6
    )


def test_no_points_at_all() -> None:
    features, frames = PenStrokes()(np.zeros((2, 0, 4), np.float32), np.zeros(2, np.int32))
    assert tuple(features.shape) == (2, 0, 4)
    assert ops.convert_to_numpy(frames).tolist() == [0, 0]


def test_float32_whatever_the_global_policy() -> None:
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        features, _ = PenStrokes()(*batch_of(sequences(), 0.0))
    finally:
        keras.config.set_dtype_policy(before)
    assert keras.backend.standardize_dtype(features.dtype) == "float32"


def model_of(layer: PenStrokes) -> keras.Model:
    strokes = keras.Input((None, 4), name="strokes")
    lengths = keras.Input((), dtype="int32", name="lengths")
    return keras.Model([strokes, lengths], layer(strokes, lengths))


def test_saves_and_loads_with_its_arguments(tmp_path: Path) -> None:
    layer = PenStrokes(3, [1, 2, 3, 4], [5, 6, 7, 8], name="pen")
    batch = batch_of(sequences(), 0.0)
    expected = [ops.convert_to_numpy(output) for output in layer(*batch)]
    model_of(layer).save(tmp_path / "pen.keras")
    loaded = keras.saving.load_model(tmp_path / "pen.keras")
    for output, other in zip(loaded(list(batch)), expected, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(output), other)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    assert (again.keep_every, again.mean, again.variance) == (3, [1, 2, 3, 4], [5, 6, 7, 8])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a SavedModel is TensorFlow's")
def test_saved_model_takes_any_length(tmp_path: Path) -> None:
    import tensorflow as tf

    layer = PenStrokes()
    module = tf.Module()
    module.serve = tf.function(
        lambda raw, lengths: layer(raw, lengths),
        [tf.TensorSpec((None, None, 4), tf.float32), tf.TensorSpec((None,), tf.int32)],
    )
    tf.saved_model.save(module, str(tmp_path / "saved"))
    serve = tf.saved_model.load(str(tmp_path / "saved")).serve
    for some in (sequences(), sequences()[:2], sequences()[3:4]):
        raw, lengths = batch_of(some, 0.0)
        features, frames = layer(raw, lengths)
        served, served_frames = serve(raw, lengths)
        np.testing.assert_array_equal(served, features)
        np.testing.assert_array_equal(served_frames, frames)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"keep_every": 0}, "`keep_every`"),
        ({"keep_every": 2.5}, "`keep_every`, expected an integer of 1 or more, got 2.5"),
        ({"mean": [0, 0, 0, 0]}, "must be given together"),
        ({"mean": [0, 0, 0], "variance": [1, 1, 1]}, "`mean`, expected 4 finite floats"),
        ({"mean": [0, 0, 0, 0], "variance": [1, 0, 1, 1]}, "`variance`, expected positive floats"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        PenStrokes(**arguments)
