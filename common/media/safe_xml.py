"""XML without its dangers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import InputError, one_line

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


class Damaged(Exception):
    """A file of pen strokes is not what it should be; the text says why."""


def root_of(source: str, content: bytes) -> Element:
    """Reads a document.

    Args:
        source: the file, for the error text.
        content: the document, in any encoding that it declares.

    Raises:
        Damaged: if it is not well-formed.
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
    except DefusedXmlException as error:
        raise InputError(
            one_line(
                f"{source}: expected a stroke file. Received: XML with a document type or entities"
            )
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise Damaged(str(error)) from error
    return root
