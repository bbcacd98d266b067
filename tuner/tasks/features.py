"""Features of a corpus: computed by a layer of `zoo.frontends`, in a separate process.

The layer is also part of exports, so it runs on Keras. In this process TensorFlow would then take
the accelerators' memory, which belongs to the workers.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import machine
from common.command_line import start_tensorflow
from common.errors import InputError, one_line
from tuner.tasks.sequences import Sequences, cut
from tuner.tasks.task import Corpus, DatasetInfo

# Largest number of raw numbers in one call, including padding: two minutes of audio.
_NUMBERS_A_BATCH = 2**21


@dataclasses.dataclass(frozen=True)
class Extraction:
    """The features to compute from raw data.

    Attributes:
        layer: name of a class in `zoo.frontends`.
        options: arguments of the class, except for mean and variance.
    """

    layer: str
    options: Mapping[str, Any]

    def compute(self, raw: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Computes features in this process, on Keras' back end, without normalizing them.

        Args:
            raw: `[time, *raw_shape]` of each sequence, at least one frame.

        Returns:
            A float32 array `[frames, features]` for each sequence.
        """
        from keras import ops

        layer = self._make()
        lengths = np.array([len(one) for one in raw])
        features: dict[int, np.ndarray] = {}
        for batch in _batches(lengths, _NUMBERS_A_BATCH // int(np.prod(raw[0].shape[1:]))):
            padded = np.zeros((len(batch), lengths[batch].max(), *raw[0].shape[1:]), np.float32)
            for row, index in zip(padded, batch, strict=True):
                row[: lengths[index]] = raw[index]
            computed, frames = layer(padded, lengths[batch])
            rows = zip(ops.convert_to_numpy(computed), ops.convert_to_numpy(frames), strict=True)
            for index, (row, count) in zip(batch, rows, strict=True):
                features[index] = row[:count]
        return [features[index] for index in range(len(raw))]

    def run(self, raw: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Computes features, views of one array, in a separate process; see `compute`.

        Raises:
            InputError: if the process fails.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "extraction.json").write_text(json.dumps(dataclasses.asdict(self)))
            _save(folder / "raw.npz", raw)
            process = subprocess.run(
                [sys.executable, "-m", __name__, name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=machine.single_threaded_environment("numpy"),
            )
            if process.returncode:
                last = process.stdout.decode(errors="replace").strip().splitlines()[-1:]
                raise InputError(
                    f"{self.layer}: expected features of the data. Received: exit status "
                    f"{process.returncode} of their process: {one_line(' '.join(last))}"
                )
            return _load(folder / "features.npz")

    def serialize(self, mean: np.ndarray, variance: np.ndarray) -> dict[str, Any]:
        """Serializes the layer with normalization, for `tuner.tasks.task.Corpus.frontend`."""
        start_tensorflow()
        import keras

        layer = self._make(mean=mean.tolist(), variance=variance.tolist())
        serialized: dict[str, Any] = keras.saving.serialize_keras_object(layer)
        return serialized

    def _make(self, **statistics: Any) -> Any:
        from zoo import frontends

        return getattr(frontends, self.layer)(**self.options, **statistics)


def statistics(features: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Computes the mean and variance of each feature, float32, over the frames of all sequences.

    The variance of a constant feature is set to 1.

    Example:
        >>> statistics([np.array([[1, 7]], np.float32), np.array([[3, 7]], np.float32)])
        (array([2., 7.], dtype=float32), array([1., 1.], dtype=float32))
    """
    count = sum(map(len, features))
    mean = sum(one.sum(axis=0, dtype=np.float64) for one in features) / count
    # Sequence by sequence: hours of speech do not fit into memory in float64.
    variance = sum(np.square(one - mean).sum(axis=0) for one in features) / count
    variance[variance < 1e-10] = 1
    return np.asarray(mean, np.float32), np.asarray(variance, np.float32)


def corpus_of(
    dataset: DatasetInfo,
    extraction: Extraction,
    features: Sequence[np.ndarray],
    targets: Mapping[str, Sequence[np.ndarray]],
) -> Corpus:
    """Makes a corpus of features, normalized in place to mean 0 and variance 1 in training.

    Args:
        dataset: identity of the data.
        extraction: what computed the features.
        features: float32 `[frames, features]` of each sequence, split by split.
        targets: targets of each split.
    """
    mean, variance = statistics(features[: len(targets["train"])])
    for one in features:
        one -= mean
        one /= np.sqrt(variance)
    inputs = iter(features)
    splits = {
        split: Sequences(tuple(itertools.islice(inputs, len(own))), tuple(own))
        for split, own in targets.items()
    }
    return Corpus(dataset, **splits, frontend=extraction.serialize(mean, variance))


def _batches(lengths: np.ndarray, most: int) -> list[list[int]]:
    """Groups sequences of similar length into batches, as large as a call allows."""
    batches: list[list[int]] = []
    for index in map(int, np.argsort(lengths, kind="stable")):
        # Sequences are sorted by length: the latest is the longest of its batch.
        if batches and (len(batches[-1]) + 1) * lengths[index] <= most:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _save(path: Path, arrays: Sequence[np.ndarray]) -> None:
    np.savez(path, joined=np.concatenate(arrays), lengths=[len(array) for array in arrays])


def _load(path: Path) -> list[np.ndarray]:
    with np.load(path) as arrays:
        return cut(arrays["joined"], arrays["lengths"])


def main(folder: Path) -> None:
    """Runs the extraction that `Extraction.run` put into a folder."""
    extraction = Extraction(**json.loads((folder / "extraction.json").read_text()))
    _save(folder / "features.npz", extraction.compute(_load(folder / "raw.npz")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
