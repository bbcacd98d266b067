"""The model card of an export: the model, its scores and its origin; as JSON and Markdown."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common import files
from common.errors import one_line
from serving.graph.inference import Network
from serving.graph.signatures import DEFAULT
from serving.publish.sources import Source
from serving.runtime.specs import Signature, TensorSpec

FOLDER = "assets.extra"
"""Folder of a SavedModel for files that are not part of its graph."""

JSON, MARKDOWN = "model_card.json", "model_card.md"

_PROJECT = "lstm-odyssey"
_VERSIONED = ("keras", "numpy", "tensorflow", _PROJECT)


def describe(source: Source, model: keras.Model, network: Network) -> dict[str, Any]:
    """Describes a model that is to be exported.

    The description is deterministic: equal models have equal descriptions.

    Args:
        source: where the model comes from.
        model: the model.
        network: the parts of the model.

    Returns:
        All of the source's card, and

        - `inputs`, `outputs`, `bidirectional`, `variant`, `units`, `parameters`: properties of the
          model itself, whatever the card says;
        - `origin`: `study`, `file` or `pretrained`;
        - `study_sha256`: hash of the study that trained it, see `sources.study_sha256`, or None;
        - `model_sha256`: hash of configuration and weights;
        - `versions`: versions of the libraries and of this project.
    """
    return {
        **source.card,
        "inputs": network.inputs,
        "outputs": network.output.units,
        "bidirectional": network.backward is not None,
        "variant": network.forward.cell.variant.code,
        "units": network.forward.cell.units,
        "parameters": model.count_params(),
        "origin": source.origin,
        "study_sha256": source.study_sha256 or None,
        "model_sha256": model_sha256(model),
        "versions": {name: _version(name) for name in _VERSIONED},
    }


def model_sha256(model: keras.Model) -> str:
    """Hashes a model: its configuration and its weights.

    Two files of the same model differ, since Keras writes the date into them; their hashes do not.
    """
    digest = hashlib.sha256(model.to_json(sort_keys=True).encode())
    for weight in model.weights:
        value = np.asarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{weight.path} {value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        # Run from a checkout.
        return "not installed"


def read(version: Path) -> dict[str, Any]:
    """Reads the card in the folder of a version; empty if there is none."""
    path = version / FOLDER / JSON
    return files.read_json(path) if path.is_file() else {}


def is_of(card: Mapping[str, Any], described: Mapping[str, Any]) -> bool:
    """Returns whether a card that `write` wrote matches a description."""
    return {name: value for name, value in card.items() if name != "signatures"} == described


def write(version: Path, described: Mapping[str, Any], signatures: Mapping[str, Signature]) -> None:
    """Writes `model_card.json` and `model_card.md` into the folder of a version.

    Args:
        version: the folder.
        described: return value of `describe`.
        signatures: signatures of the SavedModel.
    """
    extra = version / FOLDER
    extra.mkdir(exist_ok=True)
    tensors = {name: _tensors(signature) for name, signature in signatures.items()}
    files.write_text(extra / JSON, as_json({**described, "signatures": tensors}))
    files.write_text(extra / MARKDOWN, markdown(described, signatures))


def as_json(described: Mapping[str, Any]) -> str:
    """Formats a card for programs."""
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"


def _tensors(signature: Signature) -> dict[str, Any]:
    return {
        side: {
            name: {"dtype": spec.dtype, "shape": None if spec.shape is None else list(spec.shape)}
            for name, spec in tensors.items()
        }
        for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs))
    }


def markdown(described: Mapping[str, Any], signatures: Mapping[str, Signature]) -> str:
    """Formats a card for people.

    Args:
        described: return value of `describe`.
        signatures: signatures of the SavedModel.
    """
    directions = "two directions" if described["bidirectional"] else "forward"
    model = [
        f"LSTM variant {described['variant']}, {described['units']} units, {directions}, "
        f"{described['parameters']:,} parameters; {described['inputs']} inputs, "
        f"{described['outputs']} outputs a frame."
    ]
    sections = [
        _section("Model", [*model, *_training(described)]),
        _section("Scores", _scores(described)),
        _section("Signatures", _signature_table(signatures)),
        _section("Provenance", _provenance(described)),
    ]
    title = described.get("task") or "a network"
    return "\n".join([f"# {title}, {described['variant']}", "", *filter(None, sections)])


def _section(title: str, lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"## {title}\n\n{text}\n" if text else ""


def _training(described: Mapping[str, Any]) -> list[str]:
    lines = []
    data = described.get("data")
    if isinstance(data, Mapping):
        lines.append(f"Trained on {data.get('name')} (SHA-256 `{data.get('sha256')}`).")
    if described.get("labels"):
        lines.append(f"{len(described['labels'])} labels, in `{JSON}`.")
    hyperparameters = described.get("hyperparameters")
    if isinstance(hyperparameters, Mapping):
        lines += ["", "| hyperparameter | value |", "|---|---|"]
        lines += [f"| {name} | {_value(value)} |" for name, value in hyperparameters.items()]
    return lines


def _value(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.6g}" if is_number else one_line(str(value))


def _scores(described: Mapping[str, Any]) -> list[str]:
    metric = described.get("metric")
    name = f"{metric['name']}, {metric['unit']}" if isinstance(metric, Mapping) else "score"
    rows = [
        f"| {part} | {described[part]:.4f} |"
        for part in ("validation", "test")
        if isinstance(described.get(part), int | float)
    ]
    return [f"| part of the data | {name} |", "|---|---|", *rows] if rows else []


def _signature_table(signatures: Mapping[str, Signature]) -> list[str]:
    lines = ["| signature | takes | returns |", "|---|---|---|"]
    # The signature that every model has comes first.
    for name in sorted(signatures, key=lambda name: (name != DEFAULT, name)):
        signature = signatures[name]
        sides = (signature.inputs, signature.outputs)
        lines.append(f"| `{name}` | " + " | ".join(map(_written, sides)) + " |")
    return lines


def _written(tensors: Mapping[str, TensorSpec]) -> str:
    return ", ".join(
        f"`{name}` {spec.dtype} {_shape(spec.shape)}" for name, spec in tensors.items()
    )


def _shape(shape: tuple[int | None, ...] | None) -> str:
    sizes = ["?" if size is None else str(size) for size in shape or ()]
    return f"[{', '.join(sizes)}]" if shape is not None else "of any shape"


def _provenance(described: Mapping[str, Any]) -> list[str]:
    lines = [f"- model: SHA-256 `{described['model_sha256']}`; from: {described['origin']}"]
    if described["study_sha256"]:
        lines.append(f"- study: SHA-256 `{described['study_sha256']}`")
    if "trial" in described:
        lines.append(f"- trial {described['trial']}, epoch {described.get('best_epoch')}")
    versions = ", ".join(f"{name} {version}" for name, version in described["versions"].items())
    return [*lines, f"- {versions}"]
