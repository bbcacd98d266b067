"""MIDI files and piano rolls on a grid of quarter notes."""

from __future__ import annotations

import collections
import dataclasses
import importlib.util
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from common import files
from common.errors import InputError, RecordingError, reason

Roll: TypeAlias = npt.NDArray[np.uint8]
"""Zeros and ones `[frames, 88]`: column j is MIDI pitch 21 + j, a row is a frame."""

LOWEST_PITCH = 21
"""A0, the lowest key of a piano, as MIDI counts."""

HIGHEST_PITCH = 108
"""C8, the highest."""

PITCHES = HIGHEST_PITCH - LOWEST_PITCH + 1

FEWEST_FRAMES = 2
"""A roll of T frames gives T - 1 pairs of a frame and the frame after it: at least one."""

_NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")

# About a day of music: a damaged file can ask for centuries.
MOST_FRAMES = 200_000

PIANO, CHURCH_ORGAN = 0, 19
"""Instruments of General MIDI, as files count them; the organ holds its notes."""

_DRUM_CHANNEL = 9  # Channel 10 as musicians count.
_TICKS = 480
_VELOCITY = 80


def pitch_name(pitch: int) -> str:
    """Names a pitch.

    Args:
        pitch: MIDI number, 0 to 127.

    Example:
        >>> [pitch_name(pitch) for pitch in (21, 60, 70, 108)]
        ['A0', 'C4', 'B♭4', 'C8']
    """
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"


@dataclasses.dataclass(frozen=True)
class Note:
    """A note of a MIDI file: its pitch, and the ticks at which it is struck and released."""

    pitch: int
    start: int
    end: int


def read_midi(content: bytes) -> Roll:
    """Makes a piano roll of a MIDI file.

    A frame is the set of pitches that sound at a quarter note, counted from the start of the file:
    a note from `start` to `end`, in quarter notes, is in the frames ceil(start) .. ceil(end) - 1.
    So tempo does not matter, and a note between two quarter notes is not in any frame. Drums
    (channel 10) are left out. The roll ends with the last frame that has a note.

    Args:
        content: what is in the file.

    Returns:
        uint8 [frames, 88] of zeros and ones.

    Raises:
        RecordingError: if it is no MIDI file, or has no such roll: time in seconds (SMPTE) instead
            of quarter notes, independent tracks (type 2), no notes, pitches outside 21..108, fewer
            than 2 frames or more than 200,000.
        InputError: if the package mido is not installed.
    """
    _require_mido()
    import mido

    try:
        midi = mido.MidiFile(file=io.BytesIO(content))
    except Exception as error:  # Damaged content makes it raise almost anything.
        raise RecordingError(f"not a readable MIDI file ({reason(error)})") from error
    ticks = midi.ticks_per_beat
    if ticks < 0:
        raise RecordingError("its time is in seconds (SMPTE), not in quarter notes")
    if ticks == 0:
        raise RecordingError("it has 0 ticks a quarter note")
    if midi.type == 2:
        raise RecordingError("its tracks are independent pieces (type 2)")
    return _roll(_notes(_in_time_order(midi.tracks)), ticks)


def write_midi(
    roll: Roll, path: Path, *, beats_per_minute: float = 80.0, program: int = CHURCH_ORGAN
) -> None:
    """Writes a piano roll as a MIDI file of one track.

    A frame is a quarter note. A pitch that is in consecutive frames is one note, held as long. What
    `read_midi` makes of the file is the roll again, up to its last frame with a note.

    Args:
        roll: `[frames, 88]` of zeros and ones.
        path: where the file shall be, as `common.files.write_file` puts it.
        beats_per_minute: quarter notes a minute, from 4 on.
        program: instrument of General MIDI, 0 to 127.

    Raises:
        ValueError: if the roll is not one.
        InputError: if the package mido is not installed.
        OSError: if the file cannot be written.
    """
    roll = np.asarray(roll)
    if roll.ndim != 2 or roll.shape[1] != PITCHES or not np.isin(roll, (0, 1)).all():
        raise ValueError(
            f"Expected a roll [frames, {PITCHES}] of zeros and ones. "
            f"Received: {roll.dtype} {list(roll.shape)}"
        )
    _require_mido()
    import mido

    track = mido.MidiTrack()
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(beats_per_minute)))
    track.append(mido.Message("program_change", program=program))
    written = 0
    for frame, name, pitch in _changes(roll):
        ticks = (frame - written) * _TICKS
        track.append(mido.Message(name, note=pitch, velocity=_VELOCITY, time=ticks))
        written = frame
    track.append(mido.MetaMessage("end_of_track", time=(len(roll) - written) * _TICKS))
    content = io.BytesIO()
    mido.MidiFile(type=0, ticks_per_beat=_TICKS, tracks=[track]).save(file=content)
    files.write_bytes(path, content.getvalue())


def _changes(roll: Roll) -> list[tuple[int, str, int]]:
    """Frame, message and pitch of every note's beginning and end, in the order of a file."""
    silence = np.zeros((1, PITCHES), np.int8)
    changes = np.diff(roll.astype(np.int8), axis=0, prepend=silence, append=silence)
    # Sorted, note_off comes before note_on: a key is released before it is pressed again.
    return sorted(
        (int(frame), "note_on" if changes[frame, column] > 0 else "note_off", LOWEST_PITCH + column)
        for frame, column in np.argwhere(changes).tolist()
    )


def _require_mido() -> None:
    if importlib.util.find_spec("mido") is None:
        raise InputError(
            "MIDI: expected the package mido, which reads and writes it. "
            "Received: not installed; run `pip install 'lstm-odyssey[music]'`"
        )


def _in_time_order(tracks: Iterable[Iterable[Any]]) -> list[tuple[int, Any]]:
    messages = []
    for track in tracks:
        tick = 0
        for message in track:
            tick += message.time
            messages.append((tick, message))
    # The sort keeps the order within a tick: a note may end where the next one starts.
    return sorted(messages, key=lambda message: message[0])


def _notes(messages: list[tuple[int, Any]]) -> list[Note]:
    """Pairs the messages that strike and release a note.

    Where a pitch is struck twice before it is released, it sounds until it is released twice; which
    release belongs to which note makes no difference to a roll. A note that is never released
    sounds until the end of the file.
    """
    sounding: dict[tuple[int, int], list[int]] = collections.defaultdict(list)
    notes = []
    for tick, message in messages:
        if message.type not in ("note_on", "note_off") or message.channel == _DRUM_CHANNEL:
            continue
        starts = sounding[message.channel, message.note]
        if message.type == "note_on" and message.velocity > 0:
            starts.append(tick)
        elif starts:
            notes.append(Note(message.note, starts.pop(), tick))
    end = messages[-1][0] if messages else 0
    for (_, pitch), starts in sounding.items():
        notes += [Note(pitch, start, end) for start in starts]
    return notes


def _roll(notes: list[Note], ticks: int) -> Roll:
    if not notes:
        raise RecordingError("it has no notes (drums do not count)")
    for note in notes:
        if not LOWEST_PITCH <= note.pitch <= HIGHEST_PITCH:
            raise RecordingError(
                f"it has the MIDI pitch {note.pitch}, outside {LOWEST_PITCH}..{HIGHEST_PITCH}"
            )
    # -(-a // b) is ceil(a / b) without rounding.
    spans = [(note.pitch, -(-note.start // ticks), -(-note.end // ticks)) for note in notes]
    frames = max((end for _, start, end in spans if start < end), default=0)
    if not FEWEST_FRAMES <= frames <= MOST_FRAMES:
        raise RecordingError(f"it has {frames:,} frames, not {FEWEST_FRAMES} to {MOST_FRAMES:,}")
    roll = np.zeros((frames, PITCHES), np.uint8)
    for pitch, start, end in spans:
        roll[start:end, pitch - LOWEST_PITCH] = 1
    return roll
