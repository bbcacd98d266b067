from __future__ import annotations

import io
import time

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InputError, RecordingError
from common.media.midi import CHURCH_ORGAN, PIANO, pitch_name, read_midi, write_midi


def midi(*tracks, ticks=480, kind=1):
    """A MIDI file of tracks, each a list of (tick, message type, arguments)."""
    file = mido.MidiFile(type=kind, ticks_per_beat=ticks)
    for events in tracks:
        track = mido.MidiTrack()
        file.tracks.append(track)
        now = 0
        for tick, name, arguments in events:
            make = mido.MetaMessage if name == "set_tempo" else mido.Message
            track.append(make(name, time=tick - now, **arguments))
            now = tick
    content = io.BytesIO()
    file.save(file=content)
    return content.getvalue()


def on(tick, pitch, velocity=64, channel=0):
    return tick, "note_on", {"note": pitch, "velocity": velocity, "channel": channel}


def off(tick, pitch, channel=0):
    return tick, "note_off", {"note": pitch, "channel": channel}


def all_off(tick, control, channel=0):
    return tick, "control_change", {"control": control, "channel": channel}


def chords(roll):
    return [sorted((np.flatnonzero(frame) + 21).tolist()) for frame in roll]


def test_two_tracks_by_hand():
    content = midi(
        [
            (0, "set_tempo", {"tempo": 250_000}),
            on(0, 72), off(960, 72),  # quarters 0 and 1
            on(960, 74), (1440, "set_tempo", {"tempo": 900_000}), on(1440, 74, velocity=0),  # 2
            on(1500, 76), off(1900, 76),  # between 3.125 and 3.96: no quarter
            on(2160, 77), off(2880, 77),  # 4.5 to 6: quarter 5
        ],
        [on(0, 48, channel=3), off(1, 48, channel=3), on(481, 50), off(2400, 50)],  # 0; 2 to 4
    )  # fmt: skip

    assert chords(read_midi(content).roll) == [[48, 72], [72], [50, 74], [50], [50], [77]]


CASES = {
    "a note on a quarter is in it": ([[on(480, 60), off(481, 60)]], [[], [60]]),
    "a note after a quarter is not": ([[on(481, 60), off(961, 60)]], [[], [], [60]]),
    "a note ends where the next one starts": (
        [[on(0, 60), off(960, 60), on(960, 60), off(1920, 60)]], [[60]] * 4
    ),
    "also where it is struck before": (
        [[on(0, 60), on(960, 60), off(960, 60), off(1920, 60)]], [[60]] * 4
    ),
    "two tracks on one channel": (
        [[on(0, 60), off(960, 60)], [on(480, 60), off(1920, 60)]], [[60]] * 4
    ),
    "a pitch on two channels": ([[on(0, 60), off(480, 60, channel=1), off(1440, 60)]], [[60]] * 3),
    "released in another track": (
        [[off(960, 60), on(1440, 62), off(1920, 62)], [on(0, 60)]], [[60], [60], [], [62]]
    ),
    "struck three times, released three times": (
        [[on(0, 60), on(0, 60), on(480, 60), off(480, 60), off(960, 60), off(1440, 60)]],
        [[60]] * 3,
    ),
    "All Notes Off before and within what is released changes nothing": (
        [[all_off(0, 123), on(0, 60), all_off(480, 123), off(960, 60)]], [[60], [60]]
    ),
    "released without a note": ([[off(0, 60), on(0, 61), off(960, 61)]], [[61], [61]]),
    "drums are left out": (
        [
            [on(0, 36, channel=9), on(0, 10, channel=9), off(4800, 36, channel=9)],
            [on(0, 60), off(960, 60)],
        ],
        [[60], [60]],
    ),
    "the whole keyboard": (
        [[on(0, 21), on(0, 108), off(960, 21), off(960, 108)]], [[21, 108], [21, 108]]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_notes_sound_from_their_start_to_their_end(case):
    tracks, expected = CASES[case]
    piece = read_midi(midi(*tracks))
    assert chords(piece.roll) == expected
    assert piece.roll.dtype == np.uint8
    assert piece.odd == {}


def smpte():
    content = bytearray(midi([on(0, 60), off(960, 60)]))
    content[12:14] = b"\xe7\x28"
    return bytes(content)


def no_ticks():
    content = bytearray(midi([on(0, 60), off(960, 60)]))
    content[12:14] = b"\0\0"
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a readable MIDI file (an empty file)"),
        (b"<!DOCTYPE html><html>", "not a readable MIDI file (a web page)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "(a pointer of Git LFS; run `git lfs"),
        (b"RIFF" + bytes(100), "not a readable MIDI file (MThd not found)"),
        (smpte(), "its time is in seconds (SMPTE), not in quarter notes"),
        (no_ticks(), "it has 0 ticks a quarter note"),
        (midi([on(0, 60), off(960, 60)], kind=2), "its tracks are independent pieces (type 2)"),
        (midi([]), "it has no notes in 21..108 (drums do not count)"),
        (midi([on(0, 60, channel=9), off(960, 60, channel=9)]), "it has no notes in 21..108"),
        (midi([on(0, 20), off(960, 20)]), "it has no notes in 21..108"),
        (midi([on(0, 60), off(480, 60)]), "it has 1 frames, not 2 to 200,000"),
        (midi([on(10, 60), off(470, 60)]), "it has 0 frames, not 2 to 200,000"),
        (midi([on(0, 60), off(200_001, 60)], ticks=1), "it has 200,001 frames"),
    ],
)
def test_unsuitable_files_say_why(content, reason):
    with pytest.raises(RecordingError) as caught:
        read_midi(content)

    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@given(
    st.lists(
        st.tuples(st.integers(0, 4000), st.integers(1, 4000), st.integers(21, 108)),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([1, 96, 480, 1000]),
)
@settings(deadline=None, max_examples=50)
def test_a_pitch_is_in_a_frame_if_and_only_if_it_sounds_at_that_quarter(notes, ticks):
    # One channel a note and file order by time, so that the pairs are not in question.
    notes = notes[:9]
    events = []
    for channel, (start, length, pitch) in enumerate(notes):
        events += [on(start, pitch, channel=channel), off(start + length, pitch, channel=channel)]
    content = midi(sorted(events, key=lambda event: event[0]), ticks=ticks)
    last = max(start + length for start, length, _ in notes) // ticks + 1
    expected = [
        sorted({pitch for start, length, pitch in notes if start <= q * ticks < start + length})
        for q in range(last + 1)
    ]
    while expected and not expected[-1]:
        expected.pop()

    if len(expected) < 2:
        with pytest.raises(RecordingError):
            read_midi(content)
    else:
        assert chords(read_midi(content).roll) == expected


RESTRUCK = "notes that end where their pitch is struck again"
ENDLESS = "notes that last to the end of the piece"
OUTSIDE = "notes outside 21..108"
ODD = {
    "never released": (
        [[on(0, 60), on(960, 62), off(1440, 62)]], [[60], [60], [60, 62]], {ENDLESS: 1}
    ),
    "a lost release ends with the next strike": (
        [[on(0, 60), on(480, 62), off(960, 62), on(960, 60), off(1440, 60), on(1920, 62),
          off(2400, 62)]],
        [[60], [60, 62], [60], [], [62]],
        {RESTRUCK: 1},
    ),
    "so does the first of two lost releases, the second at the end": (
        [[on(0, 60), on(480, 60), on(960, 62), off(1440, 62)]],
        [[60], [60], [60, 62]],
        {RESTRUCK: 1, ENDLESS: 1},
    ),
    "a release of another pitch": (
        [[on(0, 72), off(480, 71), on(480, 60), off(960, 60), on(960, 72), off(1440, 72),
          on(1440, 60), off(1920, 60)]],
        [[72], [60, 72], [72], [60]],
        {RESTRUCK: 1},
    ),
    "a strike in another track on the same channel": (
        [[on(0, 60), on(1440, 62), off(1920, 62)], [on(480, 60), off(960, 60)]],
        [[60], [60], [], [62]],
        {RESTRUCK: 1},
    ),
    "a strike on another channel ends nothing": (
        [[on(0, 60), on(480, 60, channel=1), off(960, 60, channel=1)]],
        [[60], [60]],
        {ENDLESS: 1},
    ),
    "All Notes Off of another channel ends nothing": (
        [[on(0, 60), all_off(480, 123, channel=1), on(480, 62), off(960, 62)]],
        [[60], [60, 62]],
        {ENDLESS: 1},
    ),
    "All Notes Off ends what was struck before it": (
        [[on(0, 60), on(0, 64), all_off(480, 123), on(480, 60), on(960, 62), off(1440, 62)]],
        [[60, 64], [60], [60, 62]],
        {ENDLESS: 1},
    ),
    "All Notes Off after the next strike": (
        [[on(0, 60), on(480, 60), all_off(960, 123), on(960, 62), off(1440, 62)]],
        [[60], [60], [62]],
        {RESTRUCK: 1},
    ),
    "notes outside the piano": (
        [[on(0, 20), on(0, 60), off(960, 20), off(960, 60), on(960, 109)]],
        [[60], [60]],
        {OUTSIDE: 2},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_what_ends_a_note_that_nothing_releases_and_what_is_counted(case):
    tracks, expected, odd = ODD[case]
    piece = read_midi(midi(*tracks))
    assert chords(piece.roll) == expected
    assert piece.odd == odd


@pytest.mark.parametrize("control", [120, 123, 124, 125, 126, 127])
def test_modes_that_end_all_notes(control):
    piece = read_midi(midi([on(0, 60), all_off(960, control), on(960, 62), off(1920, 62)]))
    assert chords(piece.roll) == [[60], [60], [62], [62]]
    assert piece.odd == {}


@pytest.mark.parametrize("control", [0, 7, 64, 119, 121, 122])
def test_other_controllers_end_nothing(control):
    piece = read_midi(midi([on(0, 60), all_off(960, control), on(960, 62), off(1920, 62)]))
    assert chords(piece.roll) == [[60], [60], [60, 62], [60, 62]]
    assert piece.odd == {ENDLESS: 1}


@pytest.mark.parametrize("seed", range(20))
def test_as_long_as_strikes_exceed_releases_a_pitch_sounds(seed):
    """Of whatever is struck and released equally often: no rule but counting is needed."""
    rng = np.random.default_rng(seed)
    events, expected = [], np.zeros((40, 88), bool)
    for channel, pitch in {(int(c), int(p)) for c, p in rng.integers([0, 60], [3, 64], (6, 2))}:
        changes = rng.permutation([1] * 8 + [-1] * 8)
        # From where the least is reached on, as many strikes as releases come first.
        changes = np.roll(changes, -1 - int(np.argmin(np.cumsum(changes))))
        ticks = np.sort(rng.choice(40, len(changes)))
        for tick, change in zip(ticks.tolist(), changes.tolist(), strict=True):
            events.append((on if change > 0 else off)(tick, pitch, channel=channel))
        depth = [changes[ticks <= tick].sum() for tick in range(40)]
        expected[:, pitch - 21] |= np.array(depth) > 0
    events.sort(key=lambda event: event[0])
    piece = read_midi(midi(events, ticks=1))
    assert piece.odd == {}
    np.testing.assert_array_equal(piece.roll, expected[: len(piece.roll)])
    assert not expected[len(piece.roll) :].any()


def test_time_is_linear_in_the_length():
    # Every tenth frame a note is struck, all are released in the last. Pairs of notes and frames
    # would be two billion.
    notes = 20_000
    struck = b"".join(bytes([10, 21 + note % 88, 64]) for note in range(notes))
    released = b"".join(bytes([0, 21 + note % 88, 0]) for note in range(notes))
    track = b"\0\x90\0\0" + struck + released
    content = b"MThd\0\0\0\6\0\0\0\1\0\1MTrk" + len(track).to_bytes(4, "big") + track
    start = time.process_time()
    piece = read_midi(content)
    assert time.process_time() - start < 5
    assert piece.odd == {}
    expected = [10 * (notes - 1 - column) for column in range(88)]
    np.testing.assert_array_equal(piece.roll.sum(axis=0), expected)


# --- Writing ---


def roll_of(*pitches):
    roll = np.zeros((len(pitches), 88), np.uint8)
    for frame, chord in enumerate(pitches):
        roll[frame, np.array(chord, int) - 21] = 1
    return roll


def written(path):
    """The notes of a file as another reader counts: pitch, beginning and end in seconds."""
    now, sounding, notes = 0.0, {}, []
    for message in mido.MidiFile(path):
        now += message.time
        if message.type == "note_on":
            assert message.note not in sounding
            sounding[message.note] = now
        elif message.type == "note_off":
            notes.append((message.note, sounding.pop(message.note), now))
    assert not sounding
    return sorted(notes), now


def test_consecutive_frames_are_one_note(tmp_path):
    path = tmp_path / "piece.mid"
    write_midi(
        roll_of([60, 64], [60], [60, 64], [], [60], []), path, beats_per_minute=30.0, program=PIANO
    )
    notes, end = written(path)
    assert notes == [
        (60, 0.0, 6.0),
        (60, 8.0, 10.0),
        (64, 0.0, 2.0),
        (64, 4.0, 6.0),
    ]
    assert end == 12.0


@pytest.mark.parametrize("program", [PIANO, CHURCH_ORGAN, 127])
def test_the_instrument_comes_before_the_first_note(tmp_path, program):
    write_midi(roll_of([21], [108]), tmp_path / "piece.mid", program=program)
    file = mido.MidiFile(tmp_path / "piece.mid")
    (track,) = file.tracks
    assert file.type == 0
    assert [message.type for message in track][:3] == ["set_tempo", "program_change", "note_on"]
    assert track[1].program == program
    assert mido.tempo2bpm(track[0].tempo) == 80


@given(st.lists(st.sets(st.integers(21, 108), max_size=6), min_size=1, max_size=20), st.data())
@settings(deadline=None, max_examples=30)
def test_what_is_written_is_read(tmp_path_factory, chords_, data):
    roll = roll_of(*map(sorted, [*chords_, {data.draw(st.integers(21, 108))}]))
    path = tmp_path_factory.mktemp("midi") / "piece.mid"
    write_midi(roll, path)
    np.testing.assert_array_equal(read_midi(path.read_bytes()).roll, roll)


@pytest.mark.parametrize(
    "roll", [np.zeros((3, 87)), np.zeros(88), np.full((2, 88), 2), np.full((2, 88), np.nan)]
)
def test_what_is_no_roll_is_not_written(tmp_path, roll):
    with pytest.raises(ValueError, match=r"Expected a roll \[frames, 88\] of zeros and ones"):
        write_midi(roll, tmp_path / "piece.mid")
    assert list(tmp_path.iterdir()) == []


def test_without_mido_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match="the package mido.*run `pip install "):
        write_midi(roll_of([60]), tmp_path / "piece.mid")


def test_names_of_the_pitches():
    names = [pitch_name(pitch) for pitch in range(21, 109)]
    assert len(set(names)) == 88
    assert names[:4] == ["A0", "B♭0", "B0", "C1"]
    assert [pitch_name(pitch) for pitch in (59, 60, 69)] == ["B3", "C4", "A4"]
