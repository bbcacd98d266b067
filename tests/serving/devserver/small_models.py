"""A SavedModel with signatures of every kind, whose answers NumPy can recompute."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import shutil
import tempfile

import numpy as np
import tensorflow as tf

FEATURES, OUTPUTS = 3, 5


def _spec(shape, dtype, name):
    return tf.TensorSpec(shape, dtype, name)


class _Module(tf.Module):
    def __init__(self, weights: np.ndarray, version: int) -> None:
        super().__init__()
        self.weights = tf.Variable(weights)
        self.version = tf.Variable(float(version))

    @tf.function(
        input_signature=[
            _spec([None, None, FEATURES], tf.float32, "sequence"),
            _spec([None], tf.int32, "lengths"),
        ]
    )
    def sequence(self, sequence, lengths):
        size, time = tf.shape(sequence)[0], tf.shape(sequence)[1]
        mask = tf.sequence_mask(lengths, time)[..., tf.newaxis]
        sums = tf.cumsum(tf.where(mask, sequence, 0.0), axis=1)
        return {
            "logits": tf.einsum("btf,fo->bto", sums, self.weights),
            "h": tf.reduce_sum(tf.where(mask, sequence, 0.0), axis=1),
            "version": tf.fill([size], self.version),
            # How many requests met in one batch shows here.
            "rows": tf.fill([size], size),
        }

    @tf.function(
        input_signature=[
            _spec([None, FEATURES], tf.float32, "frame"),
            _spec([None, FEATURES], tf.float32, "h"),
        ]
    )
    def step(self, frame, h):
        return {"logits": (frame + h) @ self.weights, "next_h": frame + h}

    @tf.function(input_signature=[_spec([None, 2], tf.float32, "x")])
    def double(self, x):
        return {"y": 2.0 * x}

    @tf.function(input_signature=[_spec([None], tf.string, "words")])
    def text(self, words):
        return {"upper": tf.strings.upper(words), "same_bytes": tf.identity(words)}

    @tf.function(
        input_signature=[
            _spec([None, 2], dtype, f"{dtype.name}_in")
            for dtype in (
                tf.float16,
                tf.float32,
                tf.float64,
                tf.int8,
                tf.int16,
                tf.int32,
                tf.int64,
                tf.uint8,
                tf.uint16,
                tf.uint32,
                tf.uint64,
                tf.bool,
            )
        ]
    )
    def kinds(self, *tensors):
        return {tensor.name.split("_in")[0]: tf.identity(tensor) for tensor in tensors}

    @tf.function(input_signature=[_spec([], tf.float32, "x")])
    def scalar(self, x):
        return {"y": tf.fill([2], x)}

    @tf.function(input_signature=[_spec([None], tf.int32, "turns")])
    def slow(self, turns):
        last = tf.reduce_max(turns)
        turn = tf.while_loop(lambda turn: turn < last, lambda turn: (turn + 1,), [0])[0]
        return {"done": tf.fill([tf.shape(turns)[0]], turn)}

    @tf.function(input_signature=[_spec([None], tf.float32, "x")])
    def broken(self, x):
        return {"y": tf.reshape(x, [-1, 7])}

    @tf.function(input_signature=[_spec([None], tf.float32, "x")])
    def extremes(self, x):
        return {"y": tf.stack([x / 0.0, -x / 0.0, (x - x) / (x - x), x], axis=1)}


SIGNATURES = {
    "serving_default": "sequence",
    **{name: name for name in ("step", "double", "text", "kinds", "scalar", "slow")},
    **{name: name for name in ("broken", "extremes")},
}
LONG = 2_000_000_000
"""Turns of `slow` that no test waits for."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """The model in NumPy."""

    weights: np.ndarray
    version: int

    def sequence(self, sequence: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
        mask = np.arange(sequence.shape[1]) < lengths[:, None]
        masked = np.where(mask[..., None], sequence, 0).astype(np.float64)
        return {
            "logits": np.cumsum(masked, axis=1) @ self.weights,
            "h": masked.sum(axis=1),
            "version": np.full(len(sequence), self.version, float),
        }

    def step(self, frame: np.ndarray, h: np.ndarray) -> dict[str, np.ndarray]:
        return {"logits": (frame + h) @ self.weights, "next_h": frame + h}


def sequences(size: int, time: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of random frames, and how many of each count."""
    random = np.random.default_rng(size * time)
    lengths = random.integers(0, time + 1, size).astype(np.int32)
    return random.normal(size=(size, time, FEATURES)).astype(np.float32), lengths


def reference(version: int) -> Reference:
    """What a version answers."""
    weights = np.random.default_rng(version).normal(size=(FEATURES, OUTPUTS)).astype(np.float32)
    return Reference(weights, version)


def write(base_path: pathlib.Path, version: int) -> Reference:
    """Writes `base_path/<version>`, which appears whole."""
    base_path.mkdir(parents=True, exist_ok=True)
    temporary = base_path / f".tmp-{version}"
    shutil.copytree(_saved(version).name, temporary)
    temporary.rename(base_path / str(version))
    return reference(version)


@functools.cache
def _saved(version: int) -> tempfile.TemporaryDirectory[str]:
    """The files of a version, once for all tests of a process."""
    module = _module()
    module.weights.assign(reference(version).weights)
    module.version.assign(float(version))
    # Concrete functions are not traced again.
    traced = {
        name: getattr(module, method).get_concrete_function() for name, method in SIGNATURES.items()
    }
    root = tf.train.Checkpoint(weights=module.weights, version=module.version)
    folder = tempfile.TemporaryDirectory()
    tf.saved_model.save(root, folder.name, signatures=traced)
    return folder


@functools.cache
def _module() -> _Module:
    return _Module(reference(0).weights, 0)
