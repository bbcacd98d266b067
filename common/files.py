"""Files and folders that are either whole or absent: temporary name, fsync, rename."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from common.errors import InputError, reason

_UNFINISHED, _REPLACED = ".tmp-", ".old-"
"""How names begin that a killed process may leave behind."""

_ATTEMPTS, _PAUSE = 20, 0.05
"""How often, and after how many seconds, to remove again what a child has put into a folder."""

_NAME = re.compile(r"[^/\0-\x1f\x7f-\x9f\ud800-\udfff]+")
_LONGEST = 200
"""Bytes of a name; file systems take 255, and something may be put before or after it."""

_FULL = 2**20
"""A disk with fewer free bytes than these is full when something could not be written."""


def is_name(name: str) -> bool:
    r"""Whether this is a name of a file or folder, and not a path to some other place.

    Example:
        >>> [is_name(name) for name in ("sines", "Chöre, 1.", "", "..", "a/b", "two\nlines")]
        [True, True, False, False, False, False]
    """
    fits = name not in (".", "..") and _NAME.fullmatch(name) is not None
    return fits and len(name.encode()) <= _LONGEST


def sync_folder(folder: Path) -> None:
    """Makes the names inside `folder` durable (fsync of the folder itself)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def _one_error(path: Path) -> Iterator[None]:
    """Makes a plain `OSError` of what libraries raise and print when a disk is full.

    h5py raises an `OSError` of many lines and complains once more for every object that it then
    cannot close; TensorFlow raises an error of its own.
    """
    failure = None
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        try:
            yield
        except Exception as error:
            number = error.errno if isinstance(error, OSError) else None
            if number is None and shutil.disk_usage(path.parent).free < _FULL:
                number = errno.ENOSPC
            if number is None:
                raise
            failure = OSError(number, os.strerror(number), str(path))
        # Only now are the library's objects gone, and with them their complaints.
        if failure is not None:
            raise failure
    finally:
        sys.unraisablehook = hook


def _require(path: Path, size: int) -> None:
    """Refuses to begin what a disk cannot hold: HDF5 crashes the process when it fills up."""
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def write_file(path: Path, write: Callable[[Path], None], *, size: int = 0) -> None:
    """Writes one file so that `path` never holds half of it.

    Args:
        path: where the file shall be; its folder must exist.
        write: fills the file whose (temporary) path it is given, whose name ends like that of
            `path`.
        size: bytes that must be free before anything is written.

    Raises:
        OSError: if the disk is full or the folder is read-only; `path` is then as it was.
    """
    _require(path, size)
    descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED, suffix=f"-{path.name}", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        with _one_error(path):
            write(temporary)
        _sync_file(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path` as `write_file` does."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_file(path, write)


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path` in UTF-8 as `write_file` does."""
    write_bytes(path, text.encode())


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        InputError: if the file holds something else; one line names it.
        OSError: if it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON: {reason(error)}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object. Received: {type(content).__name__}")
    return content


def write_folder(path: Path, write: Callable[[Path], None], *, size: int = 0) -> None:
    """Writes a whole folder so that `path` never holds half of it; otherwise as `write_file`.

    Args:
        path: where the folder shall be; an existing one there is replaced.
        write: fills the (temporary) folder whose path it is given.
        size: bytes that must be free before anything is written.
    """
    with _written_folder(path, write, size) as temporary:
        if path.exists():
            # A folder cannot replace a full one in one step: the old one steps aside first.
            old = Path(tempfile.mkdtemp(prefix=_REPLACED, dir=path.parent))
            path.rename(old / path.name)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)


def write_new_folder(path: Path, write: Callable[[Path], None], *, size: int = 0) -> None:
    """Writes a whole folder where there is none, as `write_folder` does.

    Of two processes that write the same one at once, one gets it whole and the other an error.

    Raises:
        FileExistsError: if there is a folder with something in it by then, or a file.
        OSError: as for `write_folder`.
    """
    with _written_folder(path, write, size) as temporary:
        try:
            # The file system refuses to rename a folder to one that is not empty.
            temporary.rename(path)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
            raise


@contextmanager
def _written_folder(path: Path, write: Callable[[Path], None], size: int) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, makes it durable and readable, and cleans up."""
    _require(path, size)
    temporary = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=path.parent))
    try:
        with _one_error(path):
            write(temporary)
        for entry in [temporary, *temporary.rglob("*")]:
            if entry.is_dir():
                entry.chmod(0o755)
                sync_folder(entry)
            else:
                _sync_file(entry)
                entry.chmod(0o644)
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync_folder(path.parent)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes that ask for the same out, while they wait; leaves no file behind.

    On a file system without such locks there is no waiting.

    Args:
        folder: an existing folder.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Which ends the lock too.
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Removes what killed processes left in a folder; no process may be writing to it.

    But for children that outlive a killed process: they come to an end once their folder is gone.

    What had stepped aside for something new that never got its name comes back.
    """
    for old in folder.glob(f"{_REPLACED}*/*"):
        if not (folder / old.name).exists():
            old.rename(folder / old.name)
            sync_folder(folder)
    for entry in folder.iterdir():
        if entry.name.startswith((_UNFINISHED, _REPLACED)):
            _remove_folder(entry) if entry.is_dir() else entry.unlink()


def _remove_folder(folder: Path) -> None:
    for _ in range(_ATTEMPTS):
        try:
            return shutil.rmtree(folder)
        except OSError as error:
            # A file came while the others went.
            if error.errno != errno.ENOTEMPTY:
                raise
            time.sleep(_PAUSE)
    shutil.rmtree(folder)
