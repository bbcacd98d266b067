"""Reads the traces of an InkML document.

Source: W3C Recommendation "Ink Markup Language (InkML)", 20 September 2011, sections 3.1 to 3.3.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import numpy as np

from common.media.safe_xml import Damaged

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

POINT_SECONDS, PAUSE_SECONDS = 0.01, 0.15
"""Time from point to point and from stroke to stroke where a document has no times: about what
tablets do."""

_VALUE = re.compile(
    r"\s*(?P<order>['\"!]?)\s*"
    r"(?P<text>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|\#[0-9A-Fa-f]+|[*?TF])"
)
_ORDERS = {"!": 0, "'": 1, '"': 2}
_SECONDS = {"s": 1.0, "ms": 1e-3}
_ID = "{http://www.w3.org/XML/1998/namespace}id"


@dataclasses.dataclass(frozen=True)
class _Channel:
    """What one number of a point is, and by what it must be multiplied: seconds, y downwards."""

    name: str
    factor: float = 1.0


_DEFAULT = (_Channel("X"), _Channel("Y"))


def strokes_of(root: Element) -> list[np.ndarray]:
    """Reads what the pen wrote; what it did in the air is left out.

    Of the channels X, Y and T are read, T in milliseconds unless the document says seconds. Without
    T, points are 0.01 s apart and strokes 0.15 s.

    Args:
        root: the element `ink`, with or without InkML's namespace.

    Returns:
        One float64 array `[points, 3]` a trace: x, y (downwards), seconds.

    Raises:
        Damaged: if a trace cannot be read.
    """
    formats = _Formats(root)
    strokes = []
    start = 0.0
    for trace in root.iter():
        if _tag(trace) != "trace" or trace.get("type") in ("penUp", "indeterminate"):
            continue
        stroke = _stroke(trace.text or "", formats.of(trace))
        if np.isnan(stroke[:, 2]).any():
            stroke[:, 2] = start + POINT_SECONDS * np.arange(len(stroke))
            start += POINT_SECONDS * max(len(stroke) - 1, 0) + PAUSE_SECONDS
        strokes.append(stroke)
    return strokes


class _Formats:
    """The trace formats of a document, by trace."""

    def __init__(self, root: Element) -> None:
        self._formats: dict[str, tuple[_Channel, ...]] = {}
        self._contexts: dict[str, tuple[_Channel, ...]] = {}
        # Most documents have one format, somewhere, and traces that refer to none.
        self._usual: tuple[_Channel, ...] | None = None
        for element in root.iter():
            if _tag(element) == "traceFormat":
                channels = _channels(element)
                self._usual = self._usual or channels
                self._formats[element.get(_ID, "")] = channels
        for element in root.iter():
            if _tag(element) == "context":
                self._contexts[element.get(_ID, "")] = self._of_context(element)

    def of(self, trace: Element) -> tuple[_Channel, ...]:
        context = trace.get("contextRef", "").removeprefix("#")
        return self._contexts.get(context) or self._usual or _DEFAULT

    def _of_context(self, context: Element) -> tuple[_Channel, ...]:
        for element in context.iter():
            if _tag(element) == "traceFormat":
                return _channels(element) or _DEFAULT
            reference = element.get("traceFormatRef", "").removeprefix("#")
            if reference in self._formats:
                return self._formats[reference] or _DEFAULT
        return self._usual or _DEFAULT


def _channels(trace_format: Element) -> tuple[_Channel, ...]:
    return tuple(
        _Channel(element.get("name", ""), _factor(element))
        for element in trace_format.iter()
        if _tag(element) == "channel"
    )


def _factor(channel: Element) -> float:
    factor = -1.0 if channel.get("orientation") == "-ve" else 1.0
    if channel.get("name") == "T":
        return factor * _SECONDS.get(channel.get("units", "ms"), _SECONDS["ms"])
    return factor


def _stroke(text: str, channels: tuple[_Channel, ...]) -> np.ndarray:
    """The points of a trace, `[points, 3]`; NaN where the channel is not there."""
    names = [channel.name for channel in channels]
    if not {"X", "Y"} <= set(names):
        raise Damaged(f"a trace format without X and Y: {', '.join(names)}")
    factors = np.array([channel.factor for channel in channels])
    values = np.array(_values(text, len(channels)), np.float64).reshape(-1, len(channels)) * factors
    times = values[:, names.index("T")] if "T" in names else np.full(len(values), np.nan)
    return np.stack([values[:, names.index("X")], values[:, names.index("Y")], times], axis=1)


def _values(text: str, width: int) -> list[list[float]]:
    """The values of every point: numbers, differences of numbers, differences of those."""
    orders = [0] * width
    # Of every channel the value, its difference and the difference of that.
    state = [[0.0, 0.0, 0.0] for _ in range(width)]
    points = []
    for point in filter(str.strip, text.split(",")):
        place = 0
        row = [float("nan")] * width
        for channel in range(width):
            match = _VALUE.match(point, place)
            if match is None:
                break
            place = match.end()
            if match["order"]:
                orders[channel] = _ORDERS[match["order"]]
            row[channel] = _next(state[channel], orders[channel], match["text"])
        if point[place:].strip():
            raise Damaged(f"a point that is no {width} numbers: {point.strip()[:40]!r}")
        points.append(row)
    return points


def _next(state: list[float], order: int, text: str) -> float:
    if text == "?":
        return float("nan")
    # An asterisk repeats: the value, or the difference that is in use.
    if text != "*":
        change = _number(text)
        state[order] = change
        if order == 2:
            state[1] += change
    elif order == 2:
        state[1] += state[2]
    if order > 0:
        state[0] += state[1]
    return state[0]


def _number(text: str) -> float:
    if text in "TF":
        return float(text == "T")
    return float(int(text[1:], 16)) if text.startswith("#") else float(text)


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
