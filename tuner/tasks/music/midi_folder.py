"""The user's own folder of MIDI files as a corpus with splits."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from common.errors import DataError, RecordingError, reason
from common.media.midi import SUFFIXES, Piece, Roll, read_midi
from tuner.tasks.music.piano_rolls import PianoRolls

FEWEST_FILES = 3
LARGEST_FILE = 2**24


@dataclasses.dataclass(frozen=True)
class MidiFolder:
    """The result of reading a folder.

    Attributes:
        rolls: the three splits; None if there are fewer than 3 usable files.
        used: number of usable files.
        skipped: unusable files, and why they are unusable.
        odd: for usable files, what their rolls lack or had to guess, see `Piece.odd`.
    """

    rolls: PianoRolls | None
    used: int
    skipped: Mapping[Path, str]
    odd: Mapping[Path, Mapping[str, int]]


def read_folder(folder: Path) -> MidiFolder:
    """Reads every MIDI file (`SUFFIXES`) in a folder and its subfolders.

    The files are sorted by the SHA-256 of their content; the first three fifths are train, the next
    fifth is valid, the last is test. So the splits depend on the files' content alone, not on their
    names or locations. Of files with the same content, one is used.

    Args:
        folder: where to look; links to folders are not followed.

    Raises:
        DataError: if the folder cannot be listed.
    """
    skipped: dict[Path, str] = {}
    pieces: dict[str, Piece] = {}
    paths: dict[str, Path] = {}
    for path in _midi_paths(folder, skipped):
        try:
            content = _content(path)
            digest = hashlib.sha256(content).hexdigest()
            if digest in paths:
                raise RecordingError(f"it has the same content as {paths[digest]}")
            paths[digest] = path
            pieces[digest] = read_midi(content)
        except RecordingError as unsuitable:
            skipped[path] = str(unsuitable)
    ranked = tuple(pieces[digest].roll for digest in sorted(pieces))
    return MidiFolder(
        rolls=_split(ranked) if len(ranked) >= FEWEST_FILES else None,
        used=len(ranked),
        skipped=skipped,
        odd={paths[digest]: piece.odd for digest, piece in pieces.items() if piece.odd},
    )


def _midi_paths(folder: Path, skipped: dict[Path, str]) -> list[Path]:
    def note_unlisted(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise DataError(folder, f"expected a readable folder. Received: {reason(error)}")
        skipped[Path(error.filename)] = reason(error)

    return sorted(
        Path(parent) / name
        for parent, _, names in os.walk(folder, onerror=note_unlisted)
        for name in names
        if name.lower().endswith(SUFFIXES)
    )


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise RecordingError("it is not a file")
        if path.stat().st_size > LARGEST_FILE:
            raise RecordingError(f"it is larger than {LARGEST_FILE:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise RecordingError(reason(error)) from error


def _split(rolls: tuple[Roll, ...]) -> PianoRolls:
    fifth = max(1, round(len(rolls) / 5))
    train = len(rolls) - 2 * fifth
    return PianoRolls(
        train=rolls[:train], valid=rolls[train : train + fifth], test=rolls[train + fifth :]
    )
