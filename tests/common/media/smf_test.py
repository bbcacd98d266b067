"""Files as programs, recorders and disks leave them, byte by byte."""

from __future__ import annotations

import io
import struct

import mido
import numpy as np
import pytest

from common.errors import RecordingError
from common.media import midi, smf
from tests.damage import read_damaged

# Pitches 60 and 62, each for a quarter note.
NOTES = bytes.fromhex("00903c40 8360803c00 00903e40 8360803e00")
END = bytes.fromhex("00ff2f00")
EXPECTED = [(0, "on", 60), (480, "off", 60), (480, "on", 62), (960, "off", 62)]


def chunk(kind: bytes, body: bytes, length: int | None = None, order: str = ">") -> bytes:
    return kind + struct.pack(f"{order}I", len(body) if length is None else length) + body


def header(tracks: int = 1, form: int = 1, ticks: int = 480, more: bytes = b"") -> bytes:
    return chunk(b"MThd", struct.pack(">HHh", form, tracks, ticks) + more)


def file(before: str = "", tracks: int = 1, length: int = 0) -> bytes:
    """A file of one track, with events before its notes; its length is wrong by so much."""
    track = bytes.fromhex(before) + NOTES + END
    return header(tracks) + chunk(b"MTrk", track, len(track) + length)


def events(content: bytes) -> list[tuple[int, str, int]]:
    return [(event.tick, event.kind, event.pitch) for event in smf.read(content).events]


RMID = chunk(b"RIFF", b"RMID" + chunk(b"data", file(), order="<"), order="<")
SAME = {
    "plain": file(),
    "a chunk of unknown kind before the track": (
        header() + chunk(b"XFIH", b"abcd") + chunk(b"MTrk", NOTES + END)
    ),
    "a longer header": header(more=b"abc") + chunk(b"MTrk", NOTES + END),
    "a track and then something else": file() + b"something else",
    "no End of Track": header() + chunk(b"MTrk", NOTES),
    "padding after End of Track": header() + chunk(b"MTrk", NOTES + END + bytes(9)),
    "in RIFF": RMID,
    "in RIFF, with more after it": RMID + chunk(b"LIST", b"INFO", order="<"),
    "from a Macintosh": b"\0\5piece" + bytes(121) + file(),
    "a key of 8 sharps": file("00ff59020800"),
    "a key of the mode 255": file("00ff5902feff"),
    "a key of one byte": file("00ff590108"),
    "a tempo of no bytes": file("00ff5100"),
    "a meta event of unknown kind": file("00ff600301ff80"),
    "a text in another encoding": file("00ff0104fffe4100"),
    "lyrics": file("00ff050b 40 4c59524943530d0a2f5c"),
    "a long sequencer event": file("00ff7f8148" + "80" * 200),
    "a controller of value 255": file("00b007ff"),
    "a controller of number 255": file("00b0ff07"),
    "a pitch bend, a program, pressures": file("00e00040 00c005 00d040 00a03c40"),
    "system exclusive": file("00f0057e7f0901f7"),
    "system exclusive in two packets": file("00f0037e7f09 00f70201f7"),
    "system exclusive with bytes above 127": file("00f003ff80f7"),
    "messages that are not for files": file("00f101 00f20102 00f301 00f6 00f8 00fa 00fe"),
    "messages that are undefined": file("00f4 00f5 00f9 00fd"),
    "running status over a controller": file("00b04040 004000"),
    "a length that is too large by 4": file(length=4),
    "a length that is too small by 4": file(length=-4),
    "a length that is too small by 6": file(length=-6),
    "a length that was never filled in": file(length=0xFFFFFFFF - len(NOTES + END)),
}


@pytest.mark.parametrize("case", SAME)
def test_what_no_note_needs_costs_no_note(case: str) -> None:
    assert events(SAME[case]) == EXPECTED
    assert not any(smf.read(SAME[case]).odd.values())
    assert midi.read_midi(SAME[case]).odd == {}


@pytest.mark.parametrize(
    "between", ["00f0037e7ff7", "00ff060141", "00f8"], ids=["sysex", "meta", "clock"]
)
def test_running_status_goes_on_after_other_events(between: str) -> None:
    track = bytes.fromhex(f"00903c40 {between} 83603c00 003e40 83603e00") + END
    assert events(header() + chunk(b"MTrk", track)) == EXPECTED


@pytest.mark.parametrize("length", [-4, -1, 0, 1, 8, 1000])
def test_a_track_with_a_wrong_length_does_not_cost_the_next(length: int) -> None:
    first = chunk(b"MTrk", NOTES + END, len(NOTES + END) + length)
    second = chunk(b"MTrk", bytes.fromhex("00914840 8740814800") + END)
    content = header(2) + first + second
    assert [event for event in events(content) if event[2] == 72] == [
        (0, "on", 72),
        (960, "off", 72),
    ]
    assert smf.read(content).odd == {
        "tracks missing": 0, "tracks that the header does not count": 0,
    }  # fmt: skip


def test_tracks_that_the_header_has_and_the_file_has_not_are_counted() -> None:
    assert events(file(tracks=5)) == EXPECTED
    assert midi.read_midi(file(tracks=5)).odd == {"tracks missing": 4}
    more = file() + chunk(b"MTrk", NOTES + END)
    assert events(more) == EXPECTED
    assert midi.read_midi(more).odd == {"tracks that the header does not count": 1}


@pytest.mark.parametrize("pitch", [128, 200, 255])
def test_a_pitch_that_is_none_costs_the_note(pitch: int) -> None:
    content = file(f"0090{pitch:02x}40 0080{pitch:02x}00")
    piece = midi.read_midi(content)
    np.testing.assert_array_equal(piece.roll, midi.read_midi(file()).roll)
    assert piece.odd == {"notes outside 21..108": 1}


CUT = "it ends too early"
REFUSED = {
    "cut in a note": (file()[:-9], CUT),
    "cut before End of Track": (file()[:-4], CUT),
    "cut in a header": (file()[:10], CUT),
    "cut in a meta event": (header() + chunk(b"MTrk", bytes.fromhex("00ff0109 41"), 99), CUT),
    "no track is there": (header(), "it has no notes"),
    "a number without end": (file("ff" * 5), "a number of more than 4 bytes"),
    "no status": (header() + chunk(b"MTrk", bytes.fromhex("003c40") + END), "has no status"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_there_is_not_made_up(case: str) -> None:
    content, problem = REFUSED[case]
    with pytest.raises(RecordingError) as caught:
        midi.read_midi(content)
    assert problem in str(caught.value)


@pytest.mark.parametrize("seed", range(10))
def test_mido_reads_the_same_of_files_that_are_right(seed: int) -> None:
    rng = np.random.default_rng(seed)
    written = mido.MidiFile(type=1, ticks_per_beat=int(rng.integers(1, 1000)))
    for _ in range(rng.integers(1, 4)):
        track = mido.MidiTrack()
        for _ in range(rng.integers(1, 60)):
            time = int(rng.choice([0, 1, 127, 128, 20_000, 3_000_000]))
            channel, first, second = (int(number) for number in rng.integers([16, 128, 128]))
            track.append(
                (
                    mido.Message("note_on", note=first, velocity=second, channel=channel),
                    mido.Message("note_on", note=first, velocity=0, channel=channel),
                    mido.Message("note_off", note=first, velocity=second, channel=channel),
                    mido.Message("control_change", control=first, value=second, channel=channel),
                    mido.Message("program_change", program=first, channel=channel),
                    mido.Message("pitchwheel", pitch=first * 64 - 4096, channel=channel),
                    mido.Message("sysex", data=[first] * second),
                    mido.MetaMessage("lyrics", text="x" * first),
                    mido.MetaMessage("set_tempo", tempo=1000 * (first + 1)),
                )[rng.integers(9)].copy(time=time)
            )
        written.tracks.append(track)
    content = io.BytesIO()
    written.save(file=content)
    expected = []
    for track in mido.MidiFile(file=io.BytesIO(content.getvalue())).tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type in ("note_on", "note_off"):
                struck = message.type == "note_on" and message.velocity > 0
                kind = "on" if struck else "off"
                expected.append((tick, kind, message.channel, message.note))
            elif message.type == "control_change" and message.control in (120, *range(123, 128)):
                expected.append((tick, "all off", message.channel, 0))
    expected.sort(key=lambda event: event[0])
    song = smf.read(content.getvalue())
    assert [tuple(event) for event in song.events] == expected
    assert (song.form, song.ticks) == (1, written.ticks_per_beat)
    assert song.end == max(sum(message.time for message in track) for track in written.tracks)
    assert not any(song.odd.values())


@pytest.mark.parametrize(
    "files", [100, pytest.param(10_000, marks=pytest.mark.slow)], ids=["some", "many"]
)
@pytest.mark.parametrize("case", ["plain", "in RIFF", "system exclusive in two packets"])
def test_damaged_files_are_music_or_refused(case: str, files: int) -> None:
    def read(content: bytes) -> None:
        piece = midi.read_midi(content)
        assert 2 <= len(piece.roll) <= midi.MOST_FRAMES and piece.roll.max() == 1
        assert all(count > 0 for count in piece.odd.values())

    outcomes = read_damaged(read, SAME[case], files=files)
    assert min(outcomes["read"], outcomes["refused"]) > files / 20
