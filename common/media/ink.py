"""Handwriting from files: the points of a pen, as `zoo.frontends.PenStrokes` takes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from common.errors import Unsuitable, reason
from common.media import iam_xml, inkml
from common.media.safe_xml import Damaged, root_of

Points = npt.NDArray[np.float32]

# IAM's whiteboard is some ten thousand units wide. Differences of much larger numbers, squared for
# the variance and summed, would lose all others.
_LARGEST = 1e6


def read(source: str, content: bytes) -> Points:
    """Reads a file of pen strokes.

    Args:
        source: the file, for the error text.
        content: InkML, or a stroke file of IAM-OnDB.

    Returns:
        What `points_of` makes of it. Coordinates are in the file's own unit; a model expects that
        of its training data.

    Raises:
        Unsuitable: if it is neither, damaged, or there is nothing that can be read.
        InputError: see `safe_xml.root_of`.
    """
    try:
        root = root_of(source, content)
        is_ink = root.tag.rpartition("}")[2] == "ink"
        strokes = inkml.strokes_of(root) if is_ink else iam_xml.strokes_of(root)
    except Damaged as error:
        raise Unsuitable("damaged pen strokes", reason(error)) from error
    return points_of(strokes)


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
        Unsuitable: if there is no point, or a number is not finite or absurdly large.

    Example:
        >>> points_of([np.array([[900, 1200, 5.0], [903, 1204, 5.01]])])
        array([[0.  , 0.  , 0.  , 0.  ],
               [3.  , 4.  , 0.01, 1.  ]], dtype=float32)
    """
    strokes = [np.asarray(stroke, np.float64) for stroke in strokes if len(stroke)]
    if not strokes:
        raise Unsuitable("no ink", "expected at least one point. Received: none")
    points = np.concatenate(strokes)
    if not np.all(np.isfinite(points)):
        raise Unsuitable("coordinates or times that are not finite", "expected numbers")
    points = points - points[0]
    if np.max(np.abs(points)) > _LARGEST:
        largest = f"expected at most {_LARGEST:,.0f} from the first point on"
        raise Unsuitable("coordinates or times out of range", largest)
    pen_up = np.zeros((len(points), 1))
    pen_up[np.cumsum([len(stroke) for stroke in strokes]) - 1] = 1
    return np.hstack([points, pen_up]).astype(np.float32)
