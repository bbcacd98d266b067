"""Reads a SavedModel's file, without loading the model and without TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from common.errors import InputError
from serving.runtime import messages
from serving.runtime.specs import Signature, callable_signatures

FILE = "saved_model.pb"
"""Name of the file in the folder of a SavedModel."""

VERSION = re.compile(r"[0-9]{1,19}")
"""Pattern of the names of version folders in a model's base path."""

LARGEST = 2**63 - 1
"""The largest version number: TF Serving uses 64-bit integers."""

_TAG = "serve"
_VARIABLES = Path("variables", "variables.index")
_TENSORFLOW_1 = ("Switch", "RefSwitch", "Enter", "RefEnter", "Variable", "VariableV2")


def find_versions(base_path: Path) -> dict[int, Path]:
    """Finds the versions of a model by TF Serving's rule: what is named by a number.

    Args:
        base_path: folder of the model's versions.

    Returns:
        The paths by number of the version, in ascending order.

    Raises:
        OSError: if the folder cannot be read.
    """
    found = {int(path.name): path for path in base_path.iterdir() if VERSION.fullmatch(path.name)}
    return {number: found[number] for number in sorted(found) if number <= LARGEST}


def read_signature_defs(folder: Path) -> Mapping[str, Any]:
    """Reads the signatures of the SavedModel in `folder` as protocol messages, by name.

    Raises:
        InputError: if the file is not a SavedModel, it has no graph for serving, or its variables
            are missing, as in a partial copy.
        OSError: if the file cannot be read.
    """
    path = folder / FILE
    try:
        content = messages.SavedModel.FromString(path.read_bytes())
    except DecodeError as error:
        raise InputError(f"{path}: expected a SavedModel. Received: damaged or other") from error
    for graph in content.meta_graphs:
        if _TAG in graph.meta_info_def.tags:
            # TensorFlow's own loader would leave missing variables without values.
            if graph.saver_def.restore_op_name and not (folder / _VARIABLES).is_file():
                raise InputError(
                    f"{path}: expected {_VARIABLES} beside it, with the variables. Received: none"
                )
            return dict(graph.signature_def)
    raise InputError(f"{path}: expected a SavedModel with the tag {_TAG}. Received: none")


def needs_parallel_executor(folder: Path) -> bool:
    """Returns whether a SavedModel has operations that TensorFlow cannot run one after another."""
    content = (folder / FILE).read_bytes()
    # The operation of a `NodeDef` is its second field, a string.
    return any(b"\x12%c%s" % (len(name), name.encode()) in content for name in _TENSORFLOW_1)


def read_signatures(folder: Path) -> dict[str, Signature]:
    """Reads the callable signatures of the SavedModel in `folder`, by name."""
    return callable_signatures(read_signature_defs(folder))
