"""Reads IAM-OnDB, unpacked or in its archives."""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from common.command_line import log
from common.errors import DataError, RecordingError, reason
from common.media.ink import read_strokes
from tuner.tasks.files import text_of
from tuner.tasks.handwriting.lines import Collector, Lines

NAME = "IAM-OnDB"

COUNTS = (5355, 2956, 3859)
"""Lines in the training, validation and test sets of the paper."""

LARGEST_MEMBER = 2**24
"""Largest stroke file, transcription or list, in bytes; real ones are below a megabyte."""

LARGEST_UNPACKED = 2**31
"""Largest unpacked archive, in bytes; all stroke files together are about half a gigabyte."""

MOST_MEMBERS = 100_000
"""Largest number of files and folders in an archive; real ones have about 15,000."""

SETS = ("trainset.txt", "testset_v.txt", "testset_t.txt", "testset_f.txt")
"""The lists of boards of the task IAM-OnDB-t1."""

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")

_SPLITS = dict(zip(SETS, ("train", "validation", "validation", "test"), strict=True))

# Its text has eleven percent signs without ink; the paper leaves the board out.
_BAD_BOARD = "a08-551z"

_Strokes = list[np.ndarray]

_STROKE_FILE = re.compile(r"(?P<board>.+)-(?P<number>\d+)\.xml")


def read_iam(folder: Path) -> tuple[Lines, str]:
    """Reads the lines of the boards that are named in the four lists.

    The sets v and t are for validation, f is for testing. A line whose files are missing or
    damaged, or that cannot be learned from, is counted in `Lines.skipped`. So is a board with empty
    lines between its texts, if the numbers of its stroke files do not tell whether they count.
    Board z01-000z, which has ink but no text, is in none of the lists.

    Source: Liwicki and Bunke, *IAM-OnDB: an on-line English sentence database acquired from
        handwritten text on a whiteboard* (ICDAR 2005); Greff et al. (2015), section IV.A.

    Args:
        folder: contains `lineStrokes` and `ascii`, as such, in `lineStrokes-all` and `ascii-all`,
            or as the archives `lineStrokes-all.tar.gz` and `ascii-all.tar.gz`; and the four lists,
            in the folder itself, in a subfolder, or in `task1.tar.gz`.

    Returns:
        The lines and the name of the data, `IAM-OnDB` only if there are as many as in the paper.

    Raises:
        InputError: if a part is missing, a list is malformed, an archive is damaged, or a stroke
            file is an attack on its parser.
    """
    strokes_part, texts_part, sets_part = find_parts(folder)
    log(f"Reading IAM-OnDB from {folder}; about a minute ...")
    collector = Collector()
    split_of = _read_sets(sets_part)
    if split_of.pop(_BAD_BOARD, None):
        collector.skipped[f"board ({_BAD_BOARD}, signs without ink)"] += 1
    texts = _read_texts(texts_part, split_of)
    strokes = _read_strokes(strokes_part, split_of)
    for board, split in split_of.items():
        _add_board(collector, split, texts.get(board, []), strokes.get(board, {}))
    lines = collector.lines()
    return lines, _name(lines)


def _read_sets(part: Path) -> dict[str, str]:
    """Reads the split of each board from the four lists, in their order."""
    lists = dict(files_in(part, SETS.__contains__))
    split_of: dict[str, str] = {}
    for name, split in _SPLITS.items():
        if name not in lists:
            raise DataError(part, f"expected the lists {', '.join(SETS)}. Received: no {name}")
        for board in text_of(lists[name]).split():
            if board in split_of:
                raise DataError(
                    part, f"expected each board in one list. Received: {board} twice"
                )
            split_of[board] = split
    return split_of


def _read_texts(part: Path, boards: Collection[str]) -> dict[str, list[str]]:
    """Reads the lines of each board: those after `CSR:`, from the first with text to the last."""

    def wanted(name: str) -> bool:
        return name.endswith(".txt") and name.removesuffix(".txt") in boards

    texts = {}
    for name, content in files_in(part, wanted):
        written = text_of(content).partition("CSR:")[2].strip()
        # Not `splitlines`: the other line breaks that it accepts would shift all later lines.
        lines = re.split(r"\r\n|\r|\n", written)
        texts[name.removesuffix(".txt")] = [line.strip() for line in lines] if written else []
    return texts


def _read_strokes(part: Path, boards: Collection[str]) -> dict[str, dict[int, _Strokes | None]]:
    """Reads the strokes of each board's lines, by number from 1; None for a damaged file."""

    def wanted(name: str) -> bool:
        match = _STROKE_FILE.fullmatch(name)
        return match is not None and match["board"] in boards

    strokes: dict[str, dict[int, _Strokes | None]] = {}
    for name, content in files_in(part, wanted):
        match = _STROKE_FILE.fullmatch(name)
        assert match is not None
        try:
            line: _Strokes | None = read_strokes(f"{part}: {name}", content)
        except RecordingError:
            line = None
        strokes.setdefault(match["board"], {})[int(match["number"])] = line
    return strokes


def _add_board(
    collector: Collector, split: str, texts: list[str], strokes: dict[int, _Strokes | None]
) -> None:
    if not texts and not strokes:
        collector.skipped["boards without files"] += 1
    if "" in texts:
        # Only the number of the last stroke file tells whether empty lines count.
        most, written = max(strokes, default=0), [text for text in texts if text]
        if most == len(written):
            texts = written
        elif most != len(texts):
            collector.skipped["boards with empty lines between their texts"] += 1
            return
    for number in sorted({*range(1, len(texts) + 1), *strokes}):
        line = strokes.get(number, [])
        if line is None:
            collector.skipped["lines with a damaged stroke file"] += 1
        else:
            collector.add(split, line, texts[number - 1] if 0 < number <= len(texts) else "")


def _name(lines: Lines) -> str:
    if lines.counts == COUNTS:
        return NAME
    received = " + ".join(f"{count:,}" for count in lines.counts)
    expected = " + ".join(f"{count:,}" for count in COUNTS)
    less = any(count < known for count, known in zip(lines.counts, COUNTS, strict=True))
    how = "incomplete" if less else "other lines"
    return f"{NAME}, {how} ({received}; in the paper {expected})"


def find_parts(folder: Path) -> tuple[Path, Path, Path]:
    """Finds strokes, transcriptions and lists, each a folder or an archive; see `read_iam`.

    Raises:
        DataError: if one is missing.
    """
    strokes = _find(folder, "lineStrokes", "lineStrokes-all")
    texts = _find(folder, "ascii", "ascii-all")
    sets = _find_sets(folder)
    if strokes and texts and sets:
        return strokes, texts, sets
    names = {
        "lineStrokes (or lineStrokes-all.tar.gz)": strokes,
        "ascii (or ascii-all.tar.gz)": texts,
        f"{', '.join(SETS)} (or task1.tar.gz)": sets,
    }
    missing = "; ".join(name for name, part in names.items() if part is None)
    raise DataError(folder, f"expected IAM-OnDB. Received: a folder without {missing}")


def _find(folder: Path, name: str, whole: str) -> Path | None:
    for path in (folder / name, folder / whole / name):
        if path.is_dir():
            return path
    return _find_archive(folder, whole) or _find_archive(folder, name)


def _find_archive(folder: Path, name: str) -> Path | None:
    paths = (folder / f"{name}{suffix}" for suffix in ARCHIVE_SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _find_sets(folder: Path) -> Path | None:
    for path in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if all((path / name).is_file() for name in SETS):
            return path
    return _find_archive(folder, "task1")


def files_in(part: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yields names, without folders, and contents of wanted files; writes nothing to disk.

    Args:
        part: a folder or an archive.
        wanted: returns whether to read the file of a given name.

    Raises:
        DataError: if a file or the archive is damaged, unreadable, or larger than any real one.
    """
    read = _files_in_folder if part.is_dir() else _files_in_archive
    return read(part, wanted)


def _files_in_folder(folder: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if not wanted(path.name) or not path.is_file():
            continue
        try:
            if path.stat().st_size > LARGEST_MEMBER:
                raise DataError(path, f"expected at most {LARGEST_MEMBER:,} bytes. Received: more")
            content = path.read_bytes()
        except OSError as error:
            raise DataError(path, f"expected a readable file. Received: {reason(error)}") from error
        yield path.name, content


class _Bounded:
    """A stream that fails beyond the size of any real one: gzip can pack a thousand to one."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = LARGEST_UNPACKED

    def read(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise tarfile.ReadError(f"it unpacks to more than {LARGEST_UNPACKED:,} bytes")
        return content


def _files_in_archive(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    try:
        with open(path, "rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream: Any = gzip.GzipFile(fileobj=file) if compressed else file
            bounded: Any = _Bounded(stream)
            with tarfile.open(fileobj=bounded, mode="r|") as archive:
                yield from _members(archive, wanted)
            # The checksum of gzip comes after the last block of tar.
            while bounded.read(2**16):
                pass
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as error:
        raise DataError(path, f"expected a tar archive. Received: {reason(error)}") from error


def _members(
    archive: tarfile.TarFile, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, bytes]]:
    for number, member in enumerate(archive):
        if number >= MOST_MEMBERS:
            raise tarfile.ReadError(f"it has more than {MOST_MEMBERS:,} files")
        name = PurePosixPath(member.name).name
        content = archive.extractfile(member) if member.isreg() and wanted(name) else None
        if content is None:
            continue
        if member.size > LARGEST_MEMBER:
            raise tarfile.ReadError(f"{name} has more than {LARGEST_MEMBER:,} bytes")
        yield name, content.read()
