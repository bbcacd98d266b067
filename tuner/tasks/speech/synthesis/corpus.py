"""The synthetic corpus, built when it is first needed, and its manifest."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import subprocess
import sys
from pathlib import Path

from common import cache, files, machine
from common.command_line import log
from common.errors import InputError, one_line, reason
from tuner.tasks.speech.synthesis import recording
from tuner.tasks.speech.synthesis.recording import Session
from tuner.tasks.speech.synthesis.sentences import sentences
from tuner.tasks.speech.synthesis.voices import ACCENTS, voices
from tuner.tasks.speech.timit import OWN_EDITION, OWN_LISTS, SPLITS

NAME = "synthetic speech"
"""Name of the data in results."""

_FOLDER = "synthetic_speech"

_UTTERANCE_BYTES = 150_000
"""More than the average size of an utterance on disk."""

MANIFEST = "manifest.json"

ABSENT = ("ax-h", "em", "eng", "epi", "hv", "nx", "ux")
"""Phones of TIMIT that eSpeak NG does not speak in these accents; the other 54 occur."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Parameters of a corpus.

    Attributes:
        train: number of speakers to train on.
        validation: number of speakers that select the epoch and the hyperparameters.
        test: number of speakers that only the final score uses.
        utterances: number of sentences per speaker.
        edition: incremented when the text, voices, sound or labels change.
    """

    train: int = 100
    validation: int = 12
    test: int = 12
    utterances: int = 8
    edition: int = 1

    @property
    def speakers(self) -> int:
        """Total number of speakers."""
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
    """The recipe of a corpus, its version of eSpeak NG, and the hash of its other files."""

    recipe: Recipe
    espeak: str
    sha256: str

    def write(self, folder: Path) -> None:
        """Writes the manifest to a folder that is still being built."""
        text = json.dumps(dataclasses.asdict(self), indent=2)
        (folder / MANIFEST).write_text(f"{text}\n", "utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Reads a corpus's manifest; raises OSError if there is none, ValueError if it is damaged."""
    content = json.loads((folder / MANIFEST).read_text("utf-8"))
    try:
        return Manifest(**{**content, "recipe": Recipe(**content["recipe"])})
    except (KeyError, TypeError) as error:
        raise ValueError(f"Expected a manifest of a synthetic corpus. Received: {error}") from error


def digest(folder: Path) -> str:
    """Computes the SHA-256 of the names and contents of all files except the manifest."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{name} {content}\n".encode())
    return total.hexdigest()


def corpus_folder(recipe: Recipe = RECIPE) -> Path:
    """Finds the synthetic corpus, or builds it if it is missing or damaged in the cache.

    A cached corpus is used whatever version of eSpeak NG is installed now, if any: its manifest
    says which version spoke it.

    Returns:
        A folder that `timit.find` reads: in TIMIT's layout, with `SX` sentences only, lists of the
        validation and test speakers, a name for the data, and a manifest.

    Raises:
        InputError: if it has to be built, and eSpeak NG is not installed or not as expected; or if
            the cache folder cannot be written.
    """
    import filelock

    parent = cache.folder() / _FOLDER
    folder = parent / recipe.folder_name
    if _intact(folder, recipe):
        return folder
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(parent / "lock"):
            if not _intact(folder, recipe):
                files.sweep(parent)
                _build(folder, recipe)
    except OSError as error:
        raise InputError(
            one_line(
                f"synthetic speech: expected a cache folder that can be written, "
                f"${cache.FOLDER_VARIABLE}. Received: {folder}: {reason(error)}"
            )
        ) from error
    return folder


def _intact(folder: Path, recipe: Recipe) -> bool:
    try:
        said = read_manifest(folder)
        return said.recipe == recipe and said.sha256 == digest(folder)
    except (OSError, ValueError):
        return False


def _build(folder: Path, recipe: Recipe) -> None:
    utterances = recipe.speakers * recipe.utterances
    log(f"Building the synthetic speech corpus of {utterances} utterances; once ...")
    files.write_folder(
        folder,
        lambda temporary: _record(temporary, recipe),
        size=utterances * _UTTERANCE_BYTES,
    )


def _record(folder: Path, recipe: Recipe) -> None:
    said = enumerate(sentences(f"synthetic speech {recipe.edition}"), start=1)
    sessions = []
    for split in SPLITS:
        speakers = voices(split, getattr(recipe, split))
        for voice in speakers:
            half = "TRAIN" if split == "train" else "TEST"
            place = folder / half / voice.region / voice.name.upper()
            place.mkdir(parents=True)
            own = itertools.islice(said, recipe.utterances)
            texts = {f"SX{number}": text for number, text in own}
            sessions.append(Session(str(place.resolve()), voice, texts))
        if split in OWN_LISTS:
            names = "".join(f"{voice.name}\n" for voice in speakers)
            (folder / OWN_LISTS[split]).write_text(names, "ascii")
    version = _hold(sessions)
    detail = f"spoken by eSpeak NG {version}, {recipe}"
    (folder / OWN_EDITION).write_text(f"{NAME}\n{detail}\n", "utf-8")
    Manifest(recipe, version, digest(folder)).write(folder)


def _hold(sessions: list[Session]) -> str:
    """Runs the recording process; returns eSpeak NG's version."""
    done = subprocess.run(
        [sys.executable, "-m", recording.__name__],
        input=recording.plan(sessions, machine.cores()),
        env=machine.single_threaded_environment("numpy"),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == recording.REFUSED:
        raise InputError(one_line(done.stderr.strip().splitlines()[-1]))
    if done.returncode != 0:
        raise RuntimeError(f"The synthetic corpus could not be recorded:\n{done.stderr}")
    return done.stdout.strip()
