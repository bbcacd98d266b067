"""One MIDI file as a piano roll on a grid of quarter notes."""

from __future__ import annotations

import collections
import dataclasses
import io
from collections.abc import Iterable
from typing import Any

import numpy as np

from tuner.tasks.music.piano_rolls import (
    FEWEST_FRAMES,
    HIGHEST_PITCH,
    LOWEST_PITCH,
    PITCHES,
    Roll,
)
from tuner.tasks.problems import reason

# About a day of music: a damaged file can ask for centuries.
MOST_FRAMES = 200_000

_DRUM_CHANNEL = 9  # Channel 10 as musicians count.


class Unsuitable(Exception):
    """A MIDI file that cannot become a piano roll; the text says why."""


@dataclasses.dataclass(frozen=True)
class Note:
    """A note of a MIDI file.

    Attributes:
        pitch: MIDI number.
        start: tick at which it is struck.
        end: tick at which it is released.
    """

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
        Unsuitable: if it is no MIDI file, or has no such roll: time in seconds (SMPTE) instead of
            quarter notes, independent tracks (type 2), no notes, pitches outside 21..108, fewer
            than 2 frames or more than 200,000.
    """
    import mido

    try:
        midi = mido.MidiFile(file=io.BytesIO(content))
    except Exception as error:  # Damaged content makes it raise almost anything.
        raise Unsuitable(f"not a readable MIDI file ({reason(error)})") from error
    ticks = midi.ticks_per_beat
    if ticks < 0:
        raise Unsuitable("its time is in seconds (SMPTE), not in quarter notes")
    if ticks == 0:
        raise Unsuitable("it has 0 ticks a quarter note")
    if midi.type == 2:
        raise Unsuitable("its tracks are independent pieces (type 2)")
    return _roll(_notes(_in_time_order(midi.tracks)), ticks)


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
        raise Unsuitable("it has no notes (drums do not count)")
    for note in notes:
        if not LOWEST_PITCH <= note.pitch <= HIGHEST_PITCH:
            raise Unsuitable(
                f"it has the MIDI pitch {note.pitch}, outside {LOWEST_PITCH}..{HIGHEST_PITCH}"
            )
    # -(-a // b) is ceil(a / b) without rounding.
    spans = [(note.pitch, -(-note.start // ticks), -(-note.end // ticks)) for note in notes]
    frames = max((end for _, start, end in spans if start < end), default=0)
    if not FEWEST_FRAMES <= frames <= MOST_FRAMES:
        raise Unsuitable(f"it has {frames:,} frames, not {FEWEST_FRAMES} to {MOST_FRAMES:,}")
    roll = np.zeros((frames, PITCHES), np.uint8)
    for pitch, start, end in spans:
        roll[start:end, pitch - LOWEST_PITCH] = 1
    return roll
