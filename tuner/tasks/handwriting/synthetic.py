"""Synthetic handwriting: Hershey's fonts, written by simulated writers.

Hershey's fonts represent letters as pen strokes, digitized at the U.S. Bureau of Standards.

Source: Hershey, Calligraphy for Computers (1967), from the package Hershey-Fonts.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import string
from collections.abc import Collection, Mapping

import numpy as np

from common.errors import InputError, install
from tuner.tasks.handwriting.lines import ALPHABET, Collector, Lines

WRITERS = {"train": 90, "validation": 10, "test": 15}
"""Number of writers in each split; no writer is in two splits."""

LINES_A_WRITER = 10

COUNTS = (900, 100, 150)
"""Number of lines in the training, validation and test sets."""

FONTS = ("futural", "rowmans", "scripts", "cursive", "scriptc")
"""Fonts that look like handwriting: two of print, three of script."""

# Part of every seed; a changed recipe gets a new number.
_RECIPE = 1

# Common English words; every letter of the alphabet begins some.
_WORDS = tuple(
    (importlib.resources.files("tuner.tasks.handwriting") / "words.txt").read_text("utf-8").split()
)
_CAPITALS = string.ascii_uppercase
_CLOSING = ",.;:!?"
_BRACKETS = (('"', '"'), ("'", "'"), ("(", ")"), ("[", "]"))
_JOINTS = "-/&+*"

_UNBENT = np.eye(2)


def build() -> Lines:
    """Writes all lines, which are always the same; needs the package Hershey-Fonts."""
    fonts = load_fonts()
    collector = Collector()
    split_of = [split for split, writers in WRITERS.items() for _ in range(writers)]
    for index, split in enumerate(split_of):
        generator = np.random.Generator(np.random.PCG64([_RECIPE, index]))
        writer = draw_writer(generator)
        for _ in range(LINES_A_WRITER):
            text = draw_text(generator, ALPHABET)
            collector.add(split, write(writer, text, fonts, generator), text)
    return collector.lines()


@dataclasses.dataclass(frozen=True, eq=False)
class Glyph:
    """One character of a font: its strokes, and the distance to the next character.

    A stroke is a float64 array `[points, 2]`: x from the left edge, y downward.
    """

    strokes: tuple[np.ndarray, ...]
    width: float


def load_fonts() -> dict[str, dict[str, Glyph]]:
    """Loads the glyphs of the alphabet in every font of `FONTS`."""
    try:
        from HersheyFonts import HersheyFonts
    except ImportError as error:
        raise InputError(
            "--data: synthetic handwriting needs the package Hershey-Fonts: "
            f"{install('handwriting')}; or give handwriting with --data=PATH"
        ) from error
    fonts = {}
    for name in FONTS:
        package = HersheyFonts()
        package.load_default_font(name)
        fonts[name] = {
            character: _glyph(package.all_glyphs[character]) for character in ALPHABET
        }
    return fonts


def _glyph(glyph: object) -> Glyph:
    left, width = glyph.left_offset, glyph.char_width  # type: ignore[attr-defined]
    strokes = [np.array(stroke, np.float64) for stroke in glyph.strokes]  # type: ignore[attr-defined]
    return Glyph(tuple(stroke - (left, 0) for stroke in strokes if len(stroke)), float(width))


def draw_text(generator: np.random.Generator, characters: Collection[str]) -> str:
    """Draws the text of a line: a few words with capitals, numbers and punctuation.

    Args:
        generator: source of randomness.
        characters: allowed characters besides the space; ValueError if they make no word.
    """
    allowed = frozenset(characters)
    words = _words_of(allowed)
    if not words:
        raise ValueError("expected characters that make words")
    count = int(generator.integers(3, 6))
    plain = [words[index] for index in generator.integers(len(words), size=count)]
    tokens = [(word, _decorated(word, generator)) for word in plain]
    if generator.random() < 0.3:
        tokens.insert(int(generator.integers(len(tokens) + 1)), ("", _number(generator)))
    written = (
        decorated if allowed.issuperset(decorated) else word for word, decorated in tokens
    )
    text = " ".join(word for word in written if word)
    ends = text[-1].isalnum() and "." in allowed and generator.random() < 0.3
    return f"{text}." if ends else text


@functools.cache
def _words_of(characters: frozenset[str]) -> tuple[str, ...]:
    return tuple(word for word in _WORDS if characters.issuperset(word))


def _number(generator: np.random.Generator) -> str:
    """Draws a number of up to four digits, often after a sign or a capital."""
    number = str(generator.integers(10 ** int(generator.integers(1, 5))))
    chance = generator.random()
    if chance < 0.2:
        return f"#{number}"
    return f"{_CAPITALS[generator.integers(26)]}{number}" if chance < 0.6 else number


def _decorated(word: str, generator: np.random.Generator) -> str:
    """Adds to a word, at random, capitals, a second half, an ending, brackets or punctuation."""
    chance = generator.random(5)
    if chance[0] < 0.1:
        word = word.upper()
    elif chance[0] < 0.4:
        word = word.capitalize()
    if chance[1] < 0.06:
        joint = _JOINTS[generator.integers(len(_JOINTS))]
        word = f"{word}{joint}{_WORDS[generator.integers(len(_WORDS))]}"
    if chance[2] < 0.04:
        word = f"{word}'s"
    if chance[3] < 0.1:
        opening, closing = _BRACKETS[generator.integers(len(_BRACKETS))]
        word = f"{opening}{word}{closing}"
    if chance[4] < 0.2:
        word = f"{word}{_CLOSING[generator.integers(len(_CLOSING))]}"
    return word


@dataclasses.dataclass(frozen=True)
class Writer:
    """What the lines of one writer have in common; lengths in units of the font, 21 per capital.

    Attributes:
        font: name in `FONTS`.
        slant: shift to the right per unit upward.
        size: units of the whiteboard per unit of the font.
        aspect: width over height.
        speed: distance that the pen moves between two points.
        gap: space between characters.
        jitter: amount by which the pen trembles.
        wobble: amount by which letters deviate from the baseline.
        slope: slope of the baseline.
    """

    font: str
    slant: float
    size: float
    aspect: float
    speed: float
    gap: float
    jitter: float
    wobble: float
    slope: float


def draw_writer(generator: np.random.Generator) -> Writer:
    """Draws a writer."""
    return Writer(
        font=FONTS[generator.integers(len(FONTS))],
        slant=generator.uniform(-0.15, 0.5),
        size=generator.uniform(9, 16),
        aspect=generator.uniform(0.8, 1.2),
        speed=generator.uniform(1.6, 2.8),
        gap=generator.uniform(-1, 3),
        jitter=generator.uniform(0.15, 0.5),
        wobble=generator.uniform(0.3, 1.2),
        slope=generator.uniform(-0.02, 0.02),
    )


def write(
    writer: Writer,
    text: str,
    fonts: Mapping[str, Mapping[str, Glyph]],
    generator: np.random.Generator,
) -> list[np.ndarray]:
    """Writes a line.

    Every letter is distorted a little, in its own way. The pen slows down at both ends of a stroke
    and leaves a point every 10 to 20 ms, rounded to whole units of the board and hundredths of a
    second, as in IAM-OnDB.

    Returns:
        One array `[points, 3]` per stroke: x, y (downward), seconds.
    """
    glyphs = fonts[writer.font]
    scale = np.array([writer.size * writer.aspect, writer.size])
    strokes, clock, x, offset = [], 1000.0, 0.0, 0.0
    for character in text:
        glyph = glyphs[character]
        offset = 0.9 * offset + 0.4 * writer.wobble * generator.normal()
        bent = _UNBENT + 0.04 * generator.normal(size=(2, 2))
        bent *= 1 + 0.05 * generator.normal()
        slant = writer.slant + 0.04 * generator.normal()
        for outline in glyph.strokes:
            shape = outline @ bent
            shape[:, 0] += x - slant * shape[:, 1]
            shape[:, 1] += offset + writer.slope * x
            way = _drawn(shape, writer, generator)
            times = clock + generator.uniform(0.01, 0.02, len(way)).cumsum()
            clock = times[-1] + generator.uniform(0.05, 0.25)
            stroke = np.empty((len(way), 3))
            stroke[:, :2] = np.rint(way * scale)
            stroke[:, 2] = times.round(2)
            strokes.append(stroke)
        x += glyph.width + writer.gap
    return strokes


def _drawn(shape: np.ndarray, writer: Writer, generator: np.random.Generator) -> np.ndarray:
    """Computes the path of the pen along a stroke, `[points, 2]`."""
    # For tens of thousands of small arrays, explicit sums and differences take half the time.
    apart = shape[1:] - shape[:-1]
    apart *= apart
    arc = np.zeros(len(shape))
    np.sqrt(apart[:, 0] + apart[:, 1]).cumsum(out=arc[1:])
    count = max(2, int(arc[-1] / writer.speed) + 1)
    at = arc[-1] * _pace(count)
    way = np.empty((count, 2))
    for axis in (0, 1):
        way[:, axis] = np.interp(at, arc, shape[:, axis])
    if count > 4:
        way[1:-1] = 0.25 * way[:-2] + 0.5 * way[1:-1] + 0.25 * way[2:]
    way += 0.15 * writer.jitter * generator.normal(size=way.shape)
    return way


@functools.cache
def _pace(count: int) -> np.ndarray:
    """Returns how far along a stroke, from 0 to 1, its points are; they are denser at both ends."""
    even = np.arange(count) / (count - 1)
    pace: np.ndarray = 0.65 * even + 0.35 * (0.5 - 0.5 * np.cos(np.pi * even))
    return pace
