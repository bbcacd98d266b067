"""What a server does before its first request: warm-up records, and how it batches a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import files
from serving.graph.signatures import DEFAULT
from serving.publish.model_card import FOLDER
from serving.runtime import messages, tensors
from serving.runtime.specs import MAX_BATCH, Signature

RECORDS = "tf_serving_warmup_requests"
"""The name, inside `assets.extra`, that TF Serving looks for."""

BATCHING = "batching_params.pbtxt"
"""The name, inside a version, that TF Serving's flag `--enable_per_model_batching_parameters` looks
for."""

_FRAMES, _SAMPLES = 100, 16_000
"""What a typical request has: frames of a sequence, samples of a second of audio."""

# Sequences of different lengths may meet in a batch, for padding changes nothing.
_BATCHING_PARAMETERS = "\n".join(
    [
        f"max_batch_size {{ value: {MAX_BATCH} }}",
        "batch_timeout_micros { value: 2000 }",
        "max_enqueued_batches { value: 100 }",
        *(f"allowed_batch_sizes: {2**power}" for power in range(MAX_BATCH.bit_length())),
        "pad_variable_length_inputs: true\n",
    ]
)


def write(version: Path, signatures: Mapping[str, Signature]) -> None:
    """Writes warm-up records, one for each signature, and the parameters of batching.

    A server replays the records before it answers anybody.

    Args:
        version: the folder of a version.
        signatures: of the SavedModel in it.
    """
    files.write_text(version / BATCHING, _BATCHING_PARAMETERS)
    extra = version / FOLDER
    extra.mkdir(exist_ok=True)

    def write_records(path: Path) -> None:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in _records(signatures):
                writer.write(record.SerializeToString(deterministic=True))

    files.write_file(extra / RECORDS, write_records)


def _records(signatures: Mapping[str, Signature]) -> Iterator[Any]:
    for name in sorted(signatures, key=lambda name: (name != DEFAULT, name)):
        log = messages.PredictionLog()
        request = log.predict_log.request
        request.model_spec.signature_name = name
        for key, value in sample(signatures[name]).items():
            tensors.fill(request.inputs[key], value, as_content=True)
        yield log


def sample(signature: Signature, batch: int = 1, frames: int = _FRAMES) -> dict[str, np.ndarray]:
    """Makes inputs of the shape of a typical request.

    Args:
        signature: what takes them.
        batch: sequences.
        frames: of each sequence; audio has a second.

    Returns:
        Zeros of each input; the lengths say that all of a sequence counts.
    """
    made = {}
    for name, spec in signature.inputs.items():
        shape = spec.shape or ()
        # A sequence of single numbers is audio.
        time = _SAMPLES if len(shape) == 2 else frames
        free = (batch, time)
        sizes = [free[axis] if size is None else size for axis, size in enumerate(shape)]
        made[name] = np.zeros(sizes, spec.numpy_dtype)
        if shape[1:2] == (None,):
            longest = time
    if "lengths" in made:
        made["lengths"][:] = longest
    return made
