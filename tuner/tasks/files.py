"""What is in a file, or in one line why it cannot be used."""

from __future__ import annotations

import codecs
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from common.errors import DataError, InputError, reason

_Data = TypeVar("_Data")


def read_content(path: Path, data: str, largest: int) -> bytes:
    """Reads a file whole.

    Args:
        path: the file.
        data: what is expected in it, for the error text.
        largest: most bytes.

    Raises:
        DataError: if it is not there, not readable, not a file, too large or empty.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError(path, "expected a file. Received: something else, such as a device")
        if status.st_size > largest:
            raise DataError(
                path, f"expected at most {largest:,} bytes. Received: {status.st_size:,}"
            )
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(path, f"expected a readable file. Received: {reason(error)}") from error
    if not content:
        raise DataError(path, f"expected {data}. Received: an empty file")
    return content


def text_of(content: bytes, encoding: str = "latin-1") -> str:
    r"""Decodes text. Byte order marks, which editors put in, are no part of it.

    Args:
        content: of a file.
        encoding: what it has if nothing in it says otherwise; what cannot be decoded is replaced.

    Example:
        >>> text_of(b"\xef\xbb\xbfone\n"), text_of("one\n".encode("utf-16"))
        ('one\n', 'one\n')
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace").replace("\ufeff", "")
    return content.replace(codecs.BOM_UTF8, b"").decode(encoding, "replace")


def parse(source: str, content: bytes, kind: str, reader: Callable[[str, bytes], _Data]) -> _Data:
    """Makes data of a file's content by a reader, whose every exception becomes an `InputError`.

    Args:
        source: the file, for the error text.
        content: what is in it.
        kind: what it is expected to be, with its article, for example `an .npz`.
        reader: makes data of source and content.
    """
    try:
        with warnings.catch_warnings():
            # Libraries warn about oddities of damaged files; what matters is said below, once.
            warnings.simplefilter("ignore")
            return reader(source, content)
    except InputError:
        raise
    except Exception as error:  # Damaged content makes the libraries raise almost anything.
        raise DataError(
            source, f"expected {kind} file. Received: damaged or other content ({reason(error)})"
        ) from error
