"""From a study's best model to a numbered version that TF Serving picks up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from serving import files, signatures
from serving.command_line import InputError

MODEL = "model.keras"
"""The model in `best/<code>`."""

CARD = "card.json"
"""What the model is; beside the model in `best/<code>` and in `assets.extra` of an export."""


def find_best(study_directory: Path, variant: str = "best") -> Path:
    """Finds the folder of a study's best model.

    Args:
        study_directory: the study.
        variant: code of a variant, or `best` for the best of all by validation.

    Returns:
        `best/<code>` of the study, a folder with `model.keras` and `card.json`.

    Raises:
        InputError: if there is no such model yet.
    """
    folder = study_directory / "best"
    # Names with a dot are folders that are being written.
    paths = sorted(folder.glob(f"[!.]*/{CARD}"))
    cards = {path.parent.name: _read_card(path.parent) for path in paths}
    if not cards:
        raise InputError(
            "--study_dir: expected a study with a finished trial (best/CODE/card.json). "
            f"Received: {study_directory}"
        )
    if variant == "best":
        return folder / min(cards, key=lambda code: float(cards[code]["validation"]))
    if variant not in cards:
        raise InputError(
            f"--variant: expected best or one of {', '.join(cards)} in {study_directory}. "
            f"Received: {variant!r}"
        )
    return folder / variant


def _read_card(folder: Path) -> dict[str, Any]:
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{folder / CARD}: expected JSON: {error}") from error
    return card


def versions(model_base_path: Path) -> list[int]:
    """Lists the versions of a model, as TF Serving counts them: folders named by a number."""
    if not model_base_path.exists():
        return []
    return sorted(int(entry.name) for entry in model_base_path.iterdir() if entry.name.isdecimal())


def publish(model_folder: Path, model_base_path: Path) -> Path:
    """Exports a model as the next version, unless the latest version is that very model.

    The version appears at once and whole: a server that polls the folder never loads half of it.

    Args:
        model_folder: `best/<code>` of a study.
        model_base_path: folder of the model's versions; made if it does not exist.

    Returns:
        The folder of the version.

    Raises:
        InputError: if the card does not fit the model.
        OSError: if it cannot be written.
    """
    card = _read_card(model_folder)
    present = versions(model_base_path)
    if present:
        latest = model_base_path / str(present[-1])
        extra = latest / "assets.extra"
        if (extra / CARD).exists() and _read_card(extra) == card:
            return latest
    model_base_path.mkdir(parents=True, exist_ok=True)
    version = model_base_path / str(present[-1] + 1 if present else 1)

    def write(folder: Path) -> None:
        signatures.write_saved_model(model_folder / MODEL, folder, signatures.Meaning.of(card))
        extra = folder / "assets.extra"
        extra.mkdir()
        (extra / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

    # The graph is no larger than some hundred kilobytes.
    size = 2**21 + 2 * (model_folder / MODEL).stat().st_size
    files.write_folder(version, write, size=size)
    return version
