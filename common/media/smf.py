"""Standard MIDI Files: which keys are pressed and released when, read as players do.

Source: MIDI Manufacturers Association, *Standard MIDI Files 1.0* (RP-001), and *MIDI 1.0 Detailed
Specification*, tables I to III.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple

from common.errors import RecordingError, mistaken

_TRACK = b"MTrk"

# A RIFF file (.rmi) has about 20 bytes before the header, an old Macintosh file has 128.
_LATEST_HEADER = 512

_LONGEST_NUMBER = 4  # bytes

# How many bytes follow the status of a channel message (by its upper half) or a system message.
_DATA_BYTES = {8: 2, 9: 2, 10: 2, 11: 2, 12: 1, 13: 1, 14: 2, 0xF1: 1, 0xF2: 2, 0xF3: 1}
_NOTE_OFF, _NOTE_ON, _CONTROL = 8, 9, 11
_META, _END_OF_TRACK = 0xFF, 0x2F
_SYSTEM_EXCLUSIVE = (0xF0, 0xF7)

# All Sound Off; All Notes Off, and the mode changes that include it.
_ALL_OFF = frozenset((120, *range(123, 128)))


Kind = Literal["on", "off", "all off"]


class Event(NamedTuple):
    """An event that starts or ends notes.

    Attributes:
        tick: ticks since the beginning of the file.
        kind: `on` or `off` for a pitch, or `all off` for a channel.
        channel: 0 to 15.
        pitch: 0 to 127 in correct files; meaningless for `all off`.
    """

    tick: int
    kind: Kind
    channel: int
    pitch: int


@dataclasses.dataclass(frozen=True)
class Song:
    """Content of a file.

    Attributes:
        form: 0 or 1; 2 if the tracks are independent of each other.
        ticks: ticks per quarter note; negative if time is in seconds.
        events: events of all tracks, in order of time and, within a tick, of the file.
        end: tick of the last event of any kind.
        odd: counts of irregularities by kind, including zeros.
    """

    form: int
    ticks: int
    events: list[Event]
    end: int
    odd: Mapping[str, int]


def read(content: bytes) -> Song:
    """Reads a file, including one in RIFF (`.rmi`) or with lyrics (`.kar`).

    Chunks of unknown kind, meta events and other controllers are skipped, whatever their content. A
    track ends with its End of Track event, even if its length says otherwise.

    Raises:
        RecordingError: if there is no header, or a track is truncated.
    """
    start = content.find(b"MThd", 0, _LATEST_HEADER)
    if start < 0:
        raise _unreadable(mistaken(content) or "MThd not found")
    try:
        return _read(content[start:])
    except (IndexError, struct.error):
        raise _unreadable("it ends too early") from None


def _unreadable(why: str) -> RecordingError:
    return RecordingError(f"not a readable MIDI file ({why})")


def _read(content: bytes) -> Song:
    length, form, counted, ticks = struct.unpack_from(">IHHh", content, 4)
    events: list[Event] = []
    place, end, found = 8 + length, 0, 0
    while found < counted and (place := _next_track(content, place)) >= 0:
        place, last = _read_track(content, place, events)
        end = max(end, last)
        found += 1
    # The sort keeps the order within a tick: a note may end where the next one starts.
    events.sort(key=lambda event: event.tick)
    odd = {
        "tracks missing": counted - found,
        "tracks that the header does not count": 0 if place < 0 else content.count(_TRACK, place),
    }
    return Song(form, ticks, events, end, odd)


def _next_track(content: bytes, place: int) -> int:
    """Finds the next track chunk at or after a place; -1 if there is none."""
    while place + 8 <= len(content):
        kind, length = struct.unpack_from(">4sI", content, place)
        if kind == _TRACK:
            return place
        if place + 8 + length > len(content) or not kind.decode("latin-1").isprintable():
            break  # The length that led here was wrong.
        place += 8 + length
    return content.find(_TRACK, place)


def _read_track(content: bytes, place: int, events: list[Event]) -> tuple[int, int]:
    """Appends the events of the track at a place; returns its end position and last tick."""
    position = place + 8
    stated_end = position + int.from_bytes(content[place + 4 : position], "big")
    tick = status = 0
    while position != stated_end:
        delta, position = _number(content, position)
        tick += delta
        byte = content[position]
        if byte == _META:
            kind = content[position + 1]
            length, position = _number(content, position + 2)
            position += length
            if kind == _END_OF_TRACK:
                break
            continue
        if byte in _SYSTEM_EXCLUSIVE:
            length, position = _number(content, position + 1)
            position += length
            continue
        if byte >= 0x80:
            position += 1
        if byte > 0xF0:
            position += _DATA_BYTES.get(byte, 0)
            continue
        # In the standard, meta and system exclusive events end running status; players keep it.
        status = byte if byte >= 0x80 else status
        if not status:
            raise _unreadable("its first event has no status")
        kind, channel = status >> 4, status & 15
        if kind in (_NOTE_ON, _NOTE_OFF):
            pitch, velocity = content[position], content[position + 1]
            name: Kind = "on" if kind == _NOTE_ON and velocity > 0 else "off"
            events.append(Event(tick, name, channel, pitch))
        elif kind == _CONTROL and content[position] in _ALL_OFF:
            events.append(Event(tick, "all off", channel, 0))
        position += _DATA_BYTES[kind]
    if content[position : position + 4] != _TRACK:
        position = max(position, stated_end)
    return position, tick


def _number(content: bytes, position: int) -> tuple[int, int]:
    """Reads a variable-length number; returns it and the position after it."""
    value = 0
    for place in range(position, position + _LONGEST_NUMBER):
        byte = content[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    raise _unreadable(f"a number of more than {_LONGEST_NUMBER} bytes")
