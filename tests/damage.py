"""Damages files as disks, transfers and editors do, always the same way for the same seed."""

from __future__ import annotations

import collections
import re
import resource
import time
import warnings
from collections.abc import Callable

import numpy as np

from common.errors import InputError

MOST_SECONDS = 10.0
"""Processor time that one file of a few kilobytes may cost; what is right costs milliseconds."""

MOST_MEMORY = 2**30
"""Bytes by which one such file may raise the peak of the process."""

_EXTREMES = (0, 1, 2**7 - 1, 2**7, 2**15 - 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, -1)
_NUMBERS = (b"0", b"-1", b"1e308", b"1e999", b"nan", b"-inf", b"2147483648", b"9" * 30, b"", b"x")
_OTHERS = (
    b"",
    b"\0",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "Übrigens: kein Inhalt\n".encode("latin-1"),
    bytes(4096),
)
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0", b"\r\n", b"\n\n", b" ", b"\x1a")


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Damages a file in one to three ways.

    Bits flip; bytes are overwritten, lost, doubled or put in; the end is missing; fields of 1, 2, 4
    or 8 bytes and numbers in text get extreme values; text gets another encoding, marks and line
    ends; now and then something else lies in the file's place. Half of it hits the first 64 bytes,
    where headers are.

    Args:
        content: a file that is right.
        rng: draws the damage.
    """
    for _ in range(rng.integers(1, 4)):
        content = _WAYS[rng.integers(len(_WAYS))](content, rng)
    return content


def read_damaged(
    read: Callable[[bytes], object], content: bytes, *, files: int, seed: int = 0
) -> collections.Counter[str]:
    """Reads damaged files, each of which a reader may only take, or refuse in one line.

    Args:
        read: the reader; what it returns does not matter.
        content: a file that is right; read first.
        files: how many damaged ones to read after it.
        seed: of the damage.

    Returns:
        How many were "read" and how many "refused" by an InputError.

    Raises:
        AssertionError: if one ends in another error or in a warning about numbers, is refused in
            more than one line, or costs more than `MOST_SECONDS` or `MOST_MEMORY`. The message has
            what rebuilds the file.
    """
    read(content)
    outcomes: collections.Counter[str] = collections.Counter()
    for number in range(files):
        case = damaged(content, np.random.default_rng([seed, number]))
        name = f"damaged(content, np.random.default_rng([{seed}, {number}])): {case[:80]!r}"
        start, peak = time.process_time(), _peak()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                read(case)
            outcomes["read"] += 1
        except InputError as error:
            assert str(error).isprintable(), f"{name}: {str(error)!r}"
            outcomes["refused"] += 1
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
        seconds, memory = time.process_time() - start, _peak() - peak
        assert seconds < MOST_SECONDS, f"{name}: {seconds:.1f} s"
        assert memory < MOST_MEMORY, f"{name}: {memory:,} bytes"
    return outcomes


def _peak() -> int:
    """The most memory that the process has used, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _place(content: bytes, rng: np.random.Generator) -> int:
    end = len(content) if rng.integers(2) else min(len(content), 64)
    return int(rng.integers(end + 1))


def _piece(content: bytes, rng: np.random.Generator) -> slice:
    start = _place(content, rng)
    return slice(start, start + int(2 ** rng.uniform(0, np.log2(len(content) + 2))))


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.integers(1, 9) if content else 0):
        changed[min(_place(content, rng), len(content) - 1)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwrite(content: bytes, rng: np.random.Generator) -> bytes:
    piece = _piece(content, rng)
    return content[: piece.start] + rng.bytes(len(content[piece])) + content[piece.stop :]


def _truncate(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: _place(content, rng)]


def _lose(content: bytes, rng: np.random.Generator) -> bytes:
    piece = _piece(content, rng)
    return content[: piece.start] + content[piece.stop :]


def _double(content: bytes, rng: np.random.Generator) -> bytes:
    piece, place = _piece(content, rng), _place(content, rng)
    return content[:place] + content[piece] * int(rng.integers(1, 4)) + content[place:]


def _insert(content: bytes, rng: np.random.Generator) -> bytes:
    place = _place(content, rng)
    return content[:place] + rng.bytes(int(rng.integers(1, 65))) + content[place:]


def _field(content: bytes, rng: np.random.Generator) -> bytes:
    size = int(2 ** rng.integers(4))
    place = _place(content, rng) // size * size
    value = _EXTREMES[rng.integers(len(_EXTREMES))] % 2 ** (8 * size)
    order = ("little", "big")[rng.integers(2)]
    return content[:place] + value.to_bytes(size, order) + content[place + size :]


def _number(content: bytes, rng: np.random.Generator) -> bytes:
    found = list(re.finditer(rb"[0-9][0-9.]*", content))
    if not found:
        return _field(content, rng)
    match = found[rng.integers(len(found))]
    value = _NUMBERS[rng.integers(len(_NUMBERS))]
    return content[: match.start()] + value + content[match.end() :]


def _encoding(content: bytes, rng: np.random.Generator) -> bytes:
    encodings = ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32")
    text = content.decode("latin-1")
    return text.encode(encodings[rng.integers(len(encodings))])


def _mark(content: bytes, rng: np.random.Generator) -> bytes:
    place = 0 if rng.integers(2) else _place(content, rng)
    return content[:place] + _MARKS[rng.integers(len(_MARKS))] + content[place:]


def _lines(content: bytes, rng: np.random.Generator) -> bytes:
    end = (b"\r\n", b"\r", b"\n\n", b" ", b"")[rng.integers(5)]
    return content.replace(b"\n", end)


def _replace(content: bytes, rng: np.random.Generator) -> bytes:
    return _OTHERS[rng.integers(len(_OTHERS))] if rng.integers(3) == 0 else _truncate(content, rng)


_WAYS = (
    _flip, _overwrite, _truncate, _lose, _double, _insert, _field, _field, _number, _encoding,
    _mark, _lines, _replace,
)  # fmt: skip
