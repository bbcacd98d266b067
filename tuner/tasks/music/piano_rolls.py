"""Piano rolls in memory: the form that every music file is turned into, and its hash."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import unusable
from common.media.pitches import FEWEST_FRAMES, HIGHEST_PITCH, LOWEST_PITCH, PITCHES, Roll

SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class PianoRolls:
    """Three splits of piano rolls.

    A roll is uint8 [T, 88], T >= 2, of zeros and ones; column j is MIDI pitch 21 + j, a row is a
    frame (in the JSB Chorales, a quarter note).

    Attributes:
        train: rolls to learn from.
        valid: rolls that choose the epoch and the hyperparameters.
        test: rolls that only the final score sees.

    Example:
        >>> roll = np.zeros((2, 88), np.uint8)
        >>> roll[:, 60 - 21] = 1
        >>> rolls = PianoRolls(train=(roll,), valid=(roll,), test=(roll,))
        >>> b"".join(rolls.canonical_form())
        b'{"train":[[[60],[60]]],"valid":[[[60],[60]]],"test":[[[60],[60]]]}'
    """

    train: tuple[Roll, ...]
    valid: tuple[Roll, ...]
    test: tuple[Roll, ...]

    @property
    def splits(self) -> dict[str, tuple[Roll, ...]]:
        """The three splits by name, in the order `train`, `valid`, `test`."""
        return {"train": self.train, "valid": self.valid, "test": self.test}

    @property
    def counts(self) -> tuple[tuple[int, int], ...]:
        """Sequences and frames of each split, in the order `train`, `valid`, `test`."""
        return tuple(
            (len(split), sum(len(roll) for roll in split)) for split in self.splits.values()
        )

    def canonical_form(self) -> Iterator[bytes]:
        """Yields the data as JSON text, piece by piece.

        Keys in the order `train`, `valid`, `test`; a split is a list of sequences, a sequence a
        list of frames, a frame the sorted list of its MIDI pitches; no spaces. The joined text
        depends only on the notes, not on the kind of file that they came in.
        """
        texts: dict[bytes, str] = {}
        opening = "{"
        for name, split in self.splits.items():
            yield f'{opening}"{name}":['.encode()
            for index, roll in enumerate(split):
                frames = ",".join(_frame_text(frame, texts) for frame in roll)
                yield f"{',' if index else ''}[{frames}]".encode()
            yield b"]"
            opening = ","
        yield b"}"

    def sha256(self) -> str:
        """The SHA-256 of the canonical form, 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for piece in self.canonical_form():
            digest.update(piece)
        return digest.hexdigest()


def _frame_text(frame: Roll, texts: dict[bytes, str]) -> str:
    # The same chords come again and again: a frame's text is made once.
    key = frame.tobytes()
    if key not in texts:
        texts[key] = f"[{','.join(str(LOWEST_PITCH + column) for column in np.flatnonzero(frame))}]"
    return texts[key]


def from_arrays(source: str, splits: Mapping[str, Sequence[npt.NDArray[Any]]]) -> PianoRolls:
    """Checks arrays and makes piano rolls of them.

    Args:
        source: the file or folder, for the error text.
        splits: for each of `train`, `valid`, `test` its arrays [T, 88] of zeros and ones; boolean,
            integer or floating point.

    Raises:
        InputError: if a split is empty, or an array has another shape or another value; the line
            names the split, the sequence and the frame, counted from 0.

    Example:
        >>> roll = np.eye(88)
        >>> from_arrays("scales", {"train": [roll], "valid": [roll], "test": [roll]}).counts
        ((1, 88), (1, 88), (1, 88))
    """
    checked = {}
    for name in SPLITS:
        if not splits[name]:
            raise unusable(source, f"{name}: expected at least one sequence. Received: none")
        checked[name] = tuple(
            _checked(source, f"{name}[{index}]", array) for index, array in enumerate(splits[name])
        )
    return PianoRolls(**checked)


def _checked(source: str, where: str, array: npt.NDArray[Any]) -> Roll:
    if array.ndim != 2 or array.shape[1] != PITCHES:
        raise unusable(
            source,
            f"{where}: expected an array [frames, {PITCHES}], a column for each MIDI pitch "
            f"{LOWEST_PITCH}..{HIGHEST_PITCH}. Received: {list(array.shape)}",
        )
    if len(array) < FEWEST_FRAMES:
        raise unusable(
            source, f"{where}: expected at least {FEWEST_FRAMES} frames. Received: {len(array)}"
        )
    if array.dtype.kind not in "biuf":
        raise unusable(source, f"{where}: expected zeros and ones. Received: {array.dtype.name}")
    wrong = np.argwhere((array != 0) & (array != 1))
    if len(wrong):
        frame, column = wrong[0]
        raise unusable(
            source,
            f"{where}, frame {frame}, column {column}: expected 0 or 1. "
            f"Received: {array[frame, column]:.6g}",
        )
    return np.ascontiguousarray(array, dtype=np.uint8)
