"""The synthetic corpus, built when it is first needed and kept."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

from common import cache, downloads, files, machine
from common.errors import InputError, one_line, reason
from tuner.tasks.speech.synthesis import manifest, studio
from tuner.tasks.speech.synthesis.manifest import RECIPE, Manifest, Recipe
from tuner.tasks.speech.synthesis.sentences import sentences
from tuner.tasks.speech.synthesis.studio import Session
from tuner.tasks.speech.synthesis.voices import voices
from tuner.tasks.speech.timit import OWN_EDITION, OWN_LISTS, SPLITS

__all__ = ["RECIPE", "Recipe", "corpus_folder"]

NAME = "synthetic speech"
"""What results that were made with it say."""

_FOLDER = "synthetic_speech"

_UTTERANCE_BYTES = 150_000
"""More than an utterance takes on a disk on average."""


def corpus_folder(recipe: Recipe = RECIPE) -> Path:
    """Finds the synthetic corpus, and builds it if it is not kept or damaged.

    The kept corpus is used whatever eSpeak NG is installed now, if any: `manifest.read` says
    which one spoke it.

    Args:
        recipe: what the corpus is made of.

    Returns:
        A folder that `timit.find` reads: TIMIT's layout, `SX` sentences only, with lists of the
        speakers of validation and test, a name for the edition, and a manifest.

    Raises:
        InputError: if it has to be built and eSpeak NG is not installed or is not as expected, or
            if the folder for kept files cannot be written.
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
                f"synthetic speech: expected a folder for kept files that can be written, "
                f"${cache.FOLDER_VARIABLE}. Received: {folder}: {reason(error)}"
            )
        ) from error
    return folder


def _intact(folder: Path, recipe: Recipe) -> bool:
    try:
        said = manifest.read(folder)
        return said.recipe == recipe and said.sha256 == manifest.digest(folder)
    except (OSError, ValueError):
        return False


def _build(folder: Path, recipe: Recipe) -> None:
    utterances = recipe.speakers * recipe.utterances
    downloads.tell(f"Building the synthetic speech corpus of {utterances} utterances; once ...")
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
    Manifest(recipe, version, manifest.digest(folder)).write(folder)


def _hold(sessions: list[Session]) -> str:
    """Lets a process record; returns eSpeak NG's version."""
    done = subprocess.run(
        [sys.executable, "-m", studio.__name__],
        input=studio.plan(sessions, machine.cores()),
        env=machine.single_threaded_environment("numpy"),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == studio.REFUSED:
        raise InputError(one_line(done.stderr.strip().splitlines()[-1]))
    if done.returncode != 0:
        raise RuntimeError(f"The synthetic corpus could not be recorded:\n{done.stderr}")
    return done.stdout.strip()
