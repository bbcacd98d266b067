"""Files that prepare a server for a model: warm-up records, and parameters of batching."""

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
"""Name of the file inside `assets.extra` that TF Serving looks for."""

BATCHING = "batching_params.pbtxt"
"""Name of the file inside a version that TF Serving reads with
`--enable_per_model_batching_parameters`."""

_FRAMES, _SAMPLES = 100, 16_000
"""Size of a typical request: frames of a sequence, or samples of a second of audio."""

# Sequences of different lengths can share a batch, because padding has no effect.
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

    A server replays the records before it answers requests.

    Args:
        version: folder of a version.
        signatures: signatures of the SavedModel in it.
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
    """Makes inputs with the size of a typical request.

    Args:
        signature: the signature to call.
        batch: number of sequences.
        frames: number of frames in each sequence; audio has one second.

    Returns:
        Zeros for each input, except `lengths`: every sequence has its full length.
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
