"""Piano rolls as SVG pictures, legible on light and dark backgrounds, with a text description."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

import numpy as np

from common.media.midi import LOWEST_PITCH, Roll, pitch_name

_FRAME, _ROW = 12, 8
"""Width of a frame and height of a pitch, in pixels."""

_LEFT, _TOP, _BOTTOM = 44, 30, 34
_MARGIN = 2
"""Number of pitches shown above and below those that sound."""

_BAR = 4
"""Frames per bar: the quarter notes of common time."""

_BLACK_KEYS = frozenset({1, 3, 6, 8, 10})

_AT_ITS_END = {"text-anchor": "end"}

_STYLE = """
svg { background: var(--paper);
  font: 12px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif;
  --paper: #ffffff; --ink: #1c1c1c; --muted: #595959; --grid: #d9d9d9; --row: #f1f1f1;
  --note: #1c6ad4; --given: #8a8a8a; }
@media (prefers-color-scheme: dark) { svg { --paper: #16181c; --ink: #e6e6e3; --muted: #a8adb4;
  --grid: #3b4048; --row: #1f2228; --note: #6ea8ff; --given: #8f959d; } }
text { fill: var(--muted); } .title { fill: var(--ink); font-weight: bold; }
.black { fill: var(--row); } .beat { stroke: var(--grid); stroke-width: .5; }
.bar { stroke: var(--muted); stroke-width: 1; }
.note { fill: var(--note); } .given { fill: var(--given); }
"""


def svg(roll: Roll, given: int, title: str) -> str:
    """Draws a piano roll.

    Args:
        roll: `[frames, 88]` of zeros and ones; at least one note must sound.
        given: number of frames at the beginning to draw in gray.
        title: heading of the picture.

    Returns:
        An SVG document: time runs to the right, with a bar line every four frames, pitch upward; a
        held note is a single bar.

    Example:
        >>> ">One note</title>" in svg(np.eye(88, dtype="uint8")[39:40], 0, "One note")
        True
    """
    sounding = np.flatnonzero(roll.any(axis=0))
    low, high = int(sounding[0]) - _MARGIN, int(sounding[-1]) + _MARGIN
    width = _LEFT + _FRAME * len(roll) + 12
    bottom = _TOP + _ROW * (high - low + 1)
    root = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {width} {bottom + _BOTTOM}",
            "width": str(width),
            "height": str(bottom + _BOTTOM),
            "role": "img",
            "aria-labelledby": "title description",
        },
    )
    _add(root, "title", {"id": "title"}, title)
    _add(root, "desc", {"id": "description"}, _description(roll, given))
    _add(root, "style", {}, _STYLE)
    _add(root, "text", {"x": _LEFT, "y": 18, "class": "title"}, title)
    _add_keys(root, range(low, high + 1), _FRAME * len(roll))
    _add_beats(root, len(roll), bottom)
    for column, start, end in notes(roll, given):
        bar = {
            "x": _LEFT + _FRAME * start + 0.5,
            "y": _TOP + _ROW * (high - column) + 0.5,
            "width": _FRAME * (end - start) - 1,
            "height": _ROW - 1,
            "rx": 2,
            "class": "given" if start < given else "note",
        }
        _add(root, "rect", bar)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def notes(roll: Roll, given: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yields the column, first frame, and frame after the last, of every held note.

    Args:
        roll: `[frames, columns]` of zeros and ones.
        given: a frame at which notes are split in two.

    Example:
        >>> list(notes(np.array([[1, 0], [1, 1], [0, 1]])))
        [(0, 0, 2), (1, 1, 3)]
    """
    for column in np.flatnonzero(roll.any(axis=0)):
        padded = np.concatenate([[0], roll[:, column].astype(int), [0]])
        changes = np.flatnonzero(np.diff(padded)).tolist()
        for start, end in zip(changes[::2], changes[1::2], strict=True):
            cuts = [start, *([given] if start < given < end else []), end]
            for piece in itertools.pairwise(cuts):
                yield int(column), *piece


def _add_keys(root: ElementTree.Element, columns: range, width: int) -> None:
    """Shades the rows of black keys and names every C."""
    for column in columns:
        y = _TOP + _ROW * (columns[-1] - column)
        pitch = LOWEST_PITCH + column
        if pitch % 12 in _BLACK_KEYS:
            place = {"x": _LEFT, "y": y, "width": width, "height": _ROW}
            _add(root, "rect", {**place, "class": "black"})
        if pitch % 12 == 0:
            _add(root, "text", {"x": _LEFT - 6, "y": y + _ROW, **_AT_ITS_END}, pitch_name(pitch))


def _add_beats(root: ElementTree.Element, frames: int, bottom: int) -> None:
    """Draws a line before every frame and numbers every fourth bar."""
    for frame in range(frames + 1):
        x = _LEFT + _FRAME * frame
        kind = "beat" if frame % _BAR else "bar"
        _add(root, "line", {"x1": x, "y1": _TOP, "x2": x, "y2": bottom, "class": kind})
        if frame % (4 * _BAR) == 0 and frame < frames:
            _add(root, "text", {"x": x, "y": bottom + 14}, str(frame // _BAR + 1))
    _add(root, "text", {"x": _LEFT - 6, "y": bottom + 14, **_AT_ITS_END}, "bar")


def _add(
    parent: ElementTree.Element, tag: str, attributes: Mapping[str, str | float], text: str = ""
) -> None:
    written = {name: str(value) for name, value in attributes.items()}
    ElementTree.SubElement(parent, tag, written).text = text or None


def _description(roll: Roll, given: int) -> str:
    sounding = np.flatnonzero(roll.any(axis=0)) + LOWEST_PITCH
    voices = roll.sum(axis=1)
    beginning = f", the first {given} of them given" if given else ""
    return (
        f"A piano roll of {len(roll)} quarter notes{beginning}. Pitches from "
        f"{pitch_name(int(sounding[0]))} to {pitch_name(int(sounding[-1]))}; on average "
        f"{voices.mean():.1f} notes sound at once, at most {voices.max()}."
    )
