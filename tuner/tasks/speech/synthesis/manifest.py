"""What a synthetic corpus says of itself, beside its audio."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuner.tasks.speech.synthesis.voices import ACCENTS, SPLITS

FILE = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a corpus is made of.

    Attributes:
        edition: counts the changes of text, voices and labels.
        train: speakers to learn from.
        validation: speakers that choose the epoch and the hyperparameters.
        test: speakers that only the final score hears.
        utterances: sentences of each speaker.
    """

    edition: int = 1
    train: int = 100
    validation: int = 12
    test: int = 12
    utterances: int = 8

    @property
    def speakers(self) -> int:
        """How many speakers there are in all."""
        return self.train + self.validation + self.test

    @property
    def key(self) -> str:
        """A name for folders: equal for equal recipes only."""
        return "_".join(str(number) for number in dataclasses.astuple(self))

    def __str__(self) -> str:
        return (
            f"recipe {self.edition}: {self.train} + {self.validation} + {self.test} speakers of "
            f"eSpeak NG in {len(ACCENTS)} accents, {self.utterances} utterances each; splits share "
            "no timbre and no sentence"
        )


RECIPE = Recipe()
"""The corpus that studies use."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a corpus is.

    Attributes:
        recipe: what it was made of.
        espeak: version of eSpeak NG that spoke it.
        sha256: hash of the names and contents of its audio, labels and texts.
        speakers: the speakers of each of `SPLITS`, in TIMIT's form and lower case.
    """

    recipe: Recipe
    espeak: str
    sha256: str
    speakers: Mapping[str, tuple[str, ...]]

    def text(self) -> str:
        """The manifest as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def read(folder: Path) -> Manifest:
    """Reads the manifest of a corpus.

    Raises:
        OSError: if there is none.
        ValueError: if it is damaged.
    """
    try:
        return _parse(json.loads((folder / FILE).read_text("utf-8")))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"Expected a manifest of a synthetic corpus. Received: {error}") from error


def _parse(fields: Mapping[str, Any]) -> Manifest:
    return Manifest(
        recipe=Recipe(**fields["recipe"]),
        espeak=str(fields["espeak"]),
        sha256=str(fields["sha256"]),
        speakers={split: tuple(map(str, fields["speakers"][split])) for split in SPLITS},
    )


def digest(folder: Path) -> str:
    """Hashes the names and contents of all files but the manifest, SHA-256."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name != FILE:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{name} {content}\n".encode())
    return total.hexdigest()
