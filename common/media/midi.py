"""MIDI files and piano rolls on a grid of quarter notes."""

from __future__ import annotations

import bisect
import collections
import dataclasses
import importlib.util
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from common import files
from common.errors import InputError, RecordingError, install
from common.media import smf
from common.media.smf import Song

Roll: TypeAlias = npt.NDArray[np.uint8]
"""Zeros and ones `[frames, 88]`: column j is MIDI pitch 21 + j, each row is a frame."""

LOWEST_PITCH = 21
"""A0, the lowest key of a piano, as a MIDI number."""

HIGHEST_PITCH = 108
"""C8, the highest key."""

PITCHES = HIGHEST_PITCH - LOWEST_PITCH + 1

SUFFIXES = (".mid", ".midi", ".kar", ".rmi")
"""Suffixes of MIDI files: plain (two), with lyrics, in RIFF."""

FEWEST_FRAMES = 2
"""A roll of T frames has T - 1 pairs of a frame and the next one, and needs at least one."""

_NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")

# About a day of music: a damaged file can ask for centuries.
MOST_FRAMES = 200_000

BEATS_PER_MINUTE = 80.0
"""Tempo of written rolls: that of a quiet chorale."""

PIANO, CHURCH_ORGAN = 0, 19
"""General MIDI instruments, numbered as in files; the organ sustains its notes."""

_DRUM_CHANNEL = 9  # Channel 10, counted from 1.
_TICKS = 480
_VELOCITY = 80

# Pitch, and the ticks at which it is struck and ends.
_Note: TypeAlias = tuple[int, int, int]

_OUTSIDE = f"notes outside {LOWEST_PITCH}..{HIGHEST_PITCH}"
_RESTRUCK = "notes that end where their pitch is struck again"
_ENDLESS = "notes that last to the end of the piece"


def pitch_name(pitch: int) -> str:
    """Returns the name of a pitch.

    Args:
        pitch: MIDI number, 0 to 127.

    Example:
        >>> [pitch_name(pitch) for pitch in (21, 60, 70, 108)]
        ['A0', 'C4', 'B♭4', 'C8']
    """
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"


@dataclasses.dataclass(frozen=True)
class Piece:
    """Content of a MIDI file.

    Attributes:
        roll: its piano roll.
        odd: counts of what the roll leaves out or guesses, for example `notes outside 21..108`;
            empty for a correct file.
    """

    roll: Roll
    odd: Mapping[str, int]


def read_midi(content: bytes) -> Piece:
    """Converts a MIDI file to a piano roll.

    A frame is the set of pitches that sound at a quarter note, counted from the start of the file:
    a note from `start` to `end`, in quarter notes, is in the frames ceil(start) .. ceil(end) - 1.
    So tempo does not matter, and a note between two quarter notes is not in any frame. Drums
    (channel 10) and notes outside 21..108 are left out; the latter are counted. The roll ends with
    the last frame that has a note.

    A note ends with a release of its pitch on its channel; if a pitch is struck twice before it is
    released, it sounds until it is released twice. A note without a release lasts until the next
    strike of its pitch, All Notes Off or All Sound Off on its channel, or the end of the piece,
    whichever comes first; unless an Off message ends it, it is counted.

    Args:
        content: content of the file, see `smf.read`.

    Raises:
        RecordingError: if it is not a MIDI file, or has no such roll: time in seconds (SMPTE)
            instead of quarter notes, independent tracks (type 2), no notes, fewer than 2 frames or
            more than 200,000.
    """
    song = smf.read(content)
    if song.ticks < 0:
        raise RecordingError("its time is in seconds (SMPTE), not in quarter notes")
    if song.ticks == 0:
        raise RecordingError("it has 0 ticks a quarter note")
    if song.form == 2:
        raise RecordingError("its tracks are independent pieces (type 2)")
    notes, odd = _notes(song)
    return Piece(_roll(notes, song.ticks), {kind: count for kind, count in odd.items() if count})


def write_midi(
    roll: Roll,
    path: Path,
    *,
    beats_per_minute: float = BEATS_PER_MINUTE,
    program: int = CHURCH_ORGAN,
) -> None:
    """Writes a piano roll as a MIDI file with one track.

    A frame is a quarter note. A pitch in consecutive frames is one long note. `read_midi`
    recovers the roll from the file, up to its last frame with a note.

    Args:
        roll: `[frames, 88]` of zeros and ones.
        path: path of the file, written by `common.files.write_file`.
        beats_per_minute: quarter notes per minute, at least 4.
        program: General MIDI instrument, 0 to 127.

    Raises:
        ValueError: if `roll` is not a piano roll.
        InputError: if the package mido is not installed.
        OSError: if the file cannot be written.
    """
    roll = np.asarray(roll)
    if roll.ndim != 2 or roll.shape[1] != PITCHES or not np.isin(roll, (0, 1)).all():
        raise ValueError(
            f"Expected a roll [frames, {PITCHES}] of zeros and ones. "
            f"Received: {roll.dtype} {list(roll.shape)}"
        )
    if importlib.util.find_spec("mido") is None:
        raise InputError(
            "MIDI: expected the package mido, which writes it. "
            f"Received: not installed; run `{install('music')}`"
        )
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
    """Lists frame, message and pitch of every note's start and end, in the order of a file."""
    silence = np.zeros((1, PITCHES), np.int8)
    changes = np.diff(roll.astype(np.int8), axis=0, prepend=silence, append=silence)
    # Sorted, note_off comes before note_on: a key is released before it is pressed again.
    return sorted(
        (int(frame), "note_on" if changes[frame, column] > 0 else "note_off", LOWEST_PITCH + column)
        for frame, column in np.argwhere(changes).tolist()
    )


def _notes(song: Song) -> tuple[list[_Note], dict[str, int]]:
    """Pairs strikes with releases, and counts irregularities."""
    # For each channel and pitch, where in the file it is struck, and which strikes still sound:
    # which release belongs to which strike makes no difference to a roll.
    strikes: dict[tuple[int, int], list[int]] = collections.defaultdict(list)
    sounding: dict[tuple[int, int], list[int]] = collections.defaultdict(list)
    all_off: dict[int, list[int]] = collections.defaultdict(list)
    notes: list[_Note] = []
    odd = {**song.odd, _OUTSIDE: 0, _RESTRUCK: 0, _ENDLESS: 0}
    for place, (tick, kind, channel, pitch) in enumerate(song.events):
        if channel == _DRUM_CHANNEL:
            continue
        if kind == "all off":
            all_off[channel].append(place)
        elif not LOWEST_PITCH <= pitch <= HIGHEST_PITCH:
            odd[_OUTSIDE] += kind == "on"
        elif kind == "on":
            sounding[channel, pitch].append(len(strikes[channel, pitch]))
            strikes[channel, pitch].append(place)
        elif sounding[channel, pitch]:
            start = strikes[channel, pitch][sounding[channel, pitch].pop()]
            notes.append((pitch, song.events[start].tick, tick))
    for (channel, pitch), numbers in sounding.items():
        for number in numbers:
            start, *later = strikes[channel, pitch][number : number + 2]
            off = bisect.bisect(all_off[channel], start)
            ends = [*later, *all_off[channel][off : off + 1]]
            end = song.events[min(ends)].tick if ends else song.end
            notes.append((pitch, song.events[start].tick, end))
            odd[_RESTRUCK] += ends != [] and min(ends) in later
            odd[_ENDLESS] += not ends
    return notes, odd


def _roll(notes: list[_Note], ticks: int) -> Roll:
    if not notes:
        raise RecordingError(
            f"it has no notes in {LOWEST_PITCH}..{HIGHEST_PITCH} (drums do not count)"
        )
    pitches, starts, ends = np.array(notes, np.int64).T
    # -(-a // b) is ceil(a / b) without rounding.
    first, behind = -(-starts // ticks), -(-ends // ticks)
    in_frames = first < behind
    frames = int(max(behind[in_frames], default=0))
    if not FEWEST_FRAMES <= frames <= MOST_FRAMES:
        raise RecordingError(f"it has {frames:,} frames, not {FEWEST_FRAMES} to {MOST_FRAMES:,}")
    # Notes of a pitch that start in a frame, minus those that end; summed up, how many sound.
    changes = np.zeros((frames + 1, PITCHES), np.int32)
    columns = pitches[in_frames] - LOWEST_PITCH
    np.add.at(changes, (first[in_frames], columns), 1)
    np.add.at(changes, (behind[in_frames], columns), -1)
    return (np.cumsum(changes[:-1], axis=0) > 0).astype(np.uint8)
