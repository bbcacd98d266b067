"""The handwriting task: which characters a pen writes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from serving.command_line import start_tensorflow
from tuner.tasks.handwriting import features, sources
from tuner.tasks.handwriting.alphabet import ALPHABET, encode
from tuner.tasks.handwriting.features import FEATURES
from tuner.tasks.handwriting.lines import KEEP_EVERY
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, Metric, Task


class HandwritingTask(Task):
    """Transcribes lines of handwriting from the trajectory of the pen, as the paper does.

    A frame is every second point of the pen (`zoo.frontends.PenStrokes`): the way since the frame
    before, the time since the stroke's start, and whether the pen leaves the board; each of the
    four, the pen-up flag too, with zero mean and unit variance over the training set. The network
    reads a line in both directions and gives 81 characters and the blank of CTC. The metric is the
    character error rate of best-path decoding: 100 times the sum of edit distances, divided by the
    sum of lengths.

    Nothing else is done to the trajectories, as in the paper. IAM-OnDB has some points far away
    from their neighbors, errors of its sensor; they stay in.

    Source: Greff et al. (2015), sections IV.A and IV.B; Liwicki and Bunke, *IAM-OnDB* (2005).

    Example:
        >>> HandwritingTask().labels[:3]
        (' ', 'a', 'b')
    """

    name = "handwriting"
    inputs = FEATURES
    outputs = len(ALPHABET) + 1
    head = "ctc"
    bidirectional = True
    metric = Metric("CER", "% of characters")
    labels = ALPHABET

    def load(self, data: str) -> Corpus:
        """Loads lines of handwriting.

        Lines that cannot be used (without ink or text, with characters outside the alphabet, with
        numbers that are not finite, with more text than ink) are left out; how many and why stands
        in the edition and on standard error.

        Args:
            data: `auto` or `synthetic`, `uji`, or the path of IAM-OnDB or another file; see
                `sources.find`.

        Returns:
            Inputs float32 [frames, 4], targets int32 [characters], and the front end with the
            statistics of the training set.

        Raises:
            InputError: if the data cannot be used; one line names the file and what is wrong with
                it.
        """
        lines, edition = sources.find(data)
        frames = features.of([line.points for split in lines.splits.values() for line in split])
        mean, variance = _statistics(np.concatenate(frames[: len(lines.train)]))
        inputs = iter([(one - mean) / np.sqrt(variance) for one in frames])
        train, validation, test = (
            Sequences(
                inputs=tuple(itertools.islice(inputs, len(split))),
                targets=tuple(encode(line.text) for line in split),
            )
            for split in lines.splits.values()
        )
        return Corpus(edition, train, validation, test, _frontend(mean, variance))


def _statistics(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes mean and variance of each feature in float64; both are float32.

    A feature that never changes gets variance 1.
    """
    mean = frames.mean(axis=0, dtype=np.float64)
    variance = frames.var(axis=0, dtype=np.float64)
    variance[variance < 1e-10] = 1
    return mean.astype(np.float32), variance.astype(np.float32)


def _frontend(mean: np.ndarray, variance: np.ndarray) -> dict[str, Any]:
    """The layer that makes the inputs, as Keras writes it."""
    start_tensorflow()
    import keras

    from zoo.frontends import PenStrokes

    layer = PenStrokes(KEEP_EVERY, mean.tolist(), variance.tolist(), name="pen_strokes")
    serialized: dict[str, Any] = keras.saving.serialize_keras_object(layer)
    return serialized
