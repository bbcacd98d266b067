"""Finds the parts of IAM-OnDB, unpacked or in their archives, and reads their files one by one."""

from __future__ import annotations

import dataclasses
import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from common.errors import DataError, reason

LARGEST_MEMBER = 2**24
"""Bytes of one stroke file, transcription or list; real ones are below a megabyte."""

LARGEST_UNPACKED = 2**31
"""Bytes of one archive when unpacked; all stroke files together are about half a gigabyte."""

MOST_MEMBERS = 100_000
"""Files and folders of one archive; real ones have some 15,000."""

SETS = ("trainset.txt", "testset_v.txt", "testset_t.txt", "testset_f.txt")
"""The lists of boards of the task IAM-OnDB-t1."""

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the data set: a folder or an archive.

    Attributes:
        path: the folder or the archive.
    """

    path: Path

    def files(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """Yields the wanted files; nothing is written anywhere.

        Args:
            wanted: says from a file's name, without its folders, whether to read it.

        Yields:
            The file's name, without its folders, and its content.

        Raises:
            DataError: if a file or the archive is damaged, unreadable, or larger than any real
                one.
        """
        if self.path.is_dir():
            return _files_in_folder(self.path, wanted)
        return _files_in_archive(self.path, wanted)


@dataclasses.dataclass(frozen=True)
class Parts:
    """All that the reader needs.

    Attributes:
        strokes: what the pen did, `lineStrokes`.
        transcriptions: what it wrote, `ascii`.
        sets: the four lists of boards.
    """

    strokes: Part
    transcriptions: Part
    sets: Part


def find_parts(folder: Path) -> Parts:
    """Finds the parts of IAM-OnDB in a folder.

    Args:
        folder: holds `lineStrokes` and `ascii`, each as such, in `lineStrokes-all` and `ascii-all`,
            or as the archives `lineStrokes-all.tar.gz` and `ascii-all.tar.gz`; and the four lists,
            in the folder itself, in one of its folders, or in `task1.tar.gz`.

    Raises:
        DataError: if a part is missing.
    """
    strokes = _find(folder, "lineStrokes", "lineStrokes-all")
    transcriptions = _find(folder, "ascii", "ascii-all")
    sets = _find_sets(folder)
    if strokes and transcriptions and sets:
        return Parts(strokes, transcriptions, sets)
    names = {
        "lineStrokes (or lineStrokes-all.tar.gz)": strokes,
        "ascii (or ascii-all.tar.gz)": transcriptions,
        f"{', '.join(SETS)} (or task1.tar.gz)": sets,
    }
    missing = "; ".join(name for name, part in names.items() if part is None)
    raise DataError(folder, f"expected IAM-OnDB. Received: a folder without {missing}")


def _find(folder: Path, name: str, whole: str) -> Part | None:
    for path in (folder / name, folder / whole / name):
        if path.is_dir():
            return Part(path)
    return _find_archive(folder, whole) or _find_archive(folder, name)


def _find_archive(folder: Path, name: str) -> Part | None:
    paths = (folder / f"{name}{suffix}" for suffix in ARCHIVE_SUFFIXES)
    return next((Part(path) for path in paths if path.is_file()), None)


def _find_sets(folder: Path) -> Part | None:
    for path in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if all((path / name).is_file() for name in SETS):
            return Part(path)
    return _find_archive(folder, "task1")


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
    """A stream that ends in an error where no real one goes on: gzip packs a thousand to one."""

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
            # Behind the last block of tar is the checksum of gzip.
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
