"""Sources of models to export: a study, a `.keras` file, or the package itself."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import reprlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from common import command_line, files
from common.errors import InputError, one_line

MODEL = "model.keras"
"""Name of the model file in `best/<code>` of a study."""

CARD = "card.json"
"""Name of the model's card, next to the model."""

STUDY = "study.json"
"""Name of the file that describes a study, in its folder."""

_CIRCUMSTANCES = ("machines", "commands")
"""Fields of `study.json` about how a study was run; the other fields identify the study."""


Test = Callable[[Any], bool]
"""Returns whether a value of a card is what is expected."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_metric(value: Any) -> bool:
    return _is_object(value) and all(_is_text(value.get(key)) for key in ("name", "unit"))


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_CARD: Mapping[str, tuple[Test, str]] = {
    **dict.fromkeys(("task", "head", "variant", "study_sha256"), (_is_text, "a string")),
    **dict.fromkeys(("validation", "test"), (_is_number, "a finite number")),
    **dict.fromkeys(("data", "hyperparameters", "frontend"), (_is_object, "an object")),
    "labels": (_is_list_of_texts, "a list of strings"),
    "metric": (_is_metric, "an object with the strings name and unit"),
}
"""Fields that are read from a card: each may be missing, or null."""


def read_card(path: Path) -> dict[str, Any]:
    """Reads the card of a model.

    Args:
        path: `card.json`.

    Raises:
        InputError: if it is not a JSON object, or a field has the wrong type; one line names it.
        OSError: if it cannot be read.
    """
    card = files.read_json(path)
    for name, (is_right, expected) in _CARD.items():
        value = card.get(name)
        if value is not None and not is_right(value):
            raise InputError(
                one_line(f"{path}: {name}: expected {expected}. Received: {reprlib.repr(value)}")
            )
    return card


@dataclasses.dataclass(frozen=True)
class Source:
    """A trained model and what is known about it.

    Attributes:
        keras_file: file of the model.
        card: the model's card, as a study writes it (`docs/serving.md`); empty if there is none.
        study_sha256: hash that identifies the study that trained it; empty if there is none.
        origin: where it comes from, in a word for people: `study`, `file`, or `pretrained`.
    """

    keras_file: Path
    card: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    study_sha256: str = ""
    origin: str = "file"


def choose(
    *,
    study_directory: str | None,
    variant: str | None,
    keras_file: str | None,
    pretrained: str | None,
) -> Source:
    """Finds the model that flags name.

    Args:
        study_directory: value of `--study_dir`.
        variant: value of `--variant`; `best` if not given.
        keras_file: value of `--keras_file`.
        pretrained: value of `--pretrained`.

    Raises:
        InputError: unless exactly one of study, file and name is given, and it exists.
    """
    flags = {
        "--study_dir": study_directory,
        "--keras_file": keras_file,
        "--pretrained": pretrained,
    }
    given = [name for name, value in flags.items() if value is not None]
    if len(given) != 1:
        raise InputError(
            f"--study_dir, --keras_file, --pretrained: expected exactly one of them. Received: "
            f"{' and '.join(given) or 'none'}"
        )
    if variant is not None and study_directory is None:
        raise InputError(f"--variant: expected together with --study_dir. Received: {given[0]}")
    if study_directory is not None:
        return from_folder(find_best(Path(study_directory), variant or "best"))
    if keras_file is not None:
        return from_file(Path(keras_file))
    return from_pretrained(str(pretrained))


def from_folder(folder: Path) -> Source:
    """Returns the model and the card in a folder such as `best/<code>` of a study.

    Raises:
        InputError: if one of them is missing, or the card is invalid.
    """
    for name in (MODEL, CARD):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: expected a folder with {MODEL} and {CARD}. No {name}")
    study = folder.parent.parent / STUDY
    card = read_card(folder / CARD)
    if folder.parent.name == "best" and study.is_file():
        return Source(folder / MODEL, card, study_sha256(files.read_json(study)), "study")
    # Outside its study, a model's card remembers the study.
    return Source(folder / MODEL, card, card.get("study_sha256") or "", "file")


def from_file(path: Path) -> Source:
    """Returns the model in a `.keras` file, with the card next to it if there is one.

    Raises:
        InputError: if there is no such file, its name does not end in `.keras`, or the card is
            invalid.
    """
    if path.suffix != ".keras" or not path.is_file():
        found = "no such file" if path.suffix == ".keras" else "a name that ends otherwise"
        raise InputError(
            f"--keras_file: expected a file that Keras saved, NAME.keras. Received: {path} "
            f"({found})"
        )
    card = path.parent / CARD
    return Source(path, read_card(card) if card.is_file() else {})


def from_pretrained(name: str) -> Source:
    """Returns a trained model that comes with the package.

    Raises:
        InputError: if there is no model of that name; the message suggests the nearest name.
    """
    import zoo

    try:
        folder = zoo.pretrained.find(name)
    except ValueError as error:
        raise InputError(f"--pretrained: {error}") from error
    return dataclasses.replace(from_folder(folder), origin="pretrained")


def find_best(study_directory: Path, variant: str = "best") -> Path:
    """Finds the folder of a study's best model.

    Args:
        study_directory: folder of the study.
        variant: code of a variant, or `best` for the best of all by validation.

    Returns:
        `best/<code>` of the study, a folder with `model.keras` and `card.json`.

    Raises:
        InputError: if there is no such model yet.
    """
    folder = study_directory / "best"
    # Names that start with a dot are folders that are being written.
    paths = sorted(folder.glob(f"[!.]*/{CARD}"))
    cards = {path.parent.name: read_card(path) for path in paths}
    if not cards:
        raise InputError(
            "--study_dir: expected a study with a finished trial (best/CODE/card.json). "
            f"Received: {study_directory}"
        )
    if variant == "best":
        for code, card in cards.items():
            if card.get("validation") is None:
                raise InputError(
                    f"{folder / code / CARD}: validation: expected a finite number. Received: none"
                )
        return folder / min(cards, key=lambda code: float(cards[code]["validation"]))
    if variant not in cards:
        raise InputError(
            f"--variant: expected best or one of {', '.join(cards)} in {study_directory}. "
            f"Received: {variant!r}"
        )
    return folder / variant


def study_sha256(facts: Mapping[str, Any]) -> str:
    """Hashes what identifies a study: task, data, protocol, search space, seed, versions.

    The place of the data, the machines, and the commands by which the study was run are not part
    of it.

    Args:
        facts: content of `study.json`.

    Returns:
        SHA-256, in hexadecimal digits, of the facts as JSON with sorted keys.

    Example:
        >>> study_sha256({"seed": 1, "machines": ["a"]}) == study_sha256({"seed": 1})
        True
    """
    identity = {name: fact for name, fact in facts.items() if name not in _CIRCUMSTANCES}
    if isinstance(identity.get("data"), dict):
        identity["data"] = {name: identity["data"].get(name) for name in ("name", "sha256")}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def exported(source: Source, model_base_path: Path) -> Path:
    """Exports a model, or finds its earlier export, which does not need TensorFlow.

    Args:
        source: the model.
        model_base_path: folder of its versions; a note about the last export is put next to it.

    Returns:
        The folder of the version.

    Raises:
        InputError: if the model cannot be exported.
        OSError: if it cannot be written.
    """
    note = model_base_path.with_name(f"{model_base_path.name}.json")
    made_of = _made_of(source)
    with suppress(InputError, OSError):
        last = files.read_json(note)
        folder = model_base_path / str(last.get("version"))
        if last.get("made_of") == made_of and (folder / "saved_model.pb").is_file():
            return folder
    command_line.start_tensorflow()
    from serving.publish import versions

    folder = versions.publish(source, model_base_path)
    files.write_text(note, json.dumps({"made_of": made_of, "version": folder.name}) + "\n")
    return folder


def _made_of(source: Source) -> str:
    """Hashes the model, its card, and what exports depend on: our code and the libraries."""
    digest = hashlib.sha256(json.dumps(dict(source.card), sort_keys=True).encode())
    digest.update(source.keras_file.read_bytes())
    rooms = Path(__file__).parents[2]
    for path in sorted([*(rooms / "serving").rglob("*.py"), *(rooms / "zoo").rglob("*.py")]):
        digest.update(path.read_bytes())
    for name in ("keras", "tensorflow", "numpy"):
        digest.update(importlib.metadata.version(name).encode())
    return digest.hexdigest()
