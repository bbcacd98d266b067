from __future__ import annotations

import hashlib
from pathlib import Path

import mido
import numpy as np
import pytest

from common.errors import InputError
from tuner.tasks.music import midi_folder
from tuner.tasks.music.midi_folder import read_folder


def write(path: Path, pitch: int, quarters: int = 2) -> bytes:
    """Writes a file of one note."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = mido.MidiFile(ticks_per_beat=480)
    file.tracks.append(
        mido.MidiTrack(
            [
                mido.Message("note_on", note=pitch, time=0),
                mido.Message("note_off", note=pitch, time=480 * quarters),
            ]
        )
    )
    file.save(path)
    return path.read_bytes()


def pitches(split) -> list[int]:
    return [21 + int(np.flatnonzero(roll[0])[0]) for roll in split]


def ranked(contents: dict[int, bytes]) -> list[int]:
    return sorted(contents, key=lambda pitch: hashlib.sha256(contents[pitch]).hexdigest())


@pytest.mark.parametrize(
    ("files", "sizes"),
    [(3, (1, 1, 1)), (4, (2, 1, 1)), (5, (3, 1, 1)), (8, (4, 2, 2)), (20, (12, 4, 4))],
)
def test_split_is_three_to_one_to_one_by_hash_of_content(tmp_path, files, sizes):
    contents = {pitch: write(tmp_path / f"{pitch}.mid", pitch) for pitch in range(50, 50 + files)}

    result = read_folder(tmp_path)

    assert tuple(len(split) for split in result.rolls.splits.values()) == sizes
    assert [pitch for split in result.rolls.splits.values() for pitch in pitches(split)] == ranked(
        contents
    )
    assert (result.used, result.skipped) == (files, {})


def test_names_and_places_do_not_matter(tmp_path):
    for pitch in range(50, 60):
        write(tmp_path / "a" / f"{pitch}.mid", pitch)
        write(tmp_path / "b" / f"{110 - pitch}" / "deep" / "x.MIDI", pitch)

    assert read_folder(tmp_path / "a").rolls.sha256() == read_folder(tmp_path / "b").rolls.sha256()


def test_skipped_files_are_listed_with_their_reason(tmp_path, monkeypatch):
    for pitch in (60, 61, 62):
        write(tmp_path / f"{pitch}.mid", pitch)
    write(tmp_path / "copy.mid", 61)
    write(tmp_path / "short.mid", 60, quarters=1)
    write(tmp_path / "sub" / "low.midi", 20)
    (tmp_path / "text.mid").write_text("hello, I am not music")
    (tmp_path / "empty.mid").touch()
    (tmp_path / "folder.mid").mkdir()
    (tmp_path / "broken.mid").symlink_to(tmp_path / "nowhere")
    (tmp_path / "new\nline.mid").write_text("x")
    (tmp_path / "large.mid").write_bytes(bytes(1001))
    (tmp_path / "notes.txt").write_text("not music, not mentioned")
    monkeypatch.setattr(midi_folder, "LARGEST_FILE", 1000)

    result = read_folder(tmp_path)

    reasons = {str(path.relative_to(tmp_path)): why for path, why in result.skipped.items()}
    assert result.used == 3
    assert reasons == {
        "copy.mid": f"it has the same content as {tmp_path / '61.mid'}",
        "short.mid": "it has 1 frames, not 2 to 200,000",
        "sub/low.midi": "it has no notes in 21..108 (drums do not count)",
        "text.mid": "not a readable MIDI file (a text)",
        "broken.mid": "it is not a file",
        "empty.mid": "not a readable MIDI file (an empty file)",
        "new\nline.mid": "not a readable MIDI file (a text)",
        "large.mid": "it is larger than 1,000 bytes",
    }


def test_fewer_than_three_give_no_rolls(tmp_path):
    write(tmp_path / "a.mid", 60)
    write(tmp_path / "b.mid", 61)
    write(tmp_path / "c.mid", 61)

    result = read_folder(tmp_path)

    assert result.rolls is None
    assert (result.used, len(result.skipped)) == (2, 1)


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path):
    with pytest.raises(InputError, match="absent: expected a readable folder. Received: No such"):
        read_folder(tmp_path / "absent")
