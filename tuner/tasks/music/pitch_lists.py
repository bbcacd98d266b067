"""Piano rolls from nested lists of MIDI pitches: what the pickle and JSON files hold."""

from __future__ import annotations

import json

import numpy as np

from common.errors import unusable
from common.media.pitches import HIGHEST_PITCH, LOWEST_PITCH, PITCHES, Roll
from tuner.tasks.music.piano_rolls import SPLITS, PianoRolls, from_arrays

# MuseData, the largest set of the kind, has 392,296 frames. A small file can name one list a
# million times.
_MOST_FRAMES = 5_000_000
_MOST_PITCHES_A_FRAME = 1_000


def read_json(source: str, content: bytes) -> PianoRolls:
    """Reads piano rolls from JSON.

    Args:
        source: the file, for the error text.
        content: `{"train": [...], "valid": [...], "test": [...]}`; a split is a list of sequences,
            a sequence a list of frames, a frame a list of MIDI pitches 21..108; UTF-8.

    Raises:
        InputError: if a part of it is something else.
        ValueError: if it is no JSON.

    Example:
        >>> content = b'{"train":[[[60],[62]]], "valid":[[[60],[]]], "test":[[[60],[60,64]]]}'
        >>> read_json("tiny.json", content).counts
        ((1, 2), (1, 2), (1, 2))
    """
    return from_pitch_lists(source, json.loads(content.decode("utf-8-sig")))


def from_pitch_lists(source: str, content: object) -> PianoRolls:
    """Makes piano rolls of nested lists.

    Args:
        source: the file, for the error text.
        content: a dictionary with `train`, `valid` and `test`; a split is a list (or tuple) of
            sequences, a sequence of frames, a frame a list, tuple or set of MIDI pitches, integers
            21..108. A pitch may come twice in a frame (two voices on one note); other keys are
            ignored.

    Raises:
        InputError: if a part of it is something else; the line names the split, the sequence and
            the frame, counted from 0.
    """
    if not isinstance(content, dict):
        raise unusable(
            source,
            f"expected a dictionary with {', '.join(SPLITS)}. Received: {type(content).__name__}",
        )
    splits: dict[str, list[Roll]] = {}
    frames_so_far = 0
    for name in SPLITS:
        if name not in content:
            keys = ", ".join(sorted(key[:20] for key in content if isinstance(key, str))[:5])
            raise unusable(
                source, f"expected the keys {', '.join(SPLITS)}. Received: {keys or 'none of them'}"
            )
        splits[name] = []
        for index, sequence in enumerate(_items(source, name, content[name], "sequences")):
            where = f"{name}[{index}]"
            frames = _items(source, where, sequence, "frames")
            frames_so_far += len(frames)
            if frames_so_far > _MOST_FRAMES:
                raise unusable(source, f"{where}: expected at most {_MOST_FRAMES:,} frames in all")
            splits[name].append(_roll(source, where, frames))
    return from_arrays(source, splits)


def _items(
    source: str, where: str, value: object, of_what: str
) -> list[object] | tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise unusable(
            source, f"{where}: expected a list of {of_what}. Received: {type(value).__name__}"
        )
    return value


def _roll(source: str, where: str, frames: list[object] | tuple[object, ...]) -> Roll:
    roll = np.zeros((len(frames), PITCHES), np.uint8)
    for number, frame in enumerate(frames):
        if not isinstance(frame, list | tuple | set | frozenset):
            raise unusable(
                source,
                f"{where}, frame {number}: expected a list of MIDI pitches. "
                f"Received: {type(frame).__name__}",
            )
        if len(frame) > _MOST_PITCHES_A_FRAME:
            raise unusable(
                source,
                f"{where}, frame {number}: expected at most {_MOST_PITCHES_A_FRAME:,} pitches. "
                f"Received: {len(frame):,}",
            )
        for pitch in frame:
            # `type` and not `isinstance`: True is an int to Python, but no pitch.
            if type(pitch) is not int:
                raise unusable(
                    source,
                    f"{where}, frame {number}: expected MIDI pitches as integers. "
                    f"Received: {type(pitch).__name__}",
                )
            if not LOWEST_PITCH <= pitch <= HIGHEST_PITCH:
                # An integer of a file may have more digits than Python agrees to print.
                size = str(pitch) if abs(pitch) < 10**9 else "a huge number"
                raise unusable(
                    source,
                    f"{where}, frame {number}: expected MIDI pitches "
                    f"{LOWEST_PITCH}..{HIGHEST_PITCH}. Received: {size}",
                )
            roll[number, pitch - LOWEST_PITCH] = 1
    return roll
