"""Writers that do not exist: how each of them holds the pen, and the lines that they write."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from tuner.tasks.handwriting.hershey import FONTS, Glyph

_UNBENT = np.eye(2)


@dataclasses.dataclass(frozen=True)
class Writer:
    """What the lines of one writer have in common; lengths in units of the font, 21 a capital.

    Attributes:
        font: of `FONTS`.
        slant: shift to the right for each unit upwards.
        size: how large the writing is, in units of the whiteboard for one of the font.
        aspect: width over height.
        speed: way of the pen between two points.
        gap: space between characters.
        jitter: how much the pen trembles.
        wobble: how much letters leave the baseline.
        slope: of the baseline.
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

    Every letter is bent a little, no two alike. The pen slows down at both ends of a stroke and
    leaves a point every 10 to 20 ms, rounded to whole units of the board and hundredths of a
    second, as IAM-OnDB has them.

    Args:
        writer: whose hand.
        text: what.
        fonts: the glyphs, by font and character.
        generator: where the chance comes from.

    Returns:
        One array `[points, 3]` a stroke: x, y (downwards), seconds.
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
    """Draws the way of the pen along a stroke, `[points, 2]`."""
    steps = np.sqrt((np.diff(shape, axis=0) ** 2).sum(axis=1))
    arc = np.concatenate([[0.0], steps.cumsum()])
    count = max(2, int(arc[-1] / writer.speed) + 1)
    even = np.arange(count) / (count - 1)
    at = arc[-1] * (0.65 * even + 0.35 * (0.5 - 0.5 * np.cos(np.pi * even)))
    way = np.empty((count, 2))
    for axis in (0, 1):
        way[:, axis] = np.interp(at, arc, shape[:, axis])
    if count > 4:
        way[1:-1] = 0.25 * way[:-2] + 0.5 * way[1:-1] + 0.25 * way[2:]
    way += 0.15 * writer.jitter * generator.normal(size=way.shape)
    return way
