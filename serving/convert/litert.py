"""Exports for LiteRT (TensorFlow Lite): one file with all signatures, one sequence per call."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import command_line, files
from common.errors import InputError
from serving.convert import conversion
from serving.convert import quantization as quantizing
from serving.convert.conversion import Conversion
from serving.convert.quantization import Quantization
from serving.graph import signatures
from serving.graph.decoding import DECODINGS
from serving.graph.signatures import CHUNK, DEFAULT, STEP, Endpoint
from serving.publish.sources import Source

_EXAMPLES, _FRAMES = 32, 100
"""Number of sequences that calibrate the scales of `int8`, and of their frames for `step`."""


def convert(
    source: Source, path: Path, *, quantization: Quantization | None = None
) -> list[str]:
    """Converts a model with TensorFlow's converter, and checks it with LiteRT's interpreter.

    Signatures, inputs and outputs have the names of the SavedModel. The batch size is 1 - LiteRT
    has no lists of tensors of free size - and time is free. Only LiteRT's own operations are used.
    Outputs that are strings (`text`, `classes`) are left out.

    Args:
        source: the model.
        path: file to write, `NAME.tflite`; `NAME.model_card.json` is written next to it.
        quantization: done by the converter's own optimization; some operations stay in float32.

    Returns:
        Lines for people: what was written, and what was left out and why.

    Raises:
        InputError: if the model does not convert, a check fails, or a package is missing.
        OSError: if a file cannot be written.
    """
    conversion.require("ai_edge_litert", "litert")
    model = conversion.prepare(source, batch=1, without=DECODINGS)
    lines = []
    if quantization is not None:
        model = quantizing.prepare(model, quantization)
    # Traced again with a batch size of 1: functions nested in one with a free batch size would keep
    # theirs.
    with tempfile.TemporaryDirectory() as folder, command_line.without_messages():
        signatures.write_saved_model(model.model, model.endpoints, Path(folder))
        content = _convert(folder, model, quantization)
        interpreter = _interpreter(content)
        worst = max(
            conversion.check(model, name, _runner(interpreter, name)) for name in model.endpoints
        )
    if quantization is not None:
        run = _runner(interpreter, DEFAULT)
        model, line = quantizing.measured(model, quantization, run)
        lines.append(line)
    files.write_bytes(path, content)
    return [
        *model.left_out,
        f"exported {path} ({quantizing.megabytes(len(content))}; largest difference from the "
        f"Keras model: {worst:.1g})",
        *lines,
        f"model card: {conversion.write_card(model, path)}",
    ]


def _convert(folder: str, model: Conversion, quantization: Quantization | None) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=list(model.endpoints)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if quantization is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if quantization.mode == "int8" and model.examples is not None:
                chosen = quantizing.evenly_spaced(model.examples, _EXAMPLES)
                converter.representative_dataset = lambda: _calls(model.endpoints, chosen)
        try:
            content: bytes = converter.convert()
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"--format=litert: expected a model that converts. Received: {reason}"
            ) from error
    return content


def _calls(
    endpoints: Mapping[str, Endpoint], examples: Sequence[np.ndarray]
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yields calls of every signature, as streams of the examples make them, for calibration."""
    step, advance = endpoints.get(STEP), None
    if step is not None:
        advance = tf.function(step.function, list(step.inputs), autograph=False)
    for example in examples:
        whole = {"sequence": example[None], "lengths": np.array([len(example)], np.int32)}
        yield DEFAULT, whole
        if step is None or advance is None:
            continue
        states = {spec.name: np.zeros(spec.shape, np.float32) for spec in step.inputs[1:]}
        yield CHUNK, {**whole, **states}
        for frame in example[:_FRAMES]:
            call = {"frame": frame[None], **states}
            yield STEP, call
            answer = advance(*map(tf.constant, call.values()))
            states = {name: np.asarray(answer[f"next_{name}"]) for name in states}


def _interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=content)


def _runner(interpreter: Any, name: str) -> conversion.Runner:
    run = interpreter.get_signature_runner(name)

    def runner(request: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        answer: Mapping[str, np.ndarray] = run(**request)
        return answer

    return runner
