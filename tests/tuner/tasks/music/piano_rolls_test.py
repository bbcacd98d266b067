from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InputError
from tuner.tasks.music import datasets, piano_rolls
from tuner.tasks.music.formats import read_file
from tuner.tasks.music.piano_rolls import from_arrays, from_pitch_lists


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
    assert datasets.recognize(rolls, "neutral", "here").name == "Nottingham"


def test_one_changed_note_takes_the_name_away(music_data):
    rolls = read_file(music_data / "JSB_Chorales.mat")
    assert datasets.recognize(rolls, "neutral", "here").name == "JSB Chorales"

    rolls.train[0][0, 0] ^= 1

    changed = datasets.recognize(rolls, "neutral", "here")
    assert changed.name == "neutral"
    assert changed.sha256 == rolls.sha256()


def test_unknown_data_gets_the_neutral_name(tiny):
    edition = datasets.recognize(tiny, "piano rolls of x.json", "read from x.json")

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


PIECE = [[60], [62]]
CHORDS = st.lists(st.integers(21, 108), max_size=5)
SPLIT = st.lists(st.lists(CHORDS, min_size=2, max_size=6), min_size=1, max_size=3)


def test_lists_become_the_rolls_that_they_say(tiny, tiny_pitches):
    rolls = from_pitch_lists("x.json", tiny_pitches)

    for name, split in tiny.splits.items():
        assert len(rolls.splits[name]) == len(split)
        for ours, expected in zip(rolls.splits[name], split, strict=True):
            np.testing.assert_array_equal(ours, expected)
            assert ours.dtype == np.uint8


@given(train=SPLIT, valid=SPLIT, test=SPLIT)
def test_canonical_form_sorts_and_removes_doubles(train, valid, test):
    content = {"valid": valid, "test": test, "train": train, "comment": 1}

    canonical = b"".join(from_pitch_lists("x", content).canonical_form())

    assert json.loads(canonical) == {
        name: [[sorted(set(chord)) for chord in piece] for piece in content[name]]
        for name in ("train", "valid", "test")
    }


def test_tuples_sets_and_double_pitches_are_taken():
    content = {
        "train": ([(60, 60), {64}, frozenset()],),
        "valid": [PIECE],
        "test": [tuple(PIECE)],
    }

    rolls = from_pitch_lists("x", content)

    assert np.argwhere(rolls.train[0]).tolist() == [[0, 39], [1, 43]]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"train": 5}, "train: expected a list of sequences. Received: int"),
        ({"train": [PIECE, None]}, "train[1]: expected a list of frames. Received: NoneType"),
        (
            {"valid": [[60, 61]]},
            "valid[0], frame 0: expected a list of MIDI pitches. Received: int",
        ),
        (
            {"test": [[[60], "60"]]},
            "test[0], frame 1: expected a list of MIDI pitches. Received: str",
        ),
        (
            {"test": [PIECE, [[60], [20]]]},
            "test[1], frame 1: expected MIDI pitches, integers 21..108. Received: 20",
        ),
        (
            {"train": [[[60, 109], []]]},
            "train[0], frame 0: expected MIDI pitches, integers 21..108. Received: 109",
        ),
        ({"train": [[[-2], []]]}, "Received: -2"),
        (
            {"train": [[[60], [-1, 67.5]]]},
            "train[0], frame 1: expected MIDI pitches, integers 21..108. Received: 67.5",
        ),
        (
            {"train": [[[60], [20.0]]]},
            "train[0], frame 1: expected MIDI pitches, integers 21..108. Received: 20",
        ),
        ({"train": [[[60], [float("inf")]]]}, "Received: a huge number"),
        ({"train": [[[60], [1e300]]]}, "Received: a huge number"),
        ({"train": [[[60], [0.5]]]}, "Received: 0.5"),
        (
            {"train": [[[60], None]]},
            "train[0], frame 1: expected a list of MIDI pitches. Received: NoneType",
        ),
        ({"train": [[[10**5000], []]]}, "Received: a huge number"),
        ({"train": [[[True], []]]}, "expected MIDI pitches, integers 21..108. Received: bool"),
        ({"train": [[[False], []]]}, "expected MIDI pitches, integers 21..108. Received: bool"),
        ({"train": [[["60"], []]]}, "expected MIDI pitches, integers 21..108. Received: str"),
        ({"train": [[[[60]], []]]}, "expected MIDI pitches, integers 21..108. Received: list"),
        ({"train": [[[60] * 1001, []]]}, "expected at most 1,000 pitches. Received: 1,001"),
        ({"train": []}, "train: expected at least one sequence. Received: none"),
        ({"valid": [PIECE, [[60]]]}, "valid[1]: expected at least 2 frames. Received: 1"),
        ({"valid": [[]]}, "valid[0]: expected at least 2 frames. Received: 0"),
    ],
)
def test_wrong_lists_are_refused(change, expected):
    content = {"train": [PIECE], "valid": [PIECE], "test": [PIECE]} | change

    with pytest.raises(InputError) as caught:
        from_pitch_lists("x.json", content)

    assert str(caught.value).startswith("--data: x.json: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_keys_are_named():
    with pytest.raises(
        InputError, match="expected the keys train, valid, test. Received: a, train$"
    ):
        from_pitch_lists("x", {"train": [PIECE], "a": 1})
    with pytest.raises(InputError, match="Received: none of them$"):
        from_pitch_lists("x", {})
    with pytest.raises(InputError, match="expected a dictionary with .*Received: list$"):
        from_pitch_lists("x", [PIECE])


def test_a_list_that_is_named_again_and_again_is_refused_before_it_fills_the_memory(
    monkeypatch,
):
    monkeypatch.setattr(piano_rolls, "_MOST_FRAMES", 50_000)
    piece = [[60]] * 10_000

    with pytest.raises(InputError, match="expected at most 50,000 frames"):
        from_pitch_lists("x", {"train": [piece] * 10_000, "valid": [PIECE], "test": [PIECE]})
