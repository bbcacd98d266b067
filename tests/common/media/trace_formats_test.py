"""How the numbers of traces are written."""

from __future__ import annotations

import time

import numpy as np
import pytest

from common.errors import RecordingError
from common.media import ink
from common.media.trace_formats import values_of


def read(text: str) -> np.ndarray:
    return ink.read("a.inkml", f"<ink><trace>{text}</trace></ink>".encode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 2,3 4", [[1, 2], [3, 4]]),
        ("1-2,+3.5.25", [[1, -2], [3.5, 0.25]]),
        ("1 2 ,\n\t3 4,", [[1, 2], [3, 4]]),
        ("'1 !2", [[1, 2]]),
        ("1 2,' 3 ' 4", [[1, 2], [4, 6]]),
        ("#a #FF", [[10, 255]]),
        ("1e2 1E-2", [[100, 0.01]]),
    ],
)
def test_numbers(text: str, expected: list[list[float]]) -> None:
    assert values_of(text, 2) == expected


@pytest.mark.parametrize(
    "text", ["1", "nan 1", "inf 1", "1_0 1", "1 2 3", "1 x", "e5 1", "- 1", "1,2", "٣ ٤", "1 2e"]
)
def test_what_is_no_pair_of_numbers_is_refused(text: str) -> None:
    with pytest.raises(RecordingError):
        read(text)


def test_a_number_beyond_all_others_is_refused() -> None:
    for number in ("#" + "f" * 300, "9" * 5000, "1e999", "-1e308, 1 1e308"):
        with pytest.raises(RecordingError):
            read(f"{number} 1")


@pytest.mark.parametrize(
    "text",
    [
        "1 1," + " " * 10**6 + "x",
        "1" + " " * 10**6,
        "1 1" + "," * 10**6 + "x",
        "1 " + "1" * 10**6 + "x",
        "'" * 10**6,
    ],
    ids=["blanks", "blanks after", "commas", "digits", "quotes"],
)
def test_time_is_linear_in_the_length(text: str) -> None:
    start = time.process_time()
    with pytest.raises(RecordingError):
        read(text)
    assert time.process_time() - start < 5
