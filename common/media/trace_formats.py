"""Numbers in the traces of InkML: channels, units, and notation.

Source: W3C Recommendation "Ink Markup Language (InkML)", 20 September 2011, sections 3.1 (trace
formats), 3.2.1 (traces) and 4.2 (ink sources).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_PLAIN = re.compile(r"[-+.,0-9eE\s]*")
_VALUE = re.compile(
    r"\s*+(?:(?P<order>['\"!])\s*+)?"
    r"(?P<text>[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|\#[0-9A-Fa-f]+|[*?TF])"
)
_ORDERS = {"!": 0, "'": 1, '"': 2}

# Microsoft's programs call milliseconds a device unit.
_SECONDS = {"s": 1.0, "ms": 1e-3, "dev": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0}
_METERS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "himetric": 1e-5, "in": 0.0254, "pt": 0.0254 / 72,
           "pc": 0.0254 / 6}  # fmt: skip


class Channel(NamedTuple):
    """One number of a point, as declared by its element; None for what it does not declare."""

    name: str
    units: str | None
    orientation: str | None
    respect_to: str | None


@dataclasses.dataclass(frozen=True)
class Format:
    """Conversion of the numbers of a point to x, y and seconds.

    Attributes:
        names: names of the channels, in the order of the numbers.
        factors: factors for X, Y and T that yield Y downward in units of X, and T in seconds.
        relative: whether T is relative to the beginning of its trace.
    """

    names: tuple[str, ...] = ("X", "Y")
    factors: tuple[float, float, float] = (1.0, 1.0, _SECONDS["ms"])
    relative: bool = False


def channels_of(trace_format: Element) -> tuple[Channel, ...]:
    """Returns the channels of a `traceFormat` element; those that a point may lack come last."""
    lacking = {
        id(channel)
        for element in trace_format.iter()
        if tag_of(element) == "intermittentChannels"
        for channel in element.iter()
    }
    elements = [element for element in trace_format.iter() if tag_of(element) == "channel"]
    return tuple(
        Channel(
            element.get("name", ""),
            element.get("units"),
            element.get("orientation"),
            element.get("respectTo"),
        )
        for element in sorted(elements, key=lambda element: id(element) in lacking)
    )


def format_of(channels: tuple[Channel, ...], ink_source: Element | None) -> Format:
    """Returns the format of traces with these channels of a source; X and Y if there are none.

    Raises:
        ValueError: if X or Y is missing, or the units do not determine the factors of X, Y and T.
    """
    if not channels:
        return Format()
    names = tuple(channel.name for channel in channels)
    if not {"X", "Y"} <= set(names):
        raise ValueError(f"a trace format without X and Y: {', '.join(names)}")
    by_name = dict(zip(names, channels, strict=True))
    resolutions = {
        element.get("channel"): element
        for element in (() if ink_source is None else ink_source.iter())
        if tag_of(element) == "channelProperty" and element.get("name") == "resolution"
    }
    x, y, t = (by_name.get(name) for name in "XYT")
    assert x is not None and y is not None
    counts = [_unit_of(resolutions.get(name), _METERS) for name in "XY"]
    y_as_x, seconds = _y_as_x(x.units, y.units, counts), _seconds(t, resolutions.get("T"))
    factors = (_sign(x), _sign(y) * y_as_x, _sign(t) * seconds)
    return Format(names, factors, t is not None and t.respect_to is None)


def _sign(channel: Channel | None) -> float:
    return -1.0 if channel is not None and channel.orientation == "-ve" else 1.0


def _y_as_x(x_unit: str | None, y_unit: str | None, counts: list[float | None]) -> float:
    """Returns units of X per unit of Y, by the source's resolutions or the channels' units."""
    x, y = counts
    if x is None or y is None:
        if x_unit is None or y_unit is None or x_unit == y_unit:
            return 1.0
        x, y = _METERS.get(x_unit), _METERS.get(y_unit)
        if x is None or y is None:
            raise ValueError(f"X in {x_unit}, but Y in {y_unit}")
    return y / x


def _seconds(channel: Channel | None, resolution: Element | None) -> float:
    units = "ms" if channel is None or channel.units is None else channel.units
    if units == "dev" and (count := _unit_of(resolution, _SECONDS)) is not None:
        return count
    if units not in _SECONDS:
        raise ValueError(f"T in {units}, expected {', '.join(_SECONDS)}")
    return _SECONDS[units]


def _unit_of(resolution: Element | None, units: Mapping[str, float]) -> float | None:
    """Returns the size of one count: `5 mm`, or one of `40 1/cm`; None if it is unknown."""
    if resolution is None:
        return None
    value, unit = float(resolution.get("value", "nan")), resolution.get("units", "")
    size = units.get(unit.removeprefix("1/"))
    if size is None or not (math.isfinite(value) and value > 0):
        return None
    return size / value if unit.startswith("1/") else size * value


def values_of(text: str, width: int) -> list[list[float]]:
    """Parses the values of every point: numbers, first differences, second differences.

    Args:
        text: text of a `trace` element.
        width: number of channels. NaN stands for those that a point lacks.

    Raises:
        ValueError: if a point has more values, or anything that is not a value.

    Example:
        >>> values_of("1 2, '3 '4, 5 6", 2)
        [[1.0, 2.0], [4.0, 6.0], [9.0, 12.0]]
    """
    if _PLAIN.fullmatch(text):
        rows = [words for point in text.split(",") if (words := point.split())]
        if all(len(row) == width for row in rows):
            try:
                return [[float(word) for word in row] for row in rows]
            except ValueError:
                pass  # Numbers may follow each other without a space.
    orders = [0] * width
    # For every channel, the value, its first difference and its second difference.
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
    # An asterisk repeats the value, or the difference that is in use.
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


def tag_of(element: Element) -> str:
    """Returns the name of an element without its namespace."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
