"""The synthetic corpus, built when it is first needed and kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from serving import files
from serving.command_line import InputError
from tuner.tasks import kept
from tuner.tasks.problems import one_line, reason
from tuner.tasks.speech.synthesis import manifest, studio
from tuner.tasks.speech.synthesis.manifest import RECIPE, Manifest, Recipe
from tuner.tasks.speech.synthesis.sentences import sentences
from tuner.tasks.speech.synthesis.studio import Session
from tuner.tasks.speech.synthesis.voices import SPLITS, voices

__all__ = ["RECIPE", "Recipe", "corpus_folder"]

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
        A folder in TIMIT's layout, `{TRAIN,TEST}/DR1..8/<speaker>/SX<n>.{WAV,PHN,TXT}`, with a
        manifest. `TRAIN` holds the training speakers, `TEST` those of validation and test.

    Raises:
        InputError: if it has to be built and eSpeak NG is not installed or is not as expected, or
            if the folder for kept files cannot be written.
    """
    import filelock

    parent = kept.folder() / _FOLDER
    folder = parent / recipe.key
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
                f"${kept.FOLDER_VARIABLE}. Received: {folder}: {reason(error)}"
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
    kept.tell(f"Building the synthetic speech corpus of {utterances} utterances; once ...")
    files.write_folder(
        folder,
        lambda temporary: _record(temporary, recipe),
        size=utterances * _UTTERANCE_BYTES,
    )


def _record(folder: Path, recipe: Recipe) -> None:
    said = enumerate(sentences(f"synthetic speech {recipe.edition}"), start=1)
    sessions = []
    speakers = {}
    for split in SPLITS:
        chosen = voices(split, getattr(recipe, split))
        speakers[split] = tuple(voice.name for voice in chosen)
        for voice in chosen:
            half = "TRAIN" if split == "train" else "TEST"
            place = folder / half / voice.region / voice.name.upper()
            place.mkdir(parents=True)
            own = (next(said) for _ in range(recipe.utterances))
            texts = {f"SX{number}": text for number, text in own}
            sessions.append(Session(str(place.resolve()), voice, texts))
    version = _hold(sessions)
    written = Manifest(recipe, version, manifest.digest(folder), speakers)
    (folder / manifest.FILE).write_text(written.text(), "utf-8")


def _hold(sessions: list[Session]) -> str:
    """Lets a process record; returns eSpeak NG's version."""
    from tuner import workers

    done = subprocess.run(
        [sys.executable, "-m", studio.__name__],
        input=studio.plan(sessions, workers.cores()),
        # Threads would stand in the way of its copies.
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.strip().splitlines() or ["no reason"]
    if done.returncode == studio.REFUSED:
        raise InputError(one_line(lines[-1]))
    if done.returncode != 0:
        raise RuntimeError(f"The synthetic corpus could not be recorded:\n{done.stderr}")
    return done.stdout.strip()
