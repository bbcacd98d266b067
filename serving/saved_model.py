"""What stands in a SavedModel's file, read without loading the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import descriptor_pool, message_factory

from serving.specs import Signature, callable_signatures

FILE = "saved_model.pb"
"""The file's name in the folder of a SavedModel."""

# TensorFlow has no public name for the message, but registers it when it is imported.
_MESSAGE = f"{tf.compat.v1.MetaGraphDef.DESCRIPTOR.file.package}.SavedModel"


def read(folder: Path) -> Any:
    """Reads the `MetaGraphDef` of the SavedModel in `folder`: graph, functions, signatures."""
    kind = message_factory.GetMessageClass(
        descriptor_pool.Default().FindMessageTypeByName(_MESSAGE)
    )
    return kind.FromString((folder / FILE).read_bytes()).meta_graphs[0]


def read_signatures(folder: Path) -> dict[str, Signature]:
    """Reads the signatures of the SavedModel in `folder` that can be called, by name."""
    return callable_signatures(read(folder).signature_def)
