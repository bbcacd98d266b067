from __future__ import annotations

import numpy as np
import pytest

from common.errors import RecordingError
from tuner.tasks.handwriting.lines import ALPHABET, Collector, Line, Lines, encode, line_of

INK = [
    np.array([[5000.0, 70, 1e9], [5001, 72, 1e9 + 0.01]]),
    np.empty((0, 3)),
    np.array([[5007.0, 60, 1e9 + 0.25]]),
    np.array([[5003.0, 61, 1e9 + 0.5], [5000, 62, 1e9 + 0.51], [5009, 63, 1e9 + 0.52]]),
]


def test_the_alphabet_is_that_of_iam_in_its_order() -> None:
    assert len(ALPHABET) == len(set(ALPHABET)) == 81
    labels = {" ": 0, "a": 1, "z": 26, "A": 27, "Z": 52, "0": 53, "9": 62, "!": 63}
    marks = '!"#&\'()*+,-./[]:;?'
    labels |= {mark: 63 + index for index, mark in enumerate(marks)}
    for character, label in labels.items():
        assert encode(character).tolist() == [label], character
    assert encode("zA ?").dtype == np.int32


def test_points_count_from_the_first_in_full_precision() -> None:
    line = line_of(INK, " on \n")
    np.testing.assert_allclose(
        line.points,
        [
            [0, 0, 0, 0],
            [1, 2, 0.01, 1],
            [7, -10, 0.25, 1],
            [3, -9, 0.5, 0],
            [0, -8, 0.51, 0],
            [9, -7, 0.52, 1],
        ],
        atol=1e-6,
    )
    assert line.points.dtype == np.float32
    assert line.text == "on"


@pytest.mark.parametrize(("text", "fits"), [("abc", True), ("abcd", False), ("aab", False)])
def test_text_must_fit_into_the_frames(text: str, fits: bool) -> None:
    # Six points are three frames; equal neighbors need one more between them.
    if fits:
        assert line_of(INK, text).text == text
    else:
        with pytest.raises(RecordingError, match="more text than ink"):
            line_of(INK, text)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "not finite"),
        (np.inf, "not finite"),
        (-np.inf, "not finite"),
        (1e300, "out of range"),
        (-2e6, "out of range"),
    ],
)
@pytest.mark.parametrize("column", [0, 1, 2])
def test_numbers_must_be_usable(value: float, reason: str, column: int) -> None:
    ink = [stroke.copy() for stroke in INK]
    ink[3][1, column] = value
    with pytest.raises(RecordingError, match=reason):
        line_of(ink, "on")


@pytest.mark.parametrize(
    ("ink", "text", "reason"),
    [
        ([], "on", "without ink"),
        ([np.empty((0, 3))], "on", "without ink"),
        (INK, " \t", "without text"),
        (INK, "5%", "outside the alphabet"),
        (INK, "é", "outside the alphabet"),
        (INK, "a\tb", "outside the alphabet"),
    ],
)
def test_lines_need_ink_and_text(ink: list[np.ndarray], text: str, reason: str) -> None:
    with pytest.raises(RecordingError, match=reason):
        line_of(ink, text)


def test_the_collector_counts_by_reason() -> None:
    collector = Collector()
    for split, text in [("train", "a"), ("test", "b"), ("train", "%"), ("test", "$"), ("test", "")]:
        collector.add(split, INK, text)
    lines = collector.lines()
    assert lines.counts == (1, 0, 1)
    assert lines.skipped == {
        "lines with characters outside the alphabet": 2,
        "lines without text": 1,
    }


def test_the_hash_sees_every_point_text_and_split() -> None:
    line, other = line_of(INK, "on"), line_of(INK, "no")
    moved = Line(line.points + np.float32(1e-3), line.text)
    variants = [
        Lines((line,), (other,), (line,)),
        Lines((other,), (other,), (line,)),
        Lines((moved,), (other,), (line,)),
        Lines((line, other), (), (line,)),
        Lines((), (line, other), (line,)),
    ]
    assert len({lines.sha256() for lines in variants}) == len(variants)
    assert variants[0].sha256() == Lines((line,), (other,), (line,), {"left out": 3}).sha256()
