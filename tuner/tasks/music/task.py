"""The music task: which notes sound in the next frame."""

from __future__ import annotations

import numpy as np

from common.media.midi import PITCHES, Roll
from tuner.tasks.music import sources
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, Metric, Task


class MusicTask(Task):
    """Predicts polyphonic music frame by frame, as the paper does for the JSB Chorales.

    From the frames x_1 .. x_t of a piano roll, the network predicts for each of the 88 keys the
    probability that it sounds in frame x_{t+1}. The metric is the negative log-likelihood, summed
    over the keys and averaged over the frames.

    Source: Greff et al. (2015), section IV.A; data of Boulanger-Lewandowski, Bengio and Vincent
        (2012).

    Example:
        >>> MusicTask().metric.unit
        'nats per frame'
    """

    name = "music"
    inputs = PITCHES
    outputs = PITCHES
    head = "bernoulli"
    bidirectional = False
    metric = Metric("NLL", "nats per frame")
    choices = ("canonical", "music21")

    def load(self, data: str) -> Corpus:
        """Loads piano rolls.

        Args:
            data: see `sources.find`.

        Returns:
            For a roll of T frames, inputs x_1 .. x_{T-1} and targets x_2 .. x_T, float32
            [T - 1, 88] of zeros and ones. Both are views of one array: do not write to them.
        """
        rolls, dataset = sources.find(data)
        return Corpus(
            dataset=dataset,
            train=_sequences(rolls.train),
            validation=_sequences(rolls.valid),
            test=_sequences(rolls.test),
        )


def _sequences(rolls: tuple[Roll, ...]) -> Sequences:
    frames = [roll.astype(np.float32) for roll in rolls]
    return Sequences(
        inputs=tuple(roll[:-1] for roll in frames), targets=tuple(roll[1:] for roll in frames)
    )
