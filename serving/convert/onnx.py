"""Exports for ONNX Runtime: one file for each signature."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
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
from serving.convert import quantization as quantizing
from serving.convert.quantization import Quantization
from serving.graph.signatures import DEFAULT, Endpoint
from serving.publish.sources import Source

OPSET = 18
"""Version of the ONNX operator set."""


def convert(
    source: Source,
    path: Path,
    *,
    signatures: Collection[str] | None = None,
    quantization: Quantization | None = None,
) -> list[str]:
    """Converts a model with tf2onnx, and checks it with ONNX Runtime.

    Signatures, inputs and outputs have the names of the SavedModel; batch and time are free. What
    cannot be converted is left out: the signature `audio`, since ONNX has no real Fourier transform
    that tf2onnx could use, and the output `text`.

    Args:
        source: the model.
        path: `NAME.onnx`; the files are `NAME.serving_default.onnx` and so on, and
            `NAME.model_card.json`.
        signatures: names of the signatures to convert; if not given, all.
        quantization: `dynamic`, done by ONNX Runtime's own tool; only products are in 8 bits.

    Returns:
        Lines for people: what was written, and what was left out and why.

    Raises:
        InputError: if `serving_default` cannot be converted, a check fails, a package is missing,
            or the model lacks one of `signatures`.
        OSError: if a file cannot be written.
    """
    for module in ("tf2onnx", "onnxruntime"):
        conversion.require(module, "onnx")
    model = conversion.prepare(source, batch=None, without=("ctc",))
    if quantization is not None:
        model = quantizing.prepare(model, quantization)
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
        content, was = proto.SerializeToString(), ""
        if quantization is not None:
            was = f", {quantizing.megabytes(len(content))} before"
            with _quietly():
                content = _quantize(proto)
        worst = conversion.check(model, name, _runner(content))
        target = path.with_name(f"{path.stem}.{name}.onnx")
        found[target] = content
        lines.append(
            f"exported {target} ({quantizing.megabytes(len(content))}{was}; largest difference "
            f"from the Keras model: {worst:.1g})"
        )
    if quantization is not None:
        whole = found.get(path.with_name(f"{path.stem}.{DEFAULT}.onnx"))
        model, line = quantizing.measured(model, quantization, whole and _runner(whole))
        lines.append(line)
    for target, content in found.items():
        files.write_bytes(target, content)
    return [*lines, f"model card: {conversion.write_card(model, path)}"]


def _convert(endpoint: Endpoint) -> Any:
    import tf2onnx

    inputs = list(endpoint.inputs)
    function = tf.function(endpoint.function, input_signature=inputs, autograph=False)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=inputs, opset=OPSET)
    return proto


def _quantize(proto: Any) -> bytes:
    """Quantizes the weights of matrix products to int8, with one scale per output."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    _share_with_loops(proto.graph)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        # The quantizer logs every node, also to standard output.
        with contextlib.redirect_stdout(io.StringIO()):
            quantize_dynamic(
                proto,
                path,
                per_channel=True,
                weight_type=QuantType.QInt8,
                extra_options={"EnableSubgraph": True},
            )
        return path.read_bytes()


def _share_with_loops(graph: Any) -> None:
    """Makes loops read weights directly instead of passing them from iteration to iteration.

    A value that is passed on could change, so it is not quantized.
    """
    weights = {weight.name for weight in graph.initializer}
    for node in graph.node:
        if node.op_type != "Loop":
            continue
        (body,) = (attribute.g for attribute in node.attribute if attribute.name == "body")
        # A loop's inputs are the number of iterations, a condition, and the loop-carried values;
        # its body's outputs begin with the condition, its own with the loop-carried values.
        for place in reversed(range(2, len(node.input))):
            inside, outside = body.input[place].name, node.input[place]
            if outside not in weights or body.output[place - 1].name != inside:
                continue
            for user in body.node:
                user.input[:] = [outside if name == inside else name for name in user.input]
            del node.input[place], body.input[place]
            del body.output[place - 1], node.output[place - 2]


def _unknown_operations(proto: Any) -> list[str]:
    """Returns the operations that tf2onnx could not translate; it leaves them as they are."""
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
    """Silences the tracebacks of libraries; the error raised here says the same in one line."""
    # tf2onnx has its own logger; the quantizer uses the root logger.
    loggers = {logger: logger.level for logger in (logging.getLogger("tf2onnx"), logging.root)}
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), command_line.without_messages():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in loggers.items():
            logger.setLevel(level)
