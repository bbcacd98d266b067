"""UJI Pen Characters v2: letters of real writers, composed into lines."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping

import numpy as np

from common.cache import RemoteFile
from common.errors import DataError, InputError, reason
from common.media.inkml import PAUSE_SECONDS, POINT_SECONDS
from tuner.tasks.files import text_of
from tuner.tasks.handwriting.lines import ALPHABET, Collector, Lines
from tuner.tasks.handwriting.synthetic import draw_text

NAME = "UJI Pen Characters v2, composed lines"

PUBLISHED = RemoteFile(
    address="https://archive.ics.uci.edu/static/public/177/uji+pen+characters+version+2.zip",
    sha256="0881b522911b99d9922820289441b50fd3d307f71cd7f9cc70e86872424a5f90",
    file_name="uji_pen_characters_2.zip",
    seconds=60,
)
"""Prat, Castro, Llorens, Marzal and Vilar (2008), doi:10.24432/C5FG8S; CC BY 4.0."""

FILE = "ujipenchars2.txt"

LARGEST_FILE = 2**26
"""Largest size of the text, in bytes; the real one has about 13 million."""

LINES_A_WRITER = 20

# One tenth of the writers of the training set are for validation.
_VALIDATION = 10

_HEADER = re.compile(
    r"WORD (?P<character>\S) (?P<set>trn|tst)_(?P<writer>(?P<place>\w+?)_W\d+)-\d+"
)

# Tablets are about ten thousand units wide.
_LARGEST = 1e6

# The tablet in Valencia had the finer grid.
_UNITS = {"UPV": 1.52}

# Vertical position of characters, as (place, height): the place within the character (top 0, middle
# 0.5, bottom 1) that is at this height above the baseline, in x-heights. Others stand on it.
_STANDING = {
    **dict.fromkeys("gpqy", (0.0, 1.0)),
    **dict.fromkeys("\"'", (0.0, 2.0)),
    **dict.fromkeys("*", (0.5, 1.5)),
    **dict.fromkeys("-+", (0.5, 0.5)),
    **dict.fromkeys(",;", (1.0, -0.3)),
    **dict.fromkeys("()[]/", (1.0, -0.2)),
    "j": (1.0, -0.7),
}

_Letter = list[np.ndarray]
_Hand = dict[str, list[_Letter]]


def read_uji(source: str, content: bytes) -> Lines:
    """Reads the letters and composes lines of them; the same letters always give the same lines.

    The lines of a writer consist of this writer's letters only. The writers of the test set are
    those of the data; the last tenth of the others is for validation. Letters are placed on a
    baseline by character, since each was recorded alone; times are made up: 10 ms per point, 150 ms
    per pause. Damaged letters are counted in `Lines.skipped`.

    Args:
        source: the file, for the error message.
        content: `ujipenchars2.txt` or the `.zip` file around it; DataError for anything else.
    """
    collector = Collector()
    hands = _read_letters(_text(source, content), collector)
    learners = sorted(writer for part, writer in hands if part == "trn")
    validating = set(learners[-max(1, len(learners) // _VALIDATION) :])
    if not hands:
        raise DataError(source, "expected UJI Pen Characters v2. Received: no letters")
    for index, ((part, writer), hand) in enumerate(sorted(hands.items())):
        split = "test" if part == "tst" else "validation" if writer in validating else "train"
        generator = np.random.Generator(np.random.PCG64([2, index]))
        for _ in range(LINES_A_WRITER):
            try:
                text = draw_text(generator, hand)
            except ValueError:
                collector.skipped["writers without the letters of a word"] += 1
                break
            collector.add(split, compose(hand, text, generator), text)
    return collector.lines()


def _text(source: str, content: bytes) -> str:
    if content[:2] == b"PK":
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                names = [name for name in archive.namelist() if name.lower().endswith(FILE)]
                if not names:
                    raise DataError(source, f"expected an archive with {FILE}. Received: none")
                size = archive.getinfo(names[0]).file_size
                if size > LARGEST_FILE:
                    raise DataError(
                        source,
                        f"expected at most {LARGEST_FILE:,} bytes in {FILE}. Received: {size:,}",
                    )
                content = archive.read(names[0])
        except InputError:
            raise
        except Exception as error:  # Of damaged archives zipfile raises almost anything.
            raise DataError(source, f"expected a .zip file. Received: {reason(error)}") from error
    return text_of(content, "utf-8")


def _read_letters(text: str, collector: Collector) -> dict[tuple[str, str], _Hand]:
    """Reads the letters of the alphabet by set and writer."""
    hands: dict[tuple[str, str], _Hand] = {}
    for entry in re.split(r"^(?=WORD )", text, flags=re.MULTILINE):
        header = _HEADER.match(entry)
        if header is None or header["character"] not in ALPHABET:
            continue
        try:
            letter = _strokes(entry, _UNITS.get(header["place"], 1.0))
        except ValueError:
            collector.skipped["damaged letters"] += 1
            continue
        hand = hands.setdefault((header["set"], header["writer"]), {})
        hand.setdefault(header["character"], []).append(letter)
    return hands


def _strokes(entry: str, unit: float) -> _Letter:
    """Reads the lines `POINTS n # x y x y ...` of a letter; ValueError if they are damaged."""
    count = re.search(r"^[ \t]*NUMSTROKES (\d+)", entry, re.MULTILINE)
    strokes = []
    for line in re.findall(r"^[ \t]*POINTS (.*)$", entry, re.MULTILINE):
        points, _, numbers = line.partition("#")
        stroke = np.array(numbers.split(), np.float64).reshape(int(points), 2)
        if not len(stroke) or not np.all(np.abs(stroke) <= _LARGEST):
            raise ValueError("expected points")
        strokes.append(stroke / unit)
    if count is None or not strokes or len(strokes) != int(count[1]):
        raise ValueError("expected strokes")
    return strokes


def compose(
    hand: Mapping[str, list[_Letter]], text: str, generator: np.random.Generator
) -> list[np.ndarray]:
    """Composes a line of letters: an array `[points, 3]` per stroke of x, y (downward), seconds.

    Args:
        hand: one writer's letters by character; a letter is one array `[points, 2]` per stroke.
        text: text to write, in these characters and spaces.
        generator: chooses among the letters of a character, and the widths of spaces.
    """
    unit = _height_of_x(hand)
    line, x, clock = [], 0.0, 0.0
    for character in text:
        if character == " ":
            x += unit * generator.uniform(0.8, 1.4)
            continue
        letters = hand[character]
        letter = letters[generator.integers(len(letters))]
        points = np.concatenate(letter)
        low, high = points.min(axis=0), points.max(axis=0)
        place, height = _STANDING.get(character, (1.0, 0.0))
        shift = np.array([x - low[0], -height * unit - (low[1] + place * (high[1] - low[1]))])
        for stroke in letter:
            times = clock + POINT_SECONDS * np.arange(len(stroke))
            line.append(np.column_stack([stroke + shift, times]))
            clock = float(times[-1]) + PAUSE_SECONDS
        x += high[0] - low[0] + unit * generator.uniform(0.15, 0.45)
    return line


def _height_of_x(hand: Mapping[str, list[_Letter]]) -> float:
    """Measures the median height of the letters that are as high as an x; at least 1."""
    letters = (letter for character in "acemnorsuvwxz" for letter in hand.get(character, []))
    heights = [np.ptp(np.concatenate(letter)[:, 1]) for letter in letters]
    return max(1.0, float(np.median(heights))) if heights else 1.0
