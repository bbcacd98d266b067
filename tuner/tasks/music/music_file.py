"""Reads one file of piano rolls, whatever its kind, or says in one line why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from common.errors import unusable
from tuner.tasks import content as content_of
from tuner.tasks.music.matlab_file import read_matlab
from tuner.tasks.music.npz_file import read_npz
from tuner.tasks.music.piano_rolls import PianoRolls
from tuner.tasks.music.pickle_file import read_pickle
from tuner.tasks.music.pitch_lists import read_json

LARGEST_FILE = 2**28

_READERS: dict[str, tuple[str, Callable[[str, bytes], PianoRolls]]] = {
    ".mat": ("a MATLAB 5", read_matlab),
    ".pickle": ("a pickle", read_pickle),
    ".pkl": ("a pickle", read_pickle),
    ".json": ("a JSON", read_json),
    ".npz": ("an .npz", read_npz),
}


def read_file(path: Path) -> PianoRolls:
    """Reads piano rolls.

    Args:
        path: a file whose suffix says its kind: `.mat`, `.pickle`, `.pkl`, `.json`, `.npz`; at most
            256 MiB.

    Raises:
        InputError: if it cannot be used: not there, not readable, empty, damaged, or of other
            content.
    """
    if path.suffix.lower() not in _READERS:
        raise unusable(
            path,
            f"expected a file {', '.join(_READERS)} or a folder of MIDI files. "
            f"Received: {f'a file {path.suffix}' if path.suffix else 'a file without suffix'}",
        )
    return parse(str(path), content_of.read_content(path, "piano rolls", LARGEST_FILE))


def parse(source: str, content: bytes) -> PianoRolls:
    """Makes piano rolls of a file's content.

    Args:
        source: the file's name; its suffix says the kind.
        content: what is in the file.

    Raises:
        InputError: if it cannot be used.
    """
    kind, reader = _READERS[Path(source).suffix.lower()]
    return content_of.parse(source, content, kind, reader)
