"""Atomic writes of files and folders: temporary name, fsync, rename."""

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
"""Prefixes of names that a killed process may leave behind."""

_ATTEMPTS, _PAUSE = 20, 0.05
"""Attempts, and seconds in between, to remove a folder into which a child still writes."""

_NAME = re.compile(r"[^/\0-\x1f\x7f-\x9f\ud800-\udfff]+")
_LONGEST = 200
"""Maximum bytes of a name; file systems allow 255, but a prefix or suffix may be added."""

_FULL = 2**20
"""A disk with fewer free bytes than this counts as full when a write fails."""


def is_name(name: str) -> bool:
    r"""Returns whether this is a name of a file or folder, and not a path to another place.

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
    """Turns what libraries raise and print when a disk is full into a plain `OSError`.

    h5py raises an `OSError` of many lines, and complains again for every object that it then
    cannot close; TensorFlow raises its own error.
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
    """Checks for free space before writing: HDF5 crashes the process when a disk fills up."""
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def write_file(path: Path, write: Callable[[Path], None], *, size: int = 0) -> None:
    """Writes a file so that `path` never holds a partial one.

    Args:
        path: path of the file; its folder must exist.
        write: writes the file to the temporary path it is given, whose name ends with that of
            `path`.
        size: bytes that must be free before anything is written.

    Raises:
        OSError: if the disk is full or the folder is read-only; `path` is then unchanged.
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
        InputError: if the file holds anything else; the one-line message names it.
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
    """Writes a folder so that `path` never holds a partial one; otherwise like `write_file`.

    Args:
        path: path of the folder; an existing one is replaced.
        write: fills the temporary folder whose path it is given.
        size: bytes that must be free before anything is written.
    """
    with _written_folder(path, write, size) as temporary:
        if path.exists():
            # A folder cannot replace a nonempty one in one step: the old one is moved away first.
            old = Path(tempfile.mkdtemp(prefix=_REPLACED, dir=path.parent))
            path.rename(old / path.name)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)


def write_new_folder(path: Path, write: Callable[[Path], None], *, size: int = 0) -> None:
    """Writes a folder like `write_folder`, but does not replace an existing one.

    If two processes write the same folder at once, one succeeds and the other gets an error.

    Raises:
        FileExistsError: if `path` is a nonempty folder or a file by then.
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
    """Writes a temporary folder next to `path`; yields it durable and readable, and cleans up."""
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
    """Locks a folder against other processes that call this, which wait; leaves no file behind.

    On a file system without such locks, they do not wait.

    Args:
        folder: an existing folder.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # This also releases the lock.
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Removes what killed processes left in a folder; no process may be writing to it.

    An exception are children that outlive a killed process: they end once their folder is gone.

    An old folder that was moved away for a new one is restored if the new one never took its name.
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
            # A file was added while the others were being removed.
            if error.errno != errno.ENOTEMPTY:
                raise
            time.sleep(_PAUSE)
    shutil.rmtree(folder)
