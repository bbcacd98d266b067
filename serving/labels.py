"""`models.config`: which versions of a model TF Serving serves, and under which labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from common import files
from common.errors import InputError

FILE = "models.config"
"""The file's name, in the folder of a model's versions; for the flag `--model_config_file`."""

_LABEL = re.compile(r'version_labels\s*\{\s*key:\s*"([^"]*)"\s*value:\s*(\d+)\s*\}')
_VALID = re.compile(r"[\w.-]+", re.ASCII)


def read(model_base_path: Path) -> dict[str, int]:
    """Reads the labels in `models.config` and the version of each; none if there is no file."""
    path = model_base_path / FILE
    if not path.exists():
        return {}
    return {label: int(version) for label, version in _LABEL.findall(path.read_text("utf-8"))}


def check(labels: Sequence[str]) -> None:
    """Refuses labels that no address of a REST call could hold.

    Raises:
        InputError: if there is one.
    """
    for label in labels:
        if not _VALID.fullmatch(label):
            raise InputError(
                f"--labels: expected letters, digits, and any of . _ - in each. Received: {label!r}"
            )


def attach(
    labels: Sequence[str], version: Path, serving_base_path: str | None = None
) -> dict[str, int]:
    """Gives a version labels, which it takes from the versions that have had them.

    Args:
        labels: such as `stable` or `canary`.
        version: folder of the version.
        serving_base_path: folder of the model's versions as the server sees it; this machine's if
            not given.

    Returns:
        The version of every label there now is. One whose version is gone is dropped: the server
        would not start with it.

    Raises:
        InputError: if a label could be no part of an address.
        OSError: if the file cannot be written.
    """
    check(labels)
    base = version.parent
    with files.locked(base):
        known = {
            label: number for label, number in read(base).items() if (base / str(number)).exists()
        }
        known |= dict.fromkeys(labels, int(version.name))
        base_path = serving_base_path or str(base.resolve())
        files.write_text(base / FILE, _config(base.resolve().name, base_path, known))
    return known


def _config(name: str, base_path: str, labels: Mapping[str, int]) -> str:
    versions = " ".join(f"versions: {number}" for number in sorted(set(labels.values())))
    lines = [
        f'    version_labels {{ key: "{key}" value: {labels[key]} }}' for key in sorted(labels)
    ]
    return "\n".join(
        [
            "# Written by serving.export. A server reads it with",
            "# --model_config_file --allow_version_labels_for_unavailable_models",
            "model_config_list {",
            "  config {",
            f"    name: {_quoted(name)}",
            f"    base_path: {_quoted(base_path)}",
            '    model_platform: "tensorflow"',
            f"    model_version_policy {{ specific {{ {versions} }} }}",
            *lines,
            "  }",
            "}",
            "",
        ]
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
