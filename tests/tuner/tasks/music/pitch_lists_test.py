from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InputError
from tuner.tasks.music import pitch_lists
from tuner.tasks.music.music_file import parse
from tuner.tasks.music.pitch_lists import from_pitch_lists, read_json

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
            "test[1], frame 1: expected MIDI pitches 21..108. Received: 20",
        ),
        (
            {"train": [[[60, 109], []]]},
            "train[0], frame 0: expected MIDI pitches 21..108. Received: 109",
        ),
        ({"train": [[[-1], []]]}, "Received: -1"),
        ({"train": [[[10**5000], []]]}, "Received: a huge number"),
        ({"train": [[[60.0], []]]}, "expected MIDI pitches as integers. Received: float"),
        ({"train": [[[True], []]]}, "expected MIDI pitches as integers. Received: bool"),
        ({"train": [[["60"], []]]}, "expected MIDI pitches as integers. Received: str"),
        ({"train": [[[[60]], []]]}, "expected MIDI pitches as integers. Received: list"),
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
    monkeypatch.setattr(pitch_lists, "_MOST_FRAMES", 50_000)
    piece = [[60]] * 10_000

    with pytest.raises(InputError, match="expected at most 50,000 frames"):
        from_pitch_lists("x", {"train": [piece] * 10_000, "valid": [PIECE], "test": [PIECE]})


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"nul",
        b'{"train": [[[NaN], []]]}',
        b'{"train": 1e999}',
        b'{"train": [[[' + b"9" * 5000 + b"],[]]]}",
    ],
)
def test_damaged_json_is_one_line(content):
    with pytest.raises(InputError) as caught:
        parse("folder/x.json", content)

    assert "folder/x.json" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_json_with_byte_order_mark_is_read(tiny, tiny_pitches):
    content = b"\xef\xbb\xbf" + json.dumps(tiny_pitches).encode()

    assert read_json("x.json", content).sha256() == tiny.sha256()
