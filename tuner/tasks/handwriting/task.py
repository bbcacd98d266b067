"""The handwriting task: which characters a pen writes."""

from __future__ import annotations

import itertools

from tuner.tasks.features import Extraction, corpus_of
from tuner.tasks.handwriting import sources
from tuner.tasks.handwriting.lines import ALPHABET, KEEP_EVERY, encode
from tuner.tasks.task import Corpus, Metric, Task

EXTRACTION = Extraction("PenStrokes", {"keep_every": KEEP_EVERY})
"""The four features: Δx, Δy, time since the stroke's start, pen-up."""


class HandwritingTask(Task):
    """Transcribes lines of handwriting from the trajectory of the pen, as in the paper.

    A frame is every second point of the pen (`zoo.frontends.PenStrokes`): the displacement since
    the previous frame, the time since the stroke's start, and whether the pen leaves the board;
    each of the four, including the pen-up flag, has zero mean and unit variance over the training
    set. The network reads a line in both directions, and has outputs for 81 characters and the
    blank of CTC. The metric is the character error rate of best-path decoding: 100 times the sum of
    edit distances, divided by the sum of lengths.

    The trajectories are not processed further, as in the paper. Some points of IAM-OnDB are far
    away from their neighbors, due to sensor errors; they are kept.

    Source: Greff et al. (2015), sections IV.A and IV.B; Liwicki and Bunke, *IAM-OnDB* (2005).

    Example:
        >>> HandwritingTask().labels[:3]
        (' ', 'a', 'b')
    """

    name = "handwriting"
    inputs = 4
    outputs = len(ALPHABET) + 1
    head = "ctc"
    bidirectional = True
    metric = Metric("CER", "% of characters")
    quick_learning_rates = (5e-3, 1.5e-2)
    labels = ALPHABET

    def load(self, data: str) -> Corpus:
        """Loads lines of handwriting.

        Lines that cannot be used (without ink or text, with characters outside the alphabet, with
        numbers that are not finite, with more text than ink) are left out; `Corpus.dataset` and
        standard error say how many and why.

        Args:
            data: see `sources.find`.

        Returns:
            Inputs float32 [frames, 4], targets int32 [characters], and the front end with the
            statistics of the training set.
        """
        lines, dataset = sources.find(data)
        every = itertools.chain.from_iterable(lines.splits.values())
        features = EXTRACTION.run([line.points for line in every])
        targets = {
            split: [encode(line.text) for line in own] for split, own in lines.splits.items()
        }
        return corpus_of(dataset, EXTRACTION, features, targets)
