"""The speech task: which phone is spoken in each frame."""

from __future__ import annotations

import os
from pathlib import Path

from common.command_line import log
from common.errors import DataError, InputError, counted, one_line
from tuner.tasks.features import corpus_of
from tuner.tasks.speech import features, timit, utterances
from tuner.tasks.speech.features import FEATURES
from tuner.tasks.speech.labels import per_frame
from tuner.tasks.speech.phones import GROUPS, PHONES
from tuner.tasks.speech.timit import SPLITS, Tree
from tuner.tasks.speech.utterances import Speech
from tuner.tasks.task import Corpus, DatasetInfo, Metric, Task

# There is no way to know whether incomplete data are TIMIT's.
_INCOMPLETE = "speech in TIMIT's layout, incomplete"


class SpeechTask(Task):
    """Classifies each frame of speech as one of TIMIT's 61 phones, as in the paper.

    A frame is 25 ms of audio, one every 10 ms: 12 mel-frequency cepstral coefficients and the log
    energy, with their deltas and accelerations (`zoo.frontends.MFCC`), each with zero mean and unit
    variance over the training set. Its label is the phone of most of its samples. The metric is the
    percentage of frames with a wrong phone; the 39 classes that other work scores are in `groups`.

    Source: Greff et al. (2015), sections IV.A and IV.B; Garofolo et al., *TIMIT Acoustic-Phonetic
        Continuous Speech Corpus*, LDC93S1 (1993).

    Example:
        >>> SpeechTask().labels[:3]
        ('aa', 'ae', 'ah')
    """

    name = "speech"
    inputs = FEATURES
    outputs = len(PHONES)
    head = "softmax"
    bidirectional = True
    metric = Metric("frame error", "% of frames")
    quick_learning_rates = (5e-4, 3e-3)
    labels = PHONES
    groups = GROUPS

    def load(self, data: str) -> Corpus:
        """Loads speech.

        Utterances that cannot be used (truncated audio, labels past its end, an unknown phone and
        so on) are left out; `Corpus.dataset` and standard error say how many and why. An incomplete
        copy of TIMIT can be used, too, but is not called TIMIT.

        Args:
            data: `auto` or `synthetic` for the synthetic corpus, which is built on first use; or
                the path of TIMIT, of NLTK's sample of it, or of speech in TIMIT's layout; see
                `timit.find`.

        Returns:
            Inputs float32 [frames, 39], targets int32 [frames], and the front end with the
            statistics of the training set.
        """
        folder = _folder(data)
        tree = timit.find(folder)
        speech = utterances.read_all(tree)
        dataset = _dataset(folder, tree, speech)
        frames = features.of([one.samples for one in speech.utterances], dataset.sha256)
        targets = {
            split: [per_frame(one.segments, one.frames) for one in speech.splits[split]]
            for split in SPLITS
        }
        return corpus_of(dataset, features.EXTRACTION, frames, targets)


def _folder(data: str) -> Path:
    if data in ("auto", "synthetic"):
        from tuner.tasks.speech.synthesis import corpus

        return corpus.corpus_folder()
    if not data:
        raise InputError("--data: expected auto, synthetic or a path. Received: nothing")
    path = os.path.expanduser(data)
    # Unlike those of Path, the functions of os.path accept any text without an error.
    if not os.path.isdir(path):
        raise DataError(data, "expected auto, synthetic or the folder of a corpus. Received: none")
    return Path(path)


def _dataset(folder: Path, tree: Tree, speech: Speech) -> DatasetInfo:
    """Describes the data, and reports on standard error what is missing or was left out."""
    counts = {split: len(speech.splits[split]) for split in SPLITS}
    if tree.missing:
        log(f"{folder}: expected all of {tree.name}. Received: {tree.missing}")
    skipped = [f"{kind} ({count:,})" for kind, count in speech.skipped.items()]
    for kind, count in speech.skipped.items():
        log(f"{folder}: {count:,} left out; the first: {speech.examples[kind]}")
    if not all(counts.values()):
        raise DataError(
            folder,
            f"expected usable utterances for {', '.join(SPLITS)}. "
            f"Received: {counts}; left out: {', '.join(skipped)}",
        )
    if speech.mended:
        log(f"{folder}: mended: {counted(speech.mended)}")
    frames = [sum(one.frames for one in speech.splits[split]) for split in SPLITS]
    size = (
        f"train + validation + test are {' + '.join(f'{count:,}' for count in counts.values())} "
        f"utterances of {' + '.join(f'{count:,}' for count in frames)} frames"
    )
    complete = tree.expected is None or counts == tree.expected
    parts = [tree.detail, size, f"read from {folder}"]
    if tree.missing:
        parts.insert(2, f"there are only {tree.missing}")
    if speech.mended:
        parts.insert(2, f"mended: {counted(speech.mended)}")
    if skipped:
        parts.insert(2, f"left out: {', '.join(skipped)}")
    name = tree.name if complete else _INCOMPLETE
    return DatasetInfo(name, speech.sha256(), one_line("; ".join(parts)))
