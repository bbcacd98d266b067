from __future__ import annotations

import hashlib
import sys
from fractions import Fraction

import numpy as np
import pytest

from common.errors import InputError
from tuner.tasks.music import datasets, music21_chorales
from tuner.tasks.music.formats import read_file
from tuner.tasks.music.music21_chorales import MapRow, Segment, build, read_map

ROWS = read_map()


def test_the_map_is_the_one_that_was_measured():
    resource = music21_chorales.importlib.resources.files("tuner.tasks.music")

    content = (resource / "jsb_music21_map.csv").read_bytes()

    assert hashlib.sha256(content).hexdigest() == (
        "a1414c92450dfee6fd14f1cffe98d588be134507c08f2ffc618faf8b7031b3dc"
    )


def test_the_map_covers_what_the_edition_says():
    matched = [row for row in ROWS if row.score]
    frames = [sum(segment.frames + segment.held for segment in row.segments) for row in matched]

    assert (len(ROWS), len(matched), sum(frames)) == (382, 374, 22_531)
    assert sum(len(row.segments) for row in ROWS) == 616
    assert sum(row.published_frames for row in ROWS) == 23_134
    assert sum(row.identical_frames for row in ROWS) == 21_336
    assert "21,336 of their 23,134 frames (92.2 %)" in datasets.JSB_MUSIC21.note
    for (sequences, count), split in zip(
        datasets.JSB_MUSIC21.counts, ("train", "valid", "test"), strict=True
    ):
        mine = [size for row, size in zip(matched, frames, strict=True) if row.split == split]
        assert (len(mine), sum(mine)) == (sequences, count)
    assert {(row.split, row.index) for row in ROWS if not row.score} == {
        *(("train", index) for index in (25, 28, 115, 145, 160)),
        *(("valid", index) for index in (26, 39, 52)),
    }


def test_a_score_by_hand(tmp_path):
    """A grace note, an eighth, a triplet, a chord, and a fifth part that does not sing."""
    pytest.importorskip("music21")
    from music21 import chord, note, stream

    def part(name, *elements):
        made = stream.Part()
        made.partName = name
        for element in elements:
            made.append(element)
        return made

    def pitch(midi, length):
        return note.Note(midi, quarterLength=length)

    third = pitch(62, Fraction(1, 3))
    soprano = part(
        "Soprano I",
        pitch(60, 1.0),
        third.getGrace(),
        pitch(61, 0.5),
        pitch(62, Fraction(1, 3)),
        pitch(63, Fraction(1, 3)),
        pitch(64, Fraction(1, 3)),
        pitch(65, 1.5),
        pitch(67, 1.0),
    )
    alto = part("Alto", chord.Chord([48, 50], quarterLength=2.0), note.Rest(quarterLength=2.0))
    tenor, bass = part("Tenor", note.Rest(quarterLength=5.0)), part("Bass", pitch(36, 4.0))
    drone = part("Organ", pitch(30, 5.0))
    score = stream.Score([drone, bass, soprano, alto, tenor])
    score.write("musicxml", tmp_path / "x.musicxml")
    row = MapRow("valid", 0, "x.musicxml", 2, 7, 7, (Segment(1, 3, 2), Segment(0, 1, 1)))

    (roll,) = build([row], tmp_path)["valid"]

    assert [(np.flatnonzero(frame) + 21 - 2).tolist() for frame in roll] == [
        [36, 50, 61],
        [36, 63],
        [36, 65],
        [36, 65],
        [36, 65],
        [36, 50, 60],
        [36, 50, 60],
    ]


def test_some_chorales_are_those_of_the_published_data(music_data):
    pytest.importorskip("music21")
    published = read_file(music_data / "JSB_Chorales.mat")
    # One of two segments with a held chord, and one that is equal as a whole.
    rows = [ROWS[0], next(row for row in ROWS if row.identical_frames == row.published_frames)]

    built = build(rows, music21_chorales.corpus_folder())["train"]

    assert _identical(rows, built, published) == [row.identical_frames for row in rows]
    np.testing.assert_array_equal(built[1], published.train[rows[1].index])


@pytest.fixture(scope="module")
def whole():
    """The rolls of every row, built once."""
    pytest.importorskip("music21")
    return build(ROWS, music21_chorales.corpus_folder())


@pytest.mark.slow
def test_the_whole_edition(whole, monkeypatch):
    monkeypatch.setattr(music21_chorales, "build", lambda *_: whole)

    rolls = music21_chorales.build_edition()

    assert rolls.counts == datasets.JSB_MUSIC21.counts
    assert rolls.sha256() == datasets.JSB_MUSIC21.sha256
    assert sum(sequences for sequences, _ in rolls.counts) == 374
    assert sum(frames for _, frames in rolls.counts) == 22_531


@pytest.mark.slow
def test_every_chorale_has_as_many_published_frames_as_the_map_says(whole, music_data):
    published = read_file(music_data / "JSB_Chorales.mat")
    matched = [row for row in ROWS if row.score]
    rolls = [*whole["train"], *whole["valid"], *whole["test"]]

    identical = _identical(matched, rolls, published)

    assert identical == [row.identical_frames for row in matched]
    assert sum(identical) == 21_336


def _identical(rows, rolls, published):
    counts = []
    for row, roll in zip(rows, rolls, strict=True):
        other = published.splits[row.split][row.index]
        shorter = min(len(roll), len(other))
        counts.append(int((roll[:shorter] == other[:shorter]).all(axis=1).sum()))
    return counts


def test_without_music21_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "music21", None)

    with pytest.raises(InputError, match=r"pip install .*\[music\]'`.* --data=PATH"):
        music21_chorales.corpus_folder()


def test_a_corpus_of_another_version_is_one_line(tmp_path):
    pytest.importorskip("music21")
    row = ROWS[0]
    (tmp_path / "bach").mkdir()

    with pytest.raises(InputError) as caught:
        build([row], tmp_path)
    assert row.score in str(caught.value)
    assert "expected a score as in music21 10.5.1" in str(caught.value)
    assert str(caught.value).isprintable()

    (tmp_path / "bach" / "x.krn").write_text("**kern\n*M4/4\n4c\n4d\n*-\n")
    short = MapRow("train", 0, "bach/x.krn", 0, 4, 4, (Segment(0, 4, 0),))
    with pytest.raises(InputError, match="expected at least 4 quarter notes.* Received: 2$"):
        build([short], tmp_path)

    low = MapRow("train", 0, "bach/x.krn", -50, 2, 2, (Segment(0, 2, 0),))
    with pytest.raises(InputError, match="expected pitches that"):
        build([low], tmp_path)
