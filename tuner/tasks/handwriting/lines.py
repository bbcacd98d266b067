"""Lines of handwriting: the trajectory of the pen, and the text that was written."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from common.errors import DataError, RecordingError
from common.media.ink import points_of
from tuner.tasks import ragged_npz
from tuner.tasks.ctc import frames_needed

ALPHABET = tuple(
    " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!\"#&'()*+,-./[]:;?"
)
"""The 81 characters that occur in IAM-OnDB; a character's label is its index here."""

_LABELS = {character: label for label, character in enumerate(ALPHABET)}

SPLITS = ("train", "validation", "test")

LARGEST_UNPACKED = 2**30

KEEP_EVERY = 2
"""Points per frame: the paper keeps every second one."""


def encode(text: str) -> np.ndarray:
    """Converts text in the alphabet to labels, int32 `[characters]`.

    Example:
        >>> encode("a B")
        array([ 1,  0, 28], dtype=int32)
    """
    return np.array([_LABELS[character] for character in text], np.int32)


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """One line of handwriting.

    Attributes:
        points: float32 `[points, 4]`: x, y (downward) relative to the first point, seconds since
            the first point, and 1 on a stroke's last point, else 0.
        text: transcription, in characters of `ALPHABET`.
    """

    points: np.ndarray
    text: str


def line_of(strokes: Sequence[np.ndarray], text: str) -> Line:
    """Makes a line from recorded strokes, if it can be learned from.

    Args:
        strokes: one array `[points, 3]` per stroke: x, y, seconds; empty ones are ignored.
        text: transcription; surrounding white space is ignored.

    Raises:
        RecordingError: if there is no ink or no text, a number is not finite or absurdly large, a
            character is not in the alphabet, or the text is too long for CTC, which needs a frame
            per character and one more between equal neighbors.

    Example:
        >>> line = line_of([np.array([[900, 1200, 5.0], [903, 1204, 5.01]])], "i")
        >>> line.points
        array([[0.  , 0.  , 0.  , 0.  ],
               [3.  , 4.  , 0.01, 1.  ]], dtype=float32)
    """
    text = text.strip()
    if not any(map(len, strokes)):
        raise RecordingError("lines without ink")
    if not text:
        raise RecordingError("lines without text")
    if not set(ALPHABET).issuperset(text):
        raise RecordingError("lines with characters outside the alphabet")
    try:
        points = points_of(strokes)
    except RecordingError as error:
        raise RecordingError(f"lines with {error.kind}") from error
    frames = -(-len(points) // KEEP_EVERY)
    if frames_needed(encode(text)) > frames:
        raise RecordingError("lines with more text than ink")
    return Line(points, text)


@dataclasses.dataclass(frozen=True)
class Lines:
    """All lines of a dataset.

    Attributes:
        train: lines to train on.
        validation: lines that select the epoch and the hyperparameters.
        test: lines that only the final score uses.
        skipped: number of lines that were left out, by reason.
    """

    train: tuple[Line, ...]
    validation: tuple[Line, ...]
    test: tuple[Line, ...]
    skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def splits(self) -> dict[str, tuple[Line, ...]]:
        """The lines by split."""
        return {name: getattr(self, name) for name in SPLITS}

    @property
    def counts(self) -> tuple[int, int, int]:
        """Number of lines in the training, validation and test sets."""
        return len(self.train), len(self.validation), len(self.test)

    def sha256(self) -> str:
        """Hashes points and texts, split by split, line by line."""
        digest = hashlib.sha256()
        for name, lines in self.splits.items():
            digest.update(f"{name} {len(lines)}\n".encode())
            for line in lines:
                digest.update(f"{len(line.points)} {line.text}\n".encode())
                digest.update(np.ascontiguousarray(line.points, "<f4").tobytes())
        return digest.hexdigest()


class Collector:
    """Gathers lines by split and counts those that cannot be used."""

    def __init__(self) -> None:
        self._lines: dict[str, list[Line]] = {split: [] for split in SPLITS}
        self.skipped: collections.Counter[str] = collections.Counter()

    def add(self, split: str, strokes: Sequence[np.ndarray], text: str) -> None:
        """Adds a line, or counts why it cannot be used; see `line_of`."""
        try:
            self._lines[split].append(line_of(strokes, text))
        except RecordingError as error:
            self.skipped[error.kind] += 1

    def lines(self) -> Lines:
        """Returns the lines that were gathered."""
        return Lines(
            **{split: tuple(lines) for split, lines in self._lines.items()}, skipped=self.skipped
        )


def read_npz(source: str, content: bytes) -> Lines:
    """Reads lines from `.npz`; a reader for `tuner.tasks.files.parse`.

    There are three arrays for each of `train`, `validation`, `test`: `<split>_points`, numbers
    `[points, 4]` of x, y (downward), seconds, and 1 on a stroke's last point, else 0, with all
    lines concatenated; `<split>_lengths`, integers `[lines]`, the number of points in each line;
    `<split>_texts`, strings `[lines]`.
    """
    archive = ragged_npz.read(source, content, LARGEST_UNPACKED)
    collector = Collector()
    for split in SPLITS:
        lengths = f"{split}_lengths"
        lines = archive.sequences(f"{split}_points", "biuf", "numbers [points, 4]", lengths)
        texts = archive.array(f"{split}_texts", "U", "strings [lines]").tolist()
        if len(texts) != len(lines):
            raise DataError(
                source,
                f"{lengths}: expected {len(texts):,} lengths, one a text. Received: {len(lines):,}",
            )
        for points, text in zip(lines, texts, strict=True):
            # Points after the last pen-up are a stroke, too.
            strokes = np.split(points[:, :3], np.flatnonzero(points[:, 3]) + 1)
            collector.add(split, strokes, text)
    return collector.lines()


def write_npz(path: Path, lines: Lines) -> None:
    """Writes lines, some in each split, as `read_npz` reads them; see `ragged_npz.write`."""
    arrays: dict[str, np.ndarray] = {}
    for split, members in lines.splits.items():
        arrays[f"{split}_points"] = np.concatenate([line.points for line in members])
        arrays[f"{split}_lengths"] = np.array([len(line.points) for line in members], np.int64)
        arrays[f"{split}_texts"] = np.array([line.text for line in members])
    ragged_npz.write(path, arrays)
