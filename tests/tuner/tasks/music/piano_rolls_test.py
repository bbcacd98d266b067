from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from common.errors import InputError
from tuner.tasks.music import editions
from tuner.tasks.music.music_file import read_file
from tuner.tasks.music.piano_rolls import from_arrays


def test_canonical_form_is_compact_json_of_sorted_pitches(tiny, tiny_pitches):
    expected = json.dumps(tiny_pitches, separators=(",", ":")).encode()

    assert b"".join(tiny.canonical_form()) == expected
    assert tiny.sha256() == hashlib.sha256(expected).hexdigest()


def test_counts_are_sequences_and_frames_of_each_split(tiny):
    assert tiny.counts == ((2, 6), (1, 3), (3, 9))


def test_swapped_splits_have_another_hash(tiny):
    swapped = from_arrays("x", {"train": tiny.train, "valid": tiny.test, "test": tiny.valid})

    assert swapped.sha256() != tiny.sha256()


def test_published_chorales_have_the_published_counts_and_hash(music_data):
    rolls = read_file(music_data / "JSB_Chorales.mat")

    assert rolls.counts == ((229, 13807), (76, 4602), (77, 4725))
    assert sum(map(len, rolls.canonical_form())) == 317_132
    assert rolls.sha256() == "d40ed9b0a64a04c70e79d3695bd85823ac41c9ea6284a479d9aff849155ed73e"
    for split, notes, lengths, pitches, empty in (
        (rolls.train, 53_824, (25, 57, 129), (43, 96), 18),
        (rolls.valid, 17_811, (32, 54, 144), (48, 96), 29),
        (rolls.test, 18_367, (32, 57, 160), (45, 96), 17),
    ):
        frames = np.concatenate(split)
        sizes = [len(roll) for roll in split]
        columns = np.flatnonzero(frames.any(axis=0))
        assert frames.sum() == notes
        assert (min(sizes), int(np.median(sizes)), max(sizes)) == lengths
        assert (21 + columns[0], 21 + columns[-1]) == pitches
        assert int((frames.sum(axis=1) == 0).sum()) == empty
        assert frames.sum(axis=1).max() == 4


def test_nottingham_is_recognized(music_data):
    rolls = read_file(music_data / "Nottingham.mat")

    assert rolls.counts == ((694, 176561), (173, 45513), (170, 44463))
    assert [int(sum(roll.sum() for roll in split)) for split in rolls.splits.values()] == [
        699_403,
        180_192,
        177_421,
    ]
    assert editions.recognize(rolls, "neutral", "here").name == "Nottingham"


def test_one_changed_note_takes_the_name_away(music_data):
    rolls = read_file(music_data / "JSB_Chorales.mat")
    assert editions.recognize(rolls, "neutral", "here").name == "JSB Chorales"

    rolls.train[0][0, 0] ^= 1

    changed = editions.recognize(rolls, "neutral", "here")
    assert changed.name == "neutral"
    assert changed.sha256 == rolls.sha256()


def test_unknown_data_gets_the_neutral_name(tiny):
    edition = editions.recognize(tiny, "piano rolls of x.json", "read from x.json")

    assert edition.name == "piano rolls of x.json"
    assert edition.sha256 == tiny.sha256()
    assert "2 + 1 + 3 sequences of 6 + 3 + 9 frames" in edition.detail
    assert edition.detail.endswith("read from x.json")


GOOD = np.zeros((3, 88))
TWO = GOOD.copy()
TWO[1, 5] = 2
NAN = GOOD.copy()
NAN[2, 87] = np.nan


@pytest.mark.parametrize(
    ("split", "arrays", "expected"),
    [
        ("train", [], "train: expected at least one sequence. Received: none"),
        ("valid", [GOOD, GOOD[:1]], "valid[1]: expected at least 2 frames. Received: 1"),
        ("test", [GOOD[:0]], "test[0]: expected at least 2 frames. Received: 0"),
        ("test", [GOOD[:, 1:]], "Received: [3, 87]"),
        ("train", [GOOD[0]], "Received: [88]"),
        ("train", [GOOD[None]], "Received: [1, 3, 88]"),
        ("valid", [TWO], "valid[0], frame 1, column 5: expected 0 or 1. Received: 2"),
        ("test", [GOOD, NAN], "test[1], frame 2, column 87: expected 0 or 1. Received: nan"),
        ("train", [GOOD.astype(str)], "train[0]: expected zeros and ones. Received: str"),
    ],
)
def test_wrong_arrays_are_refused(split, arrays, expected):
    splits = {"train": [GOOD], "valid": [GOOD], "test": [GOOD], split: arrays}

    with pytest.raises(InputError) as caught:
        from_arrays("folder/x.npz", splits)

    assert str(caught.value).startswith("--data: folder/x.npz: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
