"""How input is refused: one line for the person who gave it."""

from __future__ import annotations

import codecs
import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path


class InputError(Exception):
    """Something that a person gave (a flag, a file, a folder) cannot be used.

    The message is one line for that person: it names the flag or file, what was expected and what
    came.
    """


class DataError(InputError):
    """Data that cannot be used.

    Attributes:
        path: the file or folder.
        reason: what was expected and what came.

    Example:
        >>> str(DataError("chorales.json", "expected a dictionary. Received: list"))
        '--data: chorales.json: expected a dictionary. Received: list'
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(one_line(f"--data: {path}: {reason}"))
        self.path, self.reason = path, reason


class RecordingError(InputError):
    """One recording that cannot be used; a corpus goes on without it and counts it.

    Attributes:
        kind: the mistake in a few words that are the same for every recording with this mistake.

    Example:
        >>> str(RecordingError("truncated audio", "expected 5 samples. Received: 4"))
        'truncated audio: expected 5 samples. Received: 4'
    """

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(one_line(f"{kind}: {detail}" if detail else kind))
        self.kind = kind


class DownloadError(InputError):
    """A published file is not in the cache and cannot be fetched; the text says why."""


def one_line(text: str) -> str:
    r"""Makes text safe to print in one line: control characters become spaces.

    Example:
        >>> one_line("two\nlines")
        'two lines'
    """
    return "".join(character if character.isprintable() else " " for character in text)


def counted(kinds: Mapping[str, int]) -> str:
    """Says how often what was found, in one line.

    Example:
        >>> counted({"tracks missing": 2, "notes outside 21..108": 1_200})
        '1,200 notes outside 21..108, 2 tracks missing'
    """
    return one_line(", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items())))


def reason(error: BaseException) -> str:
    """Says in a few words what a library complained about.

    Args:
        error: what it raised; its text may be empty, long, or hold line breaks.

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
    """Spells the command that installs an extra of the project: of the checkout, if this is one.

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
    r"""Names what people often have in the place of a binary file; empty if it is none of this.

    Args:
        beginning: of the file's content, or all of it.

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
