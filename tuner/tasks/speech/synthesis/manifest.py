"""What a synthetic corpus says of itself, beside its audio."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

from tuner.tasks.speech.synthesis.voices import ACCENTS

FILE = "manifest.json"

ABSENT = ("ax-h", "em", "eng", "epi", "hv", "nx", "ux")
"""Phones of TIMIT that eSpeak NG does not speak in these accents; the other 54 occur."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a corpus is made of.

    Attributes:
        train: speakers to learn from.
        validation: speakers that choose the epoch and the hyperparameters.
        test: speakers that only the final score hears.
        utterances: sentences of each speaker.
        edition: counts the changes of text, voices, sound and labels.
    """

    train: int = 100
    validation: int = 12
    test: int = 12
    utterances: int = 8
    edition: int = 1

    @property
    def speakers(self) -> int:
        """How many speakers there are in all."""
        return self.train + self.validation + self.test

    @property
    def folder_name(self) -> str:
        """A name that only equal recipes share.

        Example:
            >>> Recipe().folder_name
            '100_12_12_8_1'
        """
        return "_".join(str(number) for number in dataclasses.astuple(self))

    def __str__(self) -> str:
        return (
            f"recipe {self.edition}: {self.train} + {self.validation} + {self.test} speakers in "
            f"{len(ACCENTS)} accents, {self.utterances} sentences each, splits share neither a "
            f"timbre nor a sentence; phones that never occur: {', '.join(ABSENT)}"
        )


RECIPE = Recipe()
"""The corpus that studies use."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a corpus is.

    Attributes:
        recipe: what it was made of.
        espeak: version of eSpeak NG that spoke it.
        sha256: hash of the names and contents of its other files.
    """

    recipe: Recipe
    espeak: str
    sha256: str

    def write(self, folder: Path) -> None:
        """Writes it into a folder that is still being built."""
        text = json.dumps(dataclasses.asdict(self), indent=2)
        (folder / FILE).write_text(f"{text}\n", "utf-8")


def read(folder: Path) -> Manifest:
    """Reads the manifest of a corpus.

    Raises:
        OSError: if there is none.
        ValueError: if it is damaged.
    """
    content = json.loads((folder / FILE).read_text("utf-8"))
    try:
        return Manifest(**{**content, "recipe": Recipe(**content["recipe"])})
    except (KeyError, TypeError) as error:
        raise ValueError(f"Expected a manifest of a synthetic corpus. Received: {error}") from error


def digest(folder: Path) -> str:
    """Hashes the names and contents of all files but the manifest, SHA-256."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name != FILE:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{name} {content}\n".encode())
    return total.hexdigest()
