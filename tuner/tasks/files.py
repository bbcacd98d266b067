"""Reads data files, or says in one line why they cannot be used."""

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
    """Reads a whole file.

    Args:
        path: the file.
        data: expected content, for the error message.
        largest: largest allowed size, in bytes.

    Raises:
        DataError: if it is missing, unreadable, not a regular file, too large, or empty.
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
    r"""Decodes text, without the byte order marks that editors add.

    Args:
        content: content of a file.
        encoding: encoding without a UTF-16 byte order mark; what cannot be decoded is replaced.

    Example:
        >>> text_of(b"\xef\xbb\xbfone\n"), text_of("one\n".encode("utf-16"))
        ('one\n', 'one\n')
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace").replace("\ufeff", "")
    return content.replace(codecs.BOM_UTF8, b"").decode(encoding, "replace")


def parse(source: str, content: bytes, kind: str, reader: Callable[[str, bytes], _Data]) -> _Data:
    """Converts a file's content to data; turns every exception of the reader into `InputError`.

    Args:
        source: the file, for the error message.
        content: content of the file.
        kind: expected kind of file with its article, for example `an .npz`.
        reader: makes data from source and content.
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
