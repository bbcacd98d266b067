"""Errors for invalid input, each with one line for the user."""

from __future__ import annotations

import codecs
import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path


class InputError(Exception):
    """User input (a flag, a file, a folder) that cannot be used.

    The message is one line for the user: it names the flag or file, what was expected and what was
    received.
    """


class DataError(InputError):
    """Data that cannot be used.

    Attributes:
        path: the file or folder.
        reason: what was expected and what was received.

    Example:
        >>> str(DataError("chorales.json", "expected a dictionary. Received: list"))
        '--data: chorales.json: expected a dictionary. Received: list'
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(one_line(f"--data: {path}: {reason}"))
        self.path, self.reason = path, reason


class RecordingError(InputError):
    """One recording that cannot be used; a corpus skips it and counts it.

    Attributes:
        kind: the problem in a few words, the same for every recording with this problem.

    Example:
        >>> str(RecordingError("truncated audio", "expected 5 samples. Received: 4"))
        'truncated audio: expected 5 samples. Received: 4'
    """

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(one_line(f"{kind}: {detail}" if detail else kind))
        self.kind = kind


class DownloadError(InputError):
    """A published file is not in the cache and cannot be fetched; the message says why."""


def one_line(text: str) -> str:
    r"""Makes text safe to print in one line: control characters become spaces.

    Example:
        >>> one_line("two\nlines")
        'two lines'
    """
    return "".join(character if character.isprintable() else " " for character in text)


def counted(kinds: Mapping[str, int]) -> str:
    """Formats counts of findings in one line.

    Example:
        >>> counted({"tracks missing": 2, "notes outside 21..108": 1_200})
        '1,200 notes outside 21..108, 2 tracks missing'
    """
    return one_line(", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items())))


def reason(error: BaseException) -> str:
    """Summarizes a library's error in a few words.

    Args:
        error: the exception; its message may be empty, long, or contain line breaks.

    Example:
        >>> reason(KeyError())
        'KeyError'
    """
    if isinstance(error, OSError) and error.strerror:
        return one_line(error.strerror)
    if isinstance(error, EOFError):
        return "it ends too early"
    text = " ".join(one_line(str(error)).split())
    if len(text) > 120:
        text = f"{text[:117]}..."
    return text or type(error).__name__


def install(extra: str) -> str:
    """Returns the command to install an extra, from the checkout if the project is not installed.

    Args:
        extra: its name in `pyproject.toml`.

    Example:
        >>> install("music").replace("-e '.[", "'lstm-odyssey[")
        "pip install 'lstm-odyssey[music]'"
    """
    try:
        importlib.metadata.distribution("lstm-odyssey")
    except importlib.metadata.PackageNotFoundError:
        return f"pip install -e '.[{extra}]'"
    return f"pip install 'lstm-odyssey[{extra}]'"


def mistaken(beginning: bytes) -> str:
    r"""Names what users often have instead of a binary file; empty if it is nothing of the kind.

    Args:
        beginning: the beginning of the file's content, or all of it.

    Example:
        >>> mistaken(b"version https://git-lfs.github.com/spec/v1\noid sha256:00")
        'a pointer of Git LFS; run `git lfs pull`'
        >>> mistaken(b"<html>404 Not Found</html>"), mistaken(b"Hello"), mistaken(b"")
        ('a web page', 'a text', 'an empty file')
        >>> mistaken(b"RIFF\x00")
        ''
    """
    beginning = beginning[:1024]
    if not beginning:
        return "an empty file"
    if not any(beginning):
        return "zeros"
    if beginning.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS; run `git lfs pull`"
    if re.match(rb"\s*<(?:!doctype )?html", beginning.removeprefix(codecs.BOM_UTF8), re.IGNORECASE):
        return "a web page"
    if all(byte >= 32 or byte in b"\t\n\f\r" for byte in beginning):
        return "a text"
    return ""
