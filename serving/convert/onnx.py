"""Exports for ONNX Runtime: one file for each signature."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import command_line, files
from common.errors import InputError
from serving.convert import conversion
from serving.graph.signatures import DEFAULT, Endpoint
from serving.publish.sources import Source

OPSET = 18
"""Version of ONNX' operations."""


def convert(
    source: Source, path: Path, *, signatures: Collection[str] | None = None
) -> list[str]:
    """Converts a model by tf2onnx, and checks it with ONNX Runtime.

    Signature, input, and output names are those of the SavedModel; batch and time are free. A
    signature that does not convert is left out: `audio`, for ONNX has no real Fourier transform
    that tf2onnx could use, and of the outputs `text`.

    Args:
        source: the model.
        path: `NAME.onnx`; the files are `NAME.serving_default.onnx` and so on, and
            `NAME.model_card.json`.
        signatures: those to convert; without, all.

    Returns:
        For people: what was written, and what was left out and why.

    Raises:
        InputError: if `serving_default` does not convert, a check fails, or a package is missing;
            if the model lacks one of `signatures`.
        OSError: if a file cannot be written.
    """
    for module in ("tf2onnx", "onnxruntime"):
        conversion.require(module, "onnx")
    model = conversion.prepare(source, batch=None, without=("ctc",))
    lines, found = list(model.left_out), {}
    for name in model.endpoints if signatures is None else signatures:
        endpoint = model.endpoint(name)
        with _quietly():
            proto = _convert(endpoint)
        unknown = _unknown_operations(proto)
        if unknown:
            line = f"signature {name}: ONNX has no operation {', '.join(unknown)}"
            if name == DEFAULT:
                raise InputError(f"--format=onnx: expected a model that converts. Received: {line}")
            lines.append(f"left out: {line}")
            continue
        found[name] = (proto.SerializeToString(), 0.0)
        worst = conversion.check(model, name, _runner(found[name][0]))
        found[name] = (found[name][0], worst)
    for name, (content, worst) in found.items():
        target = path.with_name(f"{path.stem}.{name}.onnx")
        files.write_bytes(target, content)
        lines.append(f"exported {target} (largest difference from the Keras model: {worst:.1g})")
    return [*lines, f"model card: {conversion.write_card(model, path)}"]


def _convert(endpoint: Endpoint) -> Any:
    import tf2onnx

    inputs = list(endpoint.inputs)
    function = tf.function(endpoint.function, input_signature=inputs, autograph=False)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=inputs, opset=OPSET)
    return proto


def _unknown_operations(proto: Any) -> list[str]:
    """Names the operations that tf2onnx could not translate; it leaves them as they are."""
    import onnx

    found, graphs = set(), [proto.graph]
    while graphs:
        for node in graphs.pop().node:
            if not onnx.defs.has(node.op_type, node.domain):
                found.add(node.op_type)
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return sorted(found)


def _runner(content: bytes) -> conversion.Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(request: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return dict(zip(names, session.run(names, dict(request)), strict=True))

    return run


@contextmanager
def _quietly() -> Iterator[None]:
    """Keeps tf2onnx from telling, with tracebacks, what is told in a line here."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), command_line.without_messages():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
