"""Exports for LiteRT (TensorFlow Lite): one file with all signatures, of one sequence a call."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import command_line, files
from common.errors import InputError
from serving.convert import conversion
from serving.graph import signatures
from serving.graph.decoding import DECODINGS
from serving.publish.sources import Source


def convert(source: Source, path: Path) -> list[str]:
    """Converts a model by TensorFlow's converter, and checks it with LiteRT's interpreter.

    Signature, input, and output names are those of the SavedModel. The batch is 1 - LiteRT keeps no
    list of tensors of a free size - and time is free. Only LiteRT's own operations are used.
    Outputs that are strings (`text`, `classes`) are left out.

    Args:
        source: the model.
        path: file to write, `NAME.tflite`; `NAME.model_card.json` is written beside it.

    Returns:
        For people: what was written, and what was left out and why.

    Raises:
        InputError: if it does not convert, a check fails, or a package is missing.
        OSError: if a file cannot be written.
    """
    conversion.require("ai_edge_litert", "litert")
    model = conversion.prepare(source, batch=1, without=DECODINGS)
    # Traced with a batch of 1 anew: the functions inside one with a free batch would stay as they
    # are.
    with tempfile.TemporaryDirectory() as folder, command_line.without_messages():
        signatures.write_saved_model(model.model, model.endpoints, Path(folder))
        content = _convert(folder, list(model.endpoints))
        interpreter = _interpreter(content)
        worst = max(
            conversion.check(model, name, _runner(interpreter, name)) for name in model.endpoints
        )
    files.write_bytes(path, content)
    return [
        *model.left_out,
        f"exported {path} (largest difference from the Keras model: {worst:.1g})",
        f"model card: {conversion.write_card(model, path)}",
    ]


def _convert(folder: str, names: list[str]) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=names)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            content: bytes = converter.convert()
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"--format=litert: expected a model that converts. Received: {reason}"
            ) from error
    return content


def _interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=content)


def _runner(interpreter: Any, name: str) -> conversion.Runner:
    run = interpreter.get_signature_runner(name)

    def runner(request: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        answer: Mapping[str, np.ndarray] = run(**request)
        return answer

    return runner
