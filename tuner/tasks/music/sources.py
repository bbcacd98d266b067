"""Turns what a person gave as `--data` into piano rolls with a name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from common.downloads import Unavailable
from common.errors import InputError, one_line, unusable
from tuner.tasks.music import cache
from tuner.tasks.music.editions import recognize
from tuner.tasks.music.midi_folder import FEWEST_FILES, SUFFIXES, read_folder
from tuner.tasks.music.music_file import read_file
from tuner.tasks.music.piano_rolls import PianoRolls
from tuner.tasks.task import DatasetInfo

_OWN_COPY = (
    "give your own copy with --data=PATH (.mat, .pickle, .json, .npz, or a folder of MIDI files)"
)


def find(data: str) -> tuple[PianoRolls, DatasetInfo]:
    """Finds the data.

    Args:
        data: one of
            `canonical`: the published JSB Chorales, kept or downloaded;
            `music21`: their music21 edition, kept or built;
            `auto`: `canonical` if it can be had within seconds, else `music21`;
            a path: a file `.mat`, `.pickle`, `.pkl`, `.json`, `.npz`, or a folder of MIDI files.
            With the path of a kept file a study goes on with the data it began with, whatever
            `auto` finds later.

    Returns:
        The rolls, and the edition that says what they are. Name and hash of a known edition are the
        same however it was found.

    Raises:
        InputError: if there is nothing usable.
    """
    if data == "auto":
        return _auto()
    if data == "canonical":
        try:
            return _file(cache.CANONICAL.fetch())
        except Unavailable as unavailable:
            raise InputError(
                f"--data=canonical: expected to fetch {cache.CANONICAL.address}. "
                f"Received: {unavailable}; {_OWN_COPY}, or use --data=music21"
            ) from unavailable
    if data == "music21":
        return _music21("")
    if not data:
        raise InputError("--data: expected auto, canonical, music21 or a path. Received: nothing")
    # The functions of os.path, other than those of Path, take any text without an error.
    path = Path(os.path.expanduser(data))
    return _folder(path) if os.path.isdir(path) else _file(path)


def _auto() -> tuple[PianoRolls, DatasetInfo]:
    try:
        return _file(cache.CANONICAL.fetch())
    except Unavailable as unavailable:
        fallback = f"; the published file could not be fetched ({unavailable})"
    try:
        return _music21(fallback)
    except InputError as error:
        raise InputError(f"{error}{fallback}") from error


def _music21(note: str) -> tuple[PianoRolls, DatasetInfo]:
    rolls, origin = cache.music21_file()
    return rolls, recognize(rolls, _neutral_name(cache.MUSIC21_FILE), f"{origin}{note}")


def _file(path: Path) -> tuple[PianoRolls, DatasetInfo]:
    rolls = read_file(path)
    return rolls, recognize(rolls, _neutral_name(path.name), one_line(f"read from {path}"))


def _neutral_name(file_name: str) -> str:
    return one_line(f"piano rolls of {file_name}")


def _folder(folder: Path) -> tuple[PianoRolls, DatasetInfo]:
    result = read_folder(folder)
    for skipped in result.skipped:
        print(skipped, file=sys.stderr)
    files = f"{result.used} files used, {len(result.skipped)} skipped"
    if result.rolls is None:
        raise unusable(
            folder,
            f"expected at least {FEWEST_FILES} usable MIDI files ({', '.join(SUFFIXES)}). "
            f"Received: {files}",
        )
    name = one_line(f"MIDI files of {folder.resolve().name or folder.resolve()}")
    return result.rolls, recognize(result.rolls, name, one_line(f"{files}; read from {folder}"))
