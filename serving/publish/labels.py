"""`models.config`: which versions of a model TF Serving serves, and under which labels."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from common import files
from common.errors import InputError
from serving.runtime import messages

FILE = "models.config"
"""Name of the file in the folder of a model's versions; for the flag `--model_config_file`."""

_VALID = re.compile(r"[\w.-]+", re.ASCII)

_HEADER = """\
# Written by serving.export. A server reads it with
# --model_config_file --allow_version_labels_for_unavailable_models
"""


def read(model_base_path: Path) -> dict[str, int]:
    """Reads the labels of a model from `models.config`; empty if there is no file.

    Raises:
        InputError: if the file is not a `ModelServerConfig` in text format.
    """
    model = _find(_read(model_base_path / FILE), model_base_path)
    return {} if model is None else dict(model.version_labels)


def check(labels: Sequence[str]) -> None:
    """Refuses labels that cannot be part of the address of a REST call.

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
    """Attaches labels to a version, and removes them from the versions that have had them.

    The rest of the file stays: other models, the policy `all`, versions of the policy `specific`
    that never had a label. (Comments below its first lines are lost.)

    Args:
        labels: labels such as `stable` or `canary`.
        version: folder of the version.
        serving_base_path: folder of the model's versions as the server sees it; if not given, the
            one in the file, or this machine's.

    Returns:
        Version numbers by label, for all labels of the model. Labels whose version no longer exists
        are dropped, because the server would not start with them.

    Raises:
        InputError: if a label cannot be part of an address; if the file is not a
            `ModelServerConfig` in text format, or only serves the latest versions.
        OSError: if the file cannot be written.
    """
    check(labels)
    base = version.parent
    with files.locked(base):
        path = base / FILE
        config = _read(path)
        model = _find(config, base)
        if model is None:
            model = config.model_config_list.config.add()
            model.name, model.base_path = base.resolve().name, str(base.resolve())
            model.model_platform = "tensorflow"
            model.model_version_policy.specific.SetInParent()
        if serving_base_path is not None:
            model.base_path = serving_base_path
        _label(path, model, labels, version)
        text = text_format.MessageToString(config)
        files.write_text(path, f"{_comment(path) or _HEADER}{text}")
        return dict(model.version_labels)


def _label(path: Path, model: Any, labels: Sequence[str], version: Path) -> None:
    policy = model.model_version_policy
    if policy.WhichOneof("policy_choice") not in ("all", "specific"):
        raise InputError(
            f"{path}: model {model.name}: expected the version policy all or specific: a label "
            "needs its version to be served. Received: latest"
        )
    before = dict(model.version_labels)
    after = {
        label: number for label, number in before.items() if (version.parent / str(number)).exists()
    } | dict.fromkeys(labels, int(version.name))
    model.version_labels.clear()
    model.version_labels.update(after)
    if policy.WhichOneof("policy_choice") == "specific":
        unlabeled = set(policy.specific.versions) - set(before.values())
        del policy.specific.versions[:]
        policy.specific.versions.extend(sorted(unlabeled | set(after.values())))


def _read(path: Path) -> Any:
    config = messages.ModelServerConfig()
    if path.exists():
        messages.read_text(path, config)
        if config.WhichOneof("config") == "custom_model_config":
            raise InputError(f"{path}: expected a model_config_list. Received: custom_model_config")
    return config


def _find(config: Any, base: Path) -> Any:
    """Finds the model whose versions are in a folder, by path or else by name; None if missing."""
    models = config.model_config_list.config
    by_path = [model for model in models if model.base_path == str(base.resolve())]
    by_name = [model for model in models if model.name == base.resolve().name]
    return next(iter(by_path + by_name), None)


def _comment(path: Path) -> str:
    """Returns the comment lines at the beginning of a file."""
    if not path.exists():
        return ""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    return "".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
