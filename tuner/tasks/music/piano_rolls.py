"""Piano rolls in memory: the form to which every music file is converted, and its hash."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import DataError
from common.media.midi import FEWEST_FRAMES, HIGHEST_PITCH, LOWEST_PITCH, PITCHES, Roll

SPLITS = ("train", "valid", "test")

# MuseData, the largest dataset of this kind, has 392,296 frames. A small file can refer to one list
# a million times.
_MOST_FRAMES = 5_000_000
_MOST_PITCHES_A_FRAME = 1_000

_LISTS = (list, tuple)
_CHORDS = (*_LISTS, set, frozenset)


@dataclasses.dataclass(frozen=True, eq=False)
class PianoRolls:
    """Three splits of piano rolls.

    A roll is uint8 [T, 88], T >= 2, of zeros and ones; column j is MIDI pitch 21 + j, a row is a
    frame (in the JSB Chorales, a quarter note).

    Attributes:
        train: rolls to train on.
        valid: rolls that select the epoch and the hyperparameters.
        test: rolls that only the final score uses.

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
        """Numbers of sequences and frames in each split, in the order `train`, `valid`, `test`."""
        return tuple(
            (len(split), sum(len(roll) for roll in split)) for split in self.splits.values()
        )

    def canonical_form(self) -> Iterator[bytes]:
        """Yields the data as JSON text, piece by piece.

        Keys are in the order `train`, `valid`, `test`; a split is a list of sequences, a sequence a
        list of frames, a frame the sorted list of its MIDI pitches; there are no spaces. The joined
        text depends only on the notes, not on the format of the file that they came in.
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
        """Returns the SHA-256 of the canonical form, 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for piece in self.canonical_form():
            digest.update(piece)
        return digest.hexdigest()


def _frame_text(frame: Roll, texts: dict[bytes, str]) -> str:
    # The same chords occur again and again, so the text of a frame is made only once.
    key = frame.tobytes()
    if key not in texts:
        texts[key] = f"[{','.join(str(LOWEST_PITCH + column) for column in np.flatnonzero(frame))}]"
    return texts[key]


def from_arrays(source: str, splits: Mapping[str, Sequence[npt.NDArray[Any]]]) -> PianoRolls:
    """Checks arrays and makes piano rolls of them.

    Args:
        source: the file or folder, for the error message.
        splits: for each of `train`, `valid`, `test` its arrays [T, 88] of zeros and ones; Boolean,
            integer or floating point.

    Raises:
        DataError: if a split is empty, or an array has another shape or another value; the message
            names the split, the sequence and the frame, counted from 0.
    """
    checked = {}
    for name in SPLITS:
        if not splits[name]:
            raise DataError(source, f"{name}: expected at least one sequence. Received: none")
        checked[name] = tuple(
            _checked(source, f"{name}[{index}]", array) for index, array in enumerate(splits[name])
        )
    return PianoRolls(**checked)


def _checked(source: str, where: str, array: npt.NDArray[Any]) -> Roll:
    if array.ndim != 2 or array.shape[1] != PITCHES:
        raise DataError(
            source,
            f"{where}: expected an array [frames, {PITCHES}], a column for each MIDI pitch "
            f"{LOWEST_PITCH}..{HIGHEST_PITCH}. Received: {list(array.shape)}",
        )
    if len(array) < FEWEST_FRAMES:
        raise DataError(
            source, f"{where}: expected at least {FEWEST_FRAMES} frames. Received: {len(array)}"
        )
    if array.dtype.kind not in "biuf":
        raise DataError(source, f"{where}: expected zeros and ones. Received: {array.dtype.name}")
    wrong = np.argwhere((array != 0) & (array != 1))
    if len(wrong):
        frame, column = wrong[0]
        raise DataError(
            source,
            f"{where}, frame {frame}, column {column}: expected 0 or 1. "
            f"Received: {array[frame, column]:.6g}",
        )
    return np.ascontiguousarray(array, dtype=np.uint8)


def from_pitch_lists(source: str, content: Any) -> PianoRolls:
    """Makes piano rolls from nested lists.

    Args:
        source: the file, for the error message.
        content: a dictionary with `train`, `valid` and `test`; a split is a list (or tuple) of
            sequences, a sequence of frames, a frame a list, tuple or set of MIDI pitches: integers
            21..108, also as floats. A pitch may occur twice in a frame (two voices on one note); a
            resting voice is missing, or -1, 0, NaN or None. Other keys are ignored.

    Raises:
        DataError: if a part of it has another form; see `from_arrays`.

    Example:
        >>> split = [[[60, 64], [62.0, -1]]]
        >>> from_pitch_lists("x.json", {"train": split, "valid": split, "test": split}).counts
        ((1, 2), (1, 2), (1, 2))
    """
    splits: dict[str, list[Roll]] = {}
    frames_so_far = 0
    content = _of_type(source, "", content, (dict,), f"a dictionary with {', '.join(SPLITS)}")
    for name in SPLITS:
        if name not in content:
            keys = ", ".join(sorted(key[:20] for key in content if isinstance(key, str))[:5])
            raise DataError(
                source, f"expected the keys {', '.join(SPLITS)}. Received: {keys or 'none of them'}"
            )
        splits[name] = []
        sequences = _of_type(source, f"{name}: ", content[name], _LISTS, "a list of sequences")
        for index, sequence in enumerate(sequences):
            where = f"{name}[{index}]"
            frames = _of_type(source, f"{where}: ", sequence, _LISTS, "a list of frames")
            frames_so_far += len(frames)
            if frames_so_far > _MOST_FRAMES:
                raise DataError(source, f"{where}: expected at most {_MOST_FRAMES:,} frames in all")
            splits[name].append(_roll(source, where, frames))
    return from_arrays(source, splits)


def _of_type(source: str, where: str, value: Any, types: tuple[type, ...], expected: str) -> Any:
    if not isinstance(value, types):
        raise DataError(source, f"{where}expected {expected}. Received: {type(value).__name__}")
    return value


def _roll(source: str, where: str, frames: Sequence[Any]) -> Roll:
    roll = np.zeros((len(frames), PITCHES), np.uint8)
    for number, frame in enumerate(frames):
        place = f"{where}, frame {number}: "
        chord = _of_type(source, place, frame, _CHORDS, "a list of MIDI pitches")
        if len(chord) > _MOST_PITCHES_A_FRAME:
            expected = f"expected at most {_MOST_PITCHES_A_FRAME:,} pitches"
            raise DataError(source, f"{place}{expected}. Received: {len(chord):,}")
        for pitch in chord:
            # `type` and not `isinstance`: True is an int to Python, but no pitch.
            if type(pitch) is int and LOWEST_PITCH <= pitch <= HIGHEST_PITCH:
                roll[number, pitch - LOWEST_PITCH] = 1
            elif not _rests(pitch):
                roll[number, _pitch(source, place, pitch) - LOWEST_PITCH] = 1
    return roll


def _rests(value: Any) -> bool:
    """Returns whether a value stands for a voice without a note."""
    return value is None or (type(value) in (int, float) and (value != value or value in (-1, 0)))


def _pitch(source: str, place: str, value: Any) -> int:
    """Reads a pitch, which may be a float without a fraction."""
    number = int(value) if type(value) is float and value.is_integer() else value
    if type(number) is int and LOWEST_PITCH <= number <= HIGHEST_PITCH:
        return number
    received = type(value).__name__
    if type(value) in (int, float):
        # An integer in a file may have more digits than Python is willing to print.
        received = f"{value:.6g}" if abs(value) < 10**9 else "a huge number"
    raise DataError(
        source,
        f"{place}expected MIDI pitches, integers {LOWEST_PITCH}..{HIGHEST_PITCH}. "
        f"Received: {received}",
    )
