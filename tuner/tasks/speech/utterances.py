"""Reads utterances: samples and labels that match, or the reason why they cannot be used."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Mapping

from common.errors import InputError, RecordingError, reason
from common.media import audio
from common.media.audio import Samples
from tuner.tasks.speech import labels
from tuner.tasks.speech.labels import FRAME_LENGTH, Labels, Segment, frames_of
from tuner.tasks.speech.timit import Recording, Tree

_MOST_BEYOND = 1_600
"""Samples, 0.1 s, by which labels may extend beyond the audio; they are then cut."""


@dataclasses.dataclass(frozen=True)
class Utterance:
    """Audio and its labels, both cut to the shorter of the two.

    Attributes:
        speaker: in lower case.
        name: in lower case.
        samples: int16 `[samples]` at 16 kHz, at least one frame.
        segments: in temporal order.
        mended: see `Labels`.
    """

    speaker: str
    name: str
    samples: Samples
    segments: tuple[Segment, ...]
    mended: Mapping[str, int]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return frames_of(len(self.samples))


@dataclasses.dataclass(frozen=True)
class Speech:
    """The utterances that could be read.

    Attributes:
        splits: utterances of train, validation and test.
        skipped: number of utterances that were left out, by kind of error.
        examples: the first error of each kind, in full.
    """

    splits: Mapping[str, tuple[Utterance, ...]]
    skipped: Mapping[str, int]
    examples: Mapping[str, str]

    @property
    def mended(self) -> Mapping[str, int]:
        """Number of labels that were left out or cut in all utterances, see `Labels`."""
        mended: collections.Counter[str] = collections.Counter()
        for utterance in self.utterances:
            mended.update(utterance.mended)
        return mended

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """All utterances, split by split."""
        return tuple(utterance for split in self.splits.values() for utterance in split)

    def sha256(self) -> str:
        """Hashes splits, speakers, names, samples and labels, whatever files they came in."""
        digest = hashlib.sha256()
        for split, utterances in self.splits.items():
            for utterance in utterances:
                segments = [
                    f"{segment.start} {segment.end} {segment.phone}"
                    for segment in utterance.segments
                ]
                header = [split, utterance.speaker, utterance.name, str(len(utterance.samples))]
                digest.update("\n".join([*header, *segments, ""]).encode())
                digest.update(utterance.samples.astype("<i2").tobytes())
        return digest.hexdigest()


def read_all(tree: Tree) -> Speech:
    """Reads the utterances of a tree; unusable ones are left out and counted."""
    splits = {}
    skipped: collections.Counter[str] = collections.Counter()
    examples: dict[str, str] = {}
    for split, recordings in tree.splits.items():
        utterances = []
        for recording in recordings:
            try:
                utterances.append(read(recording))
            except RecordingError as error:
                skipped[error.kind] += 1
                example = f"{recording.speaker} {recording.name}: {error}"
                examples.setdefault(error.kind, example)
        splits[split] = tuple(utterances)
    return Speech(splits, skipped, examples)


def read(recording: Recording) -> Utterance:
    """Reads an utterance.

    Audio and labels are both cut to the shorter of the two.

    Raises:
        RecordingError: if a file is missing or damaged, the labels extend more than 0.1 s beyond
            the audio, or there is not one frame.
        InputError: if a package for reading the audio is not installed.
    """
    samples, read_labels = _read_audio(recording), _read_labels(recording)
    end = read_labels.segments[-1].end
    if end > len(samples) + _MOST_BEYOND:
        raise RecordingError(
            "labels past the end",
            f"expected an end at {len(samples):,}, where the audio ends. Received: {end:,}",
        )
    end = min(end, len(samples))
    if not frames_of(end):
        raise RecordingError("too short", f"expected {FRAME_LENGTH} samples. Received: {end}")
    cut = tuple(
        dataclasses.replace(segment, end=min(segment.end, end))
        for segment in read_labels.segments
        if segment.start < end
    )
    return Utterance(recording.speaker, recording.name, samples[:end], cut, read_labels.mended)


def _read_audio(recording: Recording) -> Samples:
    """Reads the first copy that is not damaged."""
    problem = RecordingError("no audio", "expected a file beside the labels. Received: none")
    missing_package: InputError | None = None
    for number, path in enumerate(recording.audio):
        try:
            return audio.read(str(path))
        except RecordingError as error:
            if number == 0:
                problem = error
        except InputError as error:
            missing_package = error
    if missing_package is not None:
        raise missing_package
    raise problem


def _read_labels(recording: Recording) -> Labels:
    if not recording.labels:
        raise RecordingError("no labels", "expected a .PHN file beside the audio. Received: none")
    path = recording.labels[0]
    try:
        return labels.read(path)
    except OSError as error:
        raise RecordingError("unreadable file", f"{path}: {reason(error)}") from error
