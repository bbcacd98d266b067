"""Reads a stroke file of IAM-OnDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.media.safe_xml import Damaged, root_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def read_strokes(source: str, content: bytes) -> list[np.ndarray]:
    """Reads what the pen did.

    Args:
        source: the file, for the error text.
        content: XML, in real files ISO-8859-1: elements `Stroke` of elements `Point` with the
            attributes `x`, `y` (downwards) and `time` (seconds).

    Returns:
        One float64 array `[points, 3]` a stroke: x, y, seconds.

    Raises:
        Damaged: if it is not well-formed or a point lacks a number.
        InputError: see `safe_xml.root_of`.
    """
    return strokes_of(root_of(source, content))


def strokes_of(root: Element) -> list[np.ndarray]:
    """Reads what the pen did from a document; see `read_strokes`."""
    try:
        return [
            np.array(
                [[float(point.attrib[name]) for name in ("x", "y", "time")] for point in points],
                np.float64,
            ).reshape(-1, 3)
            for points in (stroke.findall("Point") for stroke in root.iter("Stroke"))
        ]
    except (ValueError, KeyError) as error:
        raise Damaged(str(error)) from error
