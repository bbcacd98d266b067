"""Turns the value of `--data` into lines of handwriting with a name."""

from __future__ import annotations

import os
from pathlib import Path

from common import cache
from common.command_line import log
from common.errors import DataError, DownloadError, InputError, counted, one_line
from tuner.tasks.files import parse, read_content
from tuner.tasks.handwriting import synthetic, uji
from tuner.tasks.handwriting.iam import ARCHIVE_SUFFIXES, read_iam
from tuner.tasks.handwriting.lines import SPLITS, Lines, read_npz, write_npz
from tuner.tasks.task import DatasetInfo

SYNTHETIC = "synthetic handwriting (Hershey fonts)"

SYNTHETIC_SHA256 = "9ca7eeb12c20ee83b38219587f5050e741f9c7efecd401b1db1661ec4a7365c6"
"""Hash of the synthetic lines, wherever they are stored."""

SYNTHETIC_FILE = "handwriting_synthetic.npz"

LARGEST_FILE = 2**29


def find(data: str) -> tuple[Lines, DatasetInfo]:
    """Finds the data.

    Args:
        data: one of
            `auto` or `synthetic`: synthetic lines, from the cache or newly built;
            `uji`: lines composed of the letters of UJI Pen Characters v2, from the cache or
            downloaded;
            a path: a folder with IAM-OnDB, unpacked or in its archives; `ujipenchars2.txt` or the
            `.zip` file around it; or a `.npz` file, see `lines.read_npz`.

    Returns:
        The lines, and their description. Name and hash of the synthetic lines are the same wherever
        they were found.

    Raises:
        InputError: if there is nothing usable.
    """
    if not data:
        raise InputError("--data: expected auto, synthetic, uji or a path. Received: nothing")
    if data in ("auto", "synthetic"):
        lines, origin = cache.read_or_build(
            SYNTHETIC_FILE,
            _read_synthetic,
            synthetic.build,
            write_npz,
            "Writing synthetic lines in Hershey's fonts; once, about ten seconds ...",
        )
        return lines, _dataset(SYNTHETIC, lines, data, origin)
    if data == "uji":
        try:
            return _uji(uji.PUBLISHED.fetch())
        except DownloadError as error:
            raise InputError(
                f"--data=uji: expected to fetch {uji.PUBLISHED.address}. Received: {error}; "
                "give your own copy with --data=PATH, or use --data=synthetic"
            ) from error
    # Unlike those of Path, the functions of os.path accept any text without an error.
    return _path(Path(os.path.expanduser(data)))


def _path(path: Path) -> tuple[Lines, DatasetInfo]:
    """Loads the data at a path according to its kind."""
    name = path.name.lower()
    if os.path.isdir(path):
        return _uji(path / uji.FILE) if (path / uji.FILE).is_file() else _iam(path)
    if name.endswith(ARCHIVE_SUFFIXES) and path.is_file():
        return _iam(path.parent)
    if name.endswith((".txt", ".zip")):
        return _uji(path)
    if name.endswith(".npz"):
        return _npz(path)
    raise DataError(
        path,
        "expected auto, synthetic, uji, a folder with IAM-OnDB, ujipenchars2.txt or its .zip, or "
        "an .npz file. Received: none of them",
    )


def _iam(folder: Path) -> tuple[Lines, DatasetInfo]:
    lines, name = read_iam(folder)
    return lines, _dataset(name, lines, folder, f"read from {folder}")


def _uji(path: Path) -> tuple[Lines, DatasetInfo]:
    lines = uji.read_uji(str(path), _content(path))
    return lines, _dataset(uji.NAME, lines, path, f"letters read from {path}")


def _npz(path: Path) -> tuple[Lines, DatasetInfo]:
    lines = _read_npz(path)
    recognized = lines.sha256() == SYNTHETIC_SHA256
    name = SYNTHETIC if recognized else one_line(f"handwriting of {path.name}")
    return lines, _dataset(name, lines, path, f"read from {path}")


def _read_npz(path: Path) -> Lines:
    return parse(str(path), _content(path), "an .npz", read_npz)


def _content(path: Path) -> bytes:
    return read_content(path, "handwriting", LARGEST_FILE)


def _read_synthetic(path: Path) -> Lines | None:
    try:
        lines = _read_npz(path)
    except DataError:
        return None
    return lines if lines.sha256() == SYNTHETIC_SHA256 else None


def _dataset(name: str, lines: Lines, source: str | Path, origin: str) -> DatasetInfo:
    """Describes the data, and reports on standard error what was left out."""
    skipped = counted(lines.skipped)
    if skipped:
        log(f"{source}: left out: {skipped}")
    if not all(lines.counts):
        raise DataError(
            source,
            f"expected usable lines for {', '.join(SPLITS)}. "
            f"Received: {lines.counts}; left out: {skipped or 'none'}",
        )
    characters = (sum(len(line.text) for line in split) for split in lines.splits.values())
    size = (
        f"train + validation + test are {' + '.join(f'{count:,}' for count in lines.counts)} lines "
        f"of {' + '.join(f'{count:,}' for count in characters)} characters"
    )
    parts = [size, f"left out: {skipped}" if skipped else "", origin]
    return DatasetInfo(name, lines.sha256(), one_line("; ".join(part for part in parts if part)))
