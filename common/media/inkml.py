"""InkML: reads pen strokes from the elements of a document.

Source: W3C Recommendation "Ink Markup Language (InkML)", 20 September 2011: trace formats, traces
and groups in section 3, contexts and ink sources in section 4.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from common.media.trace_formats import Format, channels_of, format_of, tag_of, values_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

POINT_SECONDS, PAUSE_SECONDS = 0.01, 0.15
"""Time from point to point and from stroke to stroke if a document has no times: typical values of
tablets."""

_AIR = ("penUp", "indeterminate")
_NO_INK = ("definitions", "canvas", "annotationXML")


@dataclasses.dataclass(frozen=True)
class _Context:
    """Elements of the document that apply to a trace; None where it says nothing."""

    trace_format: Element | None = None
    ink_source: Element | None = None


def strokes_of(root: Element) -> list[np.ndarray]:
    """Reads the traces of a document that the pen drew.

    A trace has the context that it refers to, else that of its group, else the current one, which
    contexts between the traces change; if none of them has a format, the document's only format
    applies, else X and Y. Traces in definitions count where a `traceView` shows them. A trace in
    several parts is one stroke.

    Coordinates are in the unit of X. Missing times are interpolated from their neighbors; without
    any times, points are 0.01 s apart and strokes 0.15 s. A stroke that would start before the
    previous one ends, as when T is relative to the start of each trace, starts 0.15 s after it.

    Args:
        root: the element `ink`.

    Returns:
        One float64 array `[points, 3]` per stroke: x, y (downward), seconds; none is empty.

    Raises:
        ValueError: if a trace cannot be read, or its times decrease.
    """
    return _in_time([stroke for stroke in _Document(root).strokes() if len(stroke)])


class _Document:
    """A document, read from trace to trace."""

    def __init__(self, root: Element) -> None:
        self._root = root
        self._elements = {
            name: element for element in root.iter() if (name := _id(element)) is not None
        }
        self._defined = _within(root, "definitions")
        formats = {
            channels_of(element)
            for element in _within(root, "ink") - _within(root, "canvas")
            if tag_of(element) == "traceFormat"
        }
        self._ambiguous = len(formats) > 1
        self._usual = () if self._ambiguous else next(iter(formats), ())
        self._current = _Context()
        self._contexts: dict[Element, _Context] = {}
        self._formats: dict[_Context, Format] = {}

    def strokes(self) -> list[np.ndarray]:
        """Reads the strokes, one array `[points, 3]` each; NaN for missing times."""
        strokes: list[list[np.ndarray] | None] = []
        # Index of the stroke of a trace, by name; by None for the last trace in several parts.
        place_of: dict[str | None, int] = {}
        for trace, context in self._traces():
            continuation, prior = trace.get("continuation"), trace.get("priorRef")
            if continuation in ("middle", "end"):
                key = None if prior is None else _name(prior)
                if key not in place_of:
                    raise ValueError(f"a trace that continues what is not there: {prior}")
                place = place_of[key]
            else:
                place = len(strokes)
                strokes.append(None if trace.get("type") in _AIR else [])
            if (name := _id(trace)) is not None:
                place_of[name] = place
            if continuation is not None:
                place_of[None] = place
            if (parts := strokes[place]) is not None:
                parts.append(self._points(trace, context))
        return [_joined(parts) for parts in strokes if parts]

    def _traces(self) -> Iterator[tuple[Element, _Context]]:
        """Yields the traces that are ink, in order, each with its context."""
        taken: set[Element] = set()
        waiting: list[tuple[Element, _Context | None]] = [(self._root, None)]
        while waiting:
            element, context = waiting.pop()
            tag = tag_of(element)
            if element in taken or tag in _NO_INK:
                continue
            taken.add(element)
            if (reference := element.get("contextRef")) is not None and tag != "context":
                context = self._referred(reference)
            if tag == "context":
                self._current = self._contexts[element] = self._resolved(element, self._current)
            elif tag == "traceFormat":
                self._current = dataclasses.replace(self._current, trace_format=element)
            elif tag == "trace":
                yield element, context or self._current
            else:
                waiting += [(child, context) for child in reversed(element)]
                shown = self._elements.get(_name(element.get("traceDataRef", "")))
                if tag == "traceView" and shown in self._defined:
                    waiting.append((shown, context))

    def _referred(self, reference: str) -> _Context:
        """Returns the context that a reference names."""
        element = self._element(reference)
        if element is None:
            return self._current if "current" in reference.lower() else _Context()
        if element not in self._contexts:
            self._contexts[element] = _Context()  # In case it refers to itself.
            self._contexts[element] = self._resolved(element, _Context())
        return self._contexts[element]

    def _resolved(self, context: Element, before: _Context) -> _Context:
        """Resolves what a context states itself, states by reference, or inherits."""
        if (reference := context.get("contextRef")) is not None:
            before = self._referred(reference)
        trace_format = self._part(context, "traceFormat")
        ink_source = self._part(context, "inkSource")
        if trace_format is None and ink_source is not None:
            trace_format = self._part(ink_source, "traceFormat")
        return _Context(
            before.trace_format if trace_format is None else trace_format,
            before.ink_source if ink_source is None else ink_source,
        )

    def _part(self, element: Element, tag: str) -> Element | None:
        child = next((child for child in element if tag_of(child) == tag), None)
        reference = element.get(f"{tag}Ref")
        return self._element(reference) if child is None and reference else child

    def _element(self, reference: str) -> Element | None:
        """Finds what a reference names; None for standard names, or where it does not matter."""
        element = self._elements.get(_name(reference))
        standard = _name(reference).lower().startswith(("default", "current"))
        if element is None and self._ambiguous and not standard:
            raise ValueError(f"a reference to what is not there: {reference}")
        return element

    def _points(self, trace: Element, context: _Context) -> np.ndarray:
        """Reads the points of a trace, `[points, 3]`; NaN for missing times."""
        if context not in self._formats:
            element = context.trace_format
            channels = self._usual if element is None else channels_of(element)
            self._formats[context] = format_of(channels, context.ink_source)
        form = self._formats[context]
        width = len(form.names)
        values = np.array(values_of(trace.text or "", width), np.float64).reshape(-1, width)
        points = np.full((len(values), 3), np.nan)
        for column, (name, factor) in enumerate(zip("XYT", form.factors, strict=True)):
            if name in form.names:
                points[:, column] = values[:, form.names.index(name)] * factor
        if form.relative:
            points[:, 2] += float(trace.get("timeOffset", 0)) / 1000
        return points


def _within(root: Element, tag: str) -> set[Element]:
    return {element for outer in root.iter() if tag_of(outer) == tag for element in outer.iter()}


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Joins the parts of a stroke, with all times or none."""
    for before, after in itertools.pairwise(parts):
        if len(before) and len(after) and after[0, 2] < before[-1, 2]:
            after[:, 2] += before[-1, 2] + POINT_SECONDS - after[0, 2]
    stroke = np.concatenate(parts)
    times = stroke[:, 2]
    known = np.flatnonzero(~np.isnan(times))
    if len(known):
        places = np.arange(len(times))
        missing = np.isnan(times)
        beyond = places - np.clip(places, known[0], known[-1])
        between = np.interp(places, known, times[known])
        times[missing] = (between + POINT_SECONDS * beyond)[missing]
        if np.any(times[1:] < times[:-1]):
            raise ValueError("times that run back within a trace")
    return stroke


def _in_time(strokes: list[np.ndarray]) -> list[np.ndarray]:
    """Shifts strokes in time where necessary, so that they follow one another."""
    timed = [not np.isnan(stroke[0, 2]) for stroke in strokes]
    end, start = -math.inf, 0.0
    for stroke, has_times in zip(strokes, timed, strict=True):
        times = stroke[:, 2]
        if not has_times:
            times[:] = start + POINT_SECONDS * np.arange(len(stroke))
            start += POINT_SECONDS * (len(stroke) - 1) + PAUSE_SECONDS
        else:
            if times[0] < end:
                times += start - times[0]
            start = times[-1] + PAUSE_SECONDS
        end = times[-1]
    first = timed.index(True) if True in timed else 0
    if first:
        # Strokes before the first known time end one pause before it.
        shift = strokes[first][0, 2] - PAUSE_SECONDS - strokes[first - 1][-1, 2]
        for stroke in strokes[:first]:
            stroke[:, 2] += shift
    return strokes


def _id(element: Element) -> str | None:
    # Drafts of the standard and the CROHME data do not use the XML namespace.
    return element.get("{http://www.w3.org/XML/1998/namespace}id", element.get("id"))


def _name(reference: str) -> str:
    return reference.rpartition("#")[2]
