"""Lines of handwriting: the trajectory of the pen and the text that it wrote."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from common.errors import Unsuitable
from common.media.ink import points_of
from tuner.tasks.ctc import frames_needed
from tuner.tasks.handwriting.alphabet import ALPHABET, encode

SPLITS = ("train", "validation", "test")

KEEP_EVERY = 2
"""Points to one frame: the paper keeps every second."""


class Unfit(Exception):
    """A line cannot be learned from; the text is a reason, the same for all lines of that kind."""


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """One line of handwriting.

    Attributes:
        points: float32 `[points, 4]`: x, y (downwards) from the first point on, seconds since the
            first point, and 1 on a stroke's last point, else 0.
        text: what it says, of characters of `ALPHABET`.
    """

    points: np.ndarray
    text: str


def line_of(strokes: Sequence[np.ndarray], text: str) -> Line:
    """Makes a line of what was read, if it can be learned from.

    Args:
        strokes: one array `[points, 3]` a stroke: x, y, seconds; empty ones are left out.
        text: the transcription; white space around it does not count.

    Raises:
        Unfit: if there is no ink or no text, if a number is not finite or absurdly large, if a
            character is not in the alphabet, or if the text is too long for CTC: each character
            needs a frame, and a second one after its like.

    Example:
        >>> line = line_of([np.array([[900, 1200, 5.0], [903, 1204, 5.01]])], "i")
        >>> line.points
        array([[0.  , 0.  , 0.  , 0.  ],
               [3.  , 4.  , 0.01, 1.  ]], dtype=float32)
    """
    text = text.strip()
    if not any(map(len, strokes)):
        raise Unfit("lines without ink")
    if not text:
        raise Unfit("lines without text")
    if not set(ALPHABET).issuperset(text):
        raise Unfit("lines with characters outside the alphabet")
    try:
        points = points_of(strokes)
    except Unsuitable as unsuitable:
        raise Unfit(f"lines with {unsuitable.kind}") from unsuitable
    frames = -(-len(points) // KEEP_EVERY)
    if frames_needed(encode(text)) > frames:
        raise Unfit("lines with more text than ink")
    return Line(points, text)


@dataclasses.dataclass(frozen=True)
class Lines:
    """All lines of a data set.

    Attributes:
        train: lines to learn from.
        validation: lines that choose epoch and hyperparameters.
        test: lines that only the final score sees.
        skipped: how many lines were left out, by reason.
    """

    train: tuple[Line, ...]
    validation: tuple[Line, ...]
    test: tuple[Line, ...]
    skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def splits(self) -> dict[str, tuple[Line, ...]]:
        """The lines by the name of their split."""
        return {name: getattr(self, name) for name in SPLITS}

    @property
    def counts(self) -> tuple[int, int, int]:
        """Lines to train, validate and test with."""
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
        """Adds a line, or counts why not; see `line_of`."""
        try:
            self._lines[split].append(line_of(strokes, text))
        except Unfit as unfit:
            self.skipped[str(unfit)] += 1

    def lines(self) -> Lines:
        """Returns what was gathered."""
        return Lines(
            **{split: tuple(lines) for split, lines in self._lines.items()}, skipped=self.skipped
        )
