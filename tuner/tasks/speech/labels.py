"""`.PHN` files: which phone is spoken from which sample to which."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from common.errors import RecordingError
from tuner.tasks.files import text_of
from tuner.tasks.speech.phones import INDEX, PHONES, SILENCE

FRAME_LENGTH, FRAME_STEP = 400, 160
"""Samples per frame, and from one frame to the next: 25 ms every 10 ms."""

_BLOCK = math.gcd(FRAME_LENGTH, FRAME_STEP)

_MOST_OVERLAP = 16
"""Longest overlap of labels that is mended, in samples: 1 ms."""


@dataclasses.dataclass(frozen=True)
class Segment:
    """A phone of `phones.PHONES`, from its first sample to the one after its last."""

    start: int
    end: int
    phone: str


@dataclasses.dataclass(frozen=True)
class Labels:
    """Content of a label file.

    Attributes:
        segments: in order and without overlap; there may be gaps.
        mended: number of labels that were left out or cut, by what was wrong with them.
    """

    segments: tuple[Segment, ...]
    mended: Mapping[str, int]


def read(path: str | Path) -> Labels:
    """Reads a file of lines `start end phone`, in samples at 16 kHz.

    A label of no duration is left out. A label that begins up to a millisecond before the end of
    the previous one, as an effect of rounding, begins at that end instead.

    Args:
        path: the file; empty lines, byte order marks and the case of phones are ignored.

    Raises:
        RecordingError: if there are no labels, or a line has another form or an unknown phone, ends
            before it begins, or overlaps the previous line by more than that.
        OSError: if it cannot be read.
    """
    segments: list[Segment] = []
    mended: collections.Counter[str] = collections.Counter()
    lines = text_of(Path(path).read_bytes()).splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        segment = _segment(number, line.split())
        last = segments[-1] if segments else Segment(0, 0, SILENCE)
        if segment.start < max(last.end - _MOST_OVERLAP, last.start):
            raise RecordingError(
                "overlapping labels",
                f"line {number}: expected a start from {last.end} on. Received: {segment.start}",
            )
        if segment.start < last.end:
            mended["overlapping labels"] += 1
            segment = dataclasses.replace(segment, start=last.end)
        elif segment.start == segment.end:
            mended["labels of no length"] += 1
        if segment.start < segment.end:
            segments.append(segment)
    if not segments:
        raise RecordingError("no labels", "expected lines start end phone. Received: none")
    return Labels(tuple(segments), mended)


def _segment(number: int, words: list[str]) -> Segment:
    numbers = all(word.isascii() and word.isdigit() and len(word) < 12 for word in words[:2])
    if len(words) != 3 or not numbers:
        raise RecordingError(
            "damaged labels",
            f"line {number}: expected start end phone. Received: {' '.join(words)[:60]!r}",
        )
    segment = Segment(int(words[0]), int(words[1]), words[2].lower())
    if segment.end < segment.start:
        raise RecordingError(
            "damaged labels",
            f"line {number}: expected an end from {segment.start} on. "
            f"Received: {segment.end}",
        )
    if segment.phone not in INDEX:
        raise RecordingError(
            "unknown phone",
            f"line {number}: expected one of the 61 phones of TIMIT. Received: {words[2]!r}",
        )
    return segment


def write(path: Path, segments: Iterable[Segment]) -> None:
    """Writes the segments of an utterance to a folder that is still being built."""
    lines = (f"{segment.start} {segment.end} {segment.phone}\n" for segment in segments)
    path.write_text("".join(lines), "ascii")


def frames_of(samples: int) -> int:
    """Returns the number of whole frames in a number of samples.

    Example:
        >>> frames_of(399), frames_of(400), frames_of(560)
        (0, 1, 2)
    """
    return max(0, (samples - FRAME_LENGTH) // FRAME_STEP + 1)


def per_frame(segments: Sequence[Segment], frames: int) -> np.ndarray:
    """Labels each frame with the phone of most of its samples; of equals, the first in `PHONES`.

    Args:
        segments: segments in temporal order; samples without a label are silence.
        frames: number of frames.

    Returns:
        Array of int32, `[frames]`: indices in `PHONES`.

    Example:
        >>> half = [Segment(0, 200, "iy"), Segment(200, 500, "aa"), Segment(500, 900, "s")]
        >>> [PHONES[label] for label in per_frame(half, 4)]
        ['aa', 'aa', 's', 's']
    """
    blocks = (FRAME_LENGTH + FRAME_STEP * (frames - 1)) // _BLOCK
    # Frames overlap, so samples are counted in the blocks that make up frames. Cut where blocks and
    # segments begin or end, time falls into pieces with one block and one phone each.
    starts = np.array([segment.start for segment in segments])
    ends = np.array([segment.end for segment in segments])
    phones = np.array([INDEX[segment.phone] for segment in segments])
    cuts = np.unique(np.concatenate([starts, ends, np.arange(blocks + 1) * _BLOCK]))
    cuts = cuts[cuts <= blocks * _BLOCK]
    pieces = cuts[:-1]
    segment_of = np.searchsorted(starts, pieces, side="right") - 1
    inside = (segment_of >= 0) & (pieces < ends[segment_of])
    phone = np.where(inside, phones[segment_of], INDEX[SILENCE])
    counts = np.bincount(
        pieces // _BLOCK * len(PHONES) + phone,
        weights=np.diff(cuts),
        minlength=blocks * len(PHONES),
    ).reshape(blocks, len(PHONES))
    sums = np.concatenate([np.zeros_like(counts[:1]), counts.cumsum(axis=0)])
    first = np.arange(frames) * (FRAME_STEP // _BLOCK)
    of_frames = sums[first + FRAME_LENGTH // _BLOCK] - sums[first]
    return np.asarray(of_frames.argmax(axis=1), np.int32)
