"""Handwriting from files: the points of a pen, as `zoo.frontends.PenStrokes` takes them.

Two formats are read, both XML: InkML (W3C Recommendation "Ink Markup Language (InkML)", 20
September 2011, sections 3.1 to 3.3) and the stroke files of IAM-OnDB.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from common.errors import InputError, RecordingError, one_line, reason

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Points = npt.NDArray[np.float32]

POINT_SECONDS, PAUSE_SECONDS = 0.01, 0.15
"""Time from point to point and from stroke to stroke where a document has no times: about what
tablets do."""

# IAM's whiteboard is some ten thousand units wide. Differences of much larger numbers, squared for
# the variance and summed, would lose all others.
_LARGEST = 1e6

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


def read(source: str, content: bytes) -> Points:
    """Reads a file of pen strokes.

    Args:
        source: the file, for the error text.
        content: InkML, or a stroke file of IAM-OnDB.

    Returns:
        What `points_of` makes of it. Coordinates are in the file's own unit; a model expects that
        of its training data.

    Raises:
        RecordingError: if it is neither, damaged, or there is nothing that can be read.
        InputError: if it attacks its reader, see `read_strokes`.
    """
    return points_of(read_strokes(source, content))


def read_strokes(source: str, content: bytes) -> list[np.ndarray]:
    """Reads what the pen did.

    Of InkML's channels X, Y and T are read, T in milliseconds unless the document says seconds, and
    what the pen did in the air is left out. Without T, points are 0.01 s apart and strokes 0.15 s.

    Args:
        source: the file, for the error text.
        content: XML in any encoding that it declares: InkML, or as in IAM-OnDB elements `Stroke` of
            elements `Point` with the attributes `x`, `y` (downwards) and `time` (seconds).

    Returns:
        One float64 array `[points, 3]` a stroke: x, y (downwards), seconds.

    Raises:
        RecordingError: if it is not well-formed or a point cannot be read.
        InputError: if it declares a document type or entities, which no file of pen strokes does
            and which are how XML attacks its readers; or if the package defusedxml is not
            installed.
    """
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import ParseError, fromstring
    except ImportError as error:
        raise InputError(
            one_line(
                f"{source}: expected the package defusedxml, which reads pen strokes. "
                "Received: not installed; run `pip install 'lstm-odyssey[handwriting]'`"
            )
        ) from error
    try:
        root: Element = fromstring(content, forbid_dtd=True)
        return _inkml_strokes(root) if _tag(root) == "ink" else _iam_strokes(root)
    except DefusedXmlException as error:
        raise InputError(
            one_line(
                f"{source}: expected a stroke file. Received: XML with a document type or entities"
            )
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise RecordingError("damaged pen strokes", reason(error)) from error


def _iam_strokes(root: Element) -> list[np.ndarray]:
    return [
        np.array(
            [[float(point.attrib[name]) for name in ("x", "y", "time")] for point in points],
            np.float64,
        ).reshape(-1, 3)
        for points in (stroke.findall("Point") for stroke in root.iter("Stroke"))
    ]


def points_of(strokes: Sequence[np.ndarray]) -> Points:
    """Makes points of strokes.

    Coordinates and times count from the first point, taken off in float64, because float32 does not
    tell two times of one day apart.

    Args:
        strokes: one array `[points, 3]` a stroke: x, y (downwards), seconds; empty ones are left
            out.

    Returns:
        float32 `[points, 4]`: x, y, seconds, and 1 on a stroke's last point, else 0.

    Raises:
        RecordingError: if there is no point, or a number is not finite or absurdly large.

    Example:
        >>> points_of([np.array([[900, 1200, 5.0], [903, 1204, 5.01]])])
        array([[0.  , 0.  , 0.  , 0.  ],
               [3.  , 4.  , 0.01, 1.  ]], dtype=float32)
    """
    strokes = [np.asarray(stroke, np.float64) for stroke in strokes if len(stroke)]
    if not strokes:
        raise RecordingError("no ink", "expected at least one point. Received: none")
    points = np.concatenate(strokes)
    if not np.all(np.isfinite(points)):
        raise RecordingError("coordinates or times that are not finite", "expected numbers")
    points = points - points[0]
    if np.max(np.abs(points)) > _LARGEST:
        largest = f"expected at most {_LARGEST:,.0f} from the first point on"
        raise RecordingError("coordinates or times out of range", largest)
    pen_up = np.zeros((len(points), 1))
    pen_up[np.cumsum([len(stroke) for stroke in strokes]) - 1] = 1
    return np.hstack([points, pen_up]).astype(np.float32)


def _inkml_strokes(root: Element) -> list[np.ndarray]:
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
        raise ValueError(f"a trace format without X and Y: {', '.join(names)}")
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
            raise ValueError(f"a point that is no {width} numbers: {point.strip()[:40]!r}")
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
