"""Hershey's fonts: letters as lines of a pen, digitized at the U.S. Bureau of Standards (1967)."""

from __future__ import annotations

import dataclasses

import numpy as np

from common.errors import InputError
from tuner.tasks.handwriting.alphabet import ALPHABET

FONTS = ("futural", "rowmans", "scripts", "cursive", "scriptc")
"""Those that look like handwriting: two of print, three of script."""

BASELINE = 9.0
"""Where the letters stand; y grows downwards."""


@dataclasses.dataclass(frozen=True, eq=False)
class Glyph:
    """One character of a font.

    Attributes:
        strokes: one float64 array `[points, 2]` a stroke: x from the left edge, y downwards.
        width: distance to the next character.
    """

    strokes: tuple[np.ndarray, ...]
    width: float


def load_fonts() -> dict[str, dict[str, Glyph]]:
    """Loads the glyphs of the alphabet in every font of `FONTS`.

    Raises:
        InputError: if the package Hershey-Fonts is not installed or has other fonts.
    """
    try:
        from HersheyFonts import HersheyFonts
    except ImportError as error:
        raise InputError(
            "--data: synthetic handwriting needs the package Hershey-Fonts: "
            "pip install 'lstm-odyssey[handwriting]'; or give handwriting with --data=PATH"
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
