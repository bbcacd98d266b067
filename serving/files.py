"""Files and folders that are either whole or absent: temporary name, fsync, rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


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


def write_file(path: Path, write: Callable[[Path], None]) -> None:
    """Writes one file so that `path` never holds half of it.

    Args:
        path: where the file shall be; its folder must exist.
        write: fills the file whose (temporary) path it is given, whose name ends like that of
            `path`.

    Raises:
        OSError: if the disk is full or the folder is read-only; `path` is then as it was.
    """
    descriptor, name = tempfile.mkstemp(prefix=".tmp-", suffix=f"-{path.name}", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        write(temporary)
        _sync_file(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path` as `write_file` does."""
    write_file(path, lambda temporary: _write_bytes(temporary, content))


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path` in UTF-8 as `write_file` does."""
    write_bytes(path, text.encode())


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def write_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Writes a whole folder so that `path` never holds half of it.

    Args:
        path: where the folder shall be; an existing one there is replaced, its parent must exist.
        write: fills the (temporary) folder whose path it is given.

    Raises:
        OSError: if the disk is full or the parent is read-only; `path` is then as it was.
    """
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=path.parent))
    try:
        write(temporary)
        for entry in [temporary, *temporary.rglob("*")]:
            if entry.is_dir():
                entry.chmod(0o755)
                sync_folder(entry)
            else:
                _sync_file(entry)
                entry.chmod(0o644)
        if path.exists():
            # A folder cannot replace a full one in one step: the old one steps aside first.
            old = Path(tempfile.mkdtemp(prefix=".old-", dir=path.parent))
            path.rename(old / path.name)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync_folder(path.parent)
