"""Reads handwriting from files, as pen points for `zoo.frontends.PenStrokes`.

It reads two XML formats: InkML and the stroke files of IAM-OnDB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from common.errors import InputError, RecordingError, install, mistaken, one_line, reason
from common.media.inkml import strokes_of
from common.media.trace_formats import tag_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Points = npt.NDArray[np.float32]

# IAM's whiteboard is some ten thousand units wide. Differences of much larger numbers, squared and
# summed for the variance, would swamp all others.
_LARGEST = 1e6


def read(source: str, content: bytes) -> Points:
    """Reads a file of pen strokes.

    Args:
        source: the file, for error messages.
        content: InkML, or a stroke file of IAM-OnDB.

    Returns:
        Points, see `points_of`. Coordinates are in the file's own unit; a model expects that of its
        training data.

    Raises:
        RecordingError: if the content is neither, is damaged, or has no points.
        InputError: if the XML may be an attack, or a package is missing, see `read_strokes`.
    """
    return points_of(read_strokes(source, content))


def read_strokes(source: str, content: bytes) -> list[np.ndarray]:
    """Reads the strokes of a pen.

    Of InkML's channels, X, Y and T are read, see `inkml.strokes_of`; movements in the air are left
    out.

    Args:
        source: the file, for error messages.
        content: XML in any encoding that it declares: InkML, or, as in IAM-OnDB, `Stroke` elements
            of `Point` elements with the attributes `x`, `y` (downward) and `time` (seconds).

    Returns:
        One float64 array `[points, 3]` per stroke: x, y (downward), seconds.

    Raises:
        RecordingError: if the XML is not well-formed or a point cannot be read.
        InputError: if it declares a document type or entities, which no file of pen strokes needs
            and which XML attacks use; or if the package defusedxml is not installed.
    """
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import ParseError, fromstring
    except ImportError as error:
        raise InputError(
            one_line(
                f"{source}: expected the package defusedxml, which reads pen strokes. "
                f"Received: not installed; run `{install('handwriting')}`"
            )
        ) from error
    what = mistaken(content)
    if what not in ("", "a text"):
        raise RecordingError("damaged pen strokes", f"expected XML. Received: {what}")
    try:
        root: Element = fromstring(content, forbid_dtd=True)
        with np.errstate(over="ignore", invalid="ignore"):  # `points_of` checks for this.
            return strokes_of(root) if tag_of(root) == "ink" else _iam_strokes(root)
    except DefusedXmlException as error:
        raise InputError(
            one_line(
                f"{source}: expected a stroke file. Received: XML with a document type or entities"
            )
        ) from error
    except (ParseError, ValueError, LookupError, OverflowError) as error:
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
    """Converts strokes to points.

    Coordinates and times are relative to the first point, which is subtracted in float64, because
    float32 cannot tell nearby timestamps apart.

    Args:
        strokes: one array `[points, 3]` per stroke: x, y (downward), seconds; empty ones are left
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
    with np.errstate(over="ignore"):
        points = points - points[0]
    if np.max(np.abs(points)) > _LARGEST:
        largest = f"expected at most {_LARGEST:,.0f} from the first point on"
        raise RecordingError("coordinates or times out of range", largest)
    pen_up = np.zeros((len(points), 1))
    pen_up[np.cumsum([len(stroke) for stroke in strokes]) - 1] = 1
    return np.hstack([points, pen_up]).astype(np.float32)
