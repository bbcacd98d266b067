"""A SavedModel with signatures of every kind, whose answers NumPy can recompute."""

from __future__ import annotations

import functools
import pathlib
import shutil
import tempfile

import numpy as np
import tensorflow as tf

from serving.runtime.specs import DTYPES

FEATURES, OUTPUTS = 3, 5
EXTREMES = {
    name: np.array([[np.iinfo(name).min, np.iinfo(name).max]], name)
    for name in DTYPES
    if "int" in name
} | {
    "float16": np.array([[0.1, np.inf]], np.float16),
    "float32": np.array([[0.1, np.nan]], np.float32),
    "float64": np.array([[0.1, -np.inf]]),
    "bool": np.array([[True, False]]),
}
"""Numbers of every type."""


def _takes(**inputs):
    """Makes a graph of a function with these inputs: for each its type and its sizes."""
    specs = [tf.TensorSpec(sizes, dtype, name) for name, (dtype, *sizes) in inputs.items()]
    return tf.function(input_signature=specs)


class _Module(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(tf.zeros([FEATURES, OUTPUTS]))
        self.version = tf.Variable(0.0)

    @_takes(sequence=("float32", None, None, FEATURES), lengths=("int32", None))
    def serving_default(self, sequence, lengths):
        size, time = tf.shape(sequence)[0], tf.shape(sequence)[1]
        mask = tf.sequence_mask(lengths, time)[..., tf.newaxis]
        sums = tf.cumsum(tf.where(mask, sequence, 0.0), axis=1)
        return {
            "logits": tf.einsum("btf,fo->bto", sums, self.weights),
            "h": tf.reduce_sum(tf.where(mask, sequence, 0.0), axis=1),
            "version": tf.fill([size], self.version),
        }

    @_takes(frame=("float32", None, FEATURES), h=("float32", None, FEATURES))
    def step(self, frame, h):
        return {"logits": (frame + h) @ self.weights, "next_h": frame + h}

    @_takes(x=("float32", None, 2))
    def double(self, x):
        return {"y": 2.0 * x}

    @_takes(words=("string", None))
    def text(self, words):
        return {"upper": tf.strings.upper(words), "same_bytes": tf.identity(words)}

    @_takes(**{f"{name}_in": (name, None, 2) for name in EXTREMES})
    def kinds(self, *tensors):
        return {tensor.name.split("_in")[0]: tf.identity(tensor) for tensor in tensors}

    @_takes(x=("float32",))
    def scalar(self, x):
        return {"y": tf.fill([2], x)}

    @_takes(turns=("int32", None))
    def slow(self, turns):
        last = tf.reduce_max(turns)
        turn = tf.while_loop(lambda turn: turn < last, lambda turn: (turn + 1,), [0])[0]
        return {"done": tf.fill([tf.shape(turns)[0]], turn)}

    @_takes(x=("float32", None))
    def broken(self, x):
        return {"y": tf.reshape(x, [-1, 7])}

    @_takes(x=("float32", None))
    def extremes(self, x):
        return {"y": tf.stack([x / 0.0, -x / 0.0, (x - x) / (x - x), x], axis=1)}


SIGNATURES = "serving_default step double text kinds scalar slow broken extremes".split()
LONG = 2_000_000_000
"""Turns of `slow` that no test waits for."""


class Reference:
    """A version in NumPy."""

    def __init__(self, version: int) -> None:
        random = np.random.default_rng(version)
        self.weights = random.normal(size=(FEATURES, OUTPUTS)).astype(np.float32)
        self.version = float(version)

    def sequence(self, sequence: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
        mask = np.arange(sequence.shape[1]) < lengths[:, None]
        masked = np.where(mask[..., None], sequence, 0).astype(np.float64)
        return {
            "logits": np.cumsum(masked, axis=1) @ self.weights,
            "h": masked.sum(axis=1),
            "version": np.full(len(sequence), self.version),
        }

    def step(self, frame: np.ndarray, h: np.ndarray) -> np.ndarray:
        return (frame + h) @ self.weights


def sequences(size: int, time: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of random frames, and how many of each count."""
    random = np.random.default_rng(size * time)
    lengths = random.integers(0, time + 1, size).astype(np.int32)
    return random.normal(size=(size, time, FEATURES)).astype(np.float32), lengths


def write(base_path: pathlib.Path, *versions: int) -> None:
    """Writes `base_path/<version>`, each of which appears whole."""
    base_path.mkdir(parents=True, exist_ok=True)
    for version in versions:
        temporary = base_path / f".tmp-{version}"
        shutil.copytree(_saved(version).name, temporary)
        temporary.rename(base_path / str(version))


_module = functools.cache(_Module)


@functools.cache
def _saved(version: int) -> tempfile.TemporaryDirectory[str]:
    """The files of a version, once for all tests of a process."""
    module, reference = _module(), Reference(version)
    module.weights.assign(reference.weights)
    module.version.assign(reference.version)
    # Concrete functions are not traced again.
    traced = {name: getattr(module, name).get_concrete_function() for name in SIGNATURES}
    root = tf.train.Checkpoint(weights=module.weights, version=module.version)
    folder = tempfile.TemporaryDirectory()
    tf.saved_model.save(root, folder.name, signatures=traced)
    return folder
