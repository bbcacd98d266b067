"""Reads a file of handwriting whole, or says in one line why not."""

from __future__ import annotations

import stat
from pathlib import Path

from serving.command_line import InputError
from tuner.tasks.handwriting.lines import Lines
from tuner.tasks.handwriting.npz_file import read_npz
from tuner.tasks.problems import reason, unusable

LARGEST_FILE = 2**29


def read_npz_file(path: Path) -> Lines:
    """Reads lines from a file `.npz`.

    Raises:
        InputError: if it cannot be used: not there, not readable, empty, damaged, or of other
            content.
    """
    content = read_content(path)
    try:
        return read_npz(str(path), content)
    except InputError:
        raise
    except Exception as error:  # Damaged content makes the libraries raise almost anything.
        raise unusable(
            path, f"expected an .npz file. Received: damaged or other content ({reason(error)})"
        ) from error


def read_content(path: Path) -> bytes:
    """Reads a file of at most 512 MiB.

    Raises:
        InputError: if it is not there, not readable, not a file, too large or empty.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise unusable(path, "expected a file. Received: something else, such as a device")
        if status.st_size > LARGEST_FILE:
            raise unusable(
                path, f"expected at most {LARGEST_FILE:,} bytes. Received: {status.st_size:,}"
            )
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise unusable(path, f"expected a readable file. Received: {reason(error)}") from error
    if not content:
        raise unusable(path, "expected handwriting. Received: an empty file")
    return content
