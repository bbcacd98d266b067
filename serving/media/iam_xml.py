"""Reads a stroke file of IAM-OnDB."""

from __future__ import annotations

import numpy as np

from serving.command_line import InputError
from serving.media.problems import one_line


class Damaged(Exception):
    """A stroke file is not what it should be; without its line the others are still good."""


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
        InputError: if it declares a document type or entities, which no real file does and which
            are how XML attacks its readers; or if the package defusedxml is not installed.
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
        root = fromstring(content, forbid_dtd=True)
        return [
            np.array(
                [[float(point.attrib[name]) for name in ("x", "y", "time")] for point in points],
                np.float64,
            ).reshape(-1, 3)
            for points in (stroke.findall("Point") for stroke in root.iter("Stroke"))
        ]
    except DefusedXmlException as error:
        raise InputError(
            one_line(
                f"{source}: expected a stroke file. Received: XML with a document type or entities"
            )
        ) from error
    except (ParseError, ValueError, KeyError, LookupError) as error:
        raise Damaged(str(error)) from error
