"""Arrays in an `.npz` file: the inputs of a signature, or sequences."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from common.errors import InputError, reason
from serving.clients.answers.report import Picture, Report
from serving.clients.checks import signature_of
from serving.clients.predictor import Array, Predictor
from serving.clients.ragged import predict_sequences
from serving.runtime.specs import DEFAULT_SIGNATURE

_SHOWN = 60
_LARGEST = 2**31
"""Largest total size of the arrays, in bytes."""


def report(predictor: Predictor, path: Path, signature: str | None = None) -> Report:
    """Runs a model on arrays from a file.

    Args:
        predictor: the model.
        path: the `.npz` file. If its arrays have the names of the signature's inputs, they are the
            inputs; otherwise each array is a sequence `[time, ...]`, and the outputs are named
            `OUTPUT_NAME`, where `NAME` is the name of the sequence.
        signature: name of the signature; `serving_default` if None.

    Raises:
        InputError: if the file is not a usable `.npz` file.
        ServingError: if the model does not answer, or expects other inputs.
    """
    name = signature or DEFAULT_SIGNATURE
    spec = signature_of("--model", predictor.signatures(), name)
    arrays = _read(path)
    if arrays.keys() == spec.inputs.keys():
        outputs = predictor.predict(arrays, name)
        logits = outputs["logits"][0] if len(outputs.get("logits", ())) else None
    else:
        answers = predict_sequences(predictor, list(arrays.values()), name)
        outputs = {
            f"{output}_{sequence}": np.asarray(value, object if isinstance(value, bytes) else None)
            for sequence, answer in zip(arrays, answers, strict=True)
            for output, value in answer.items()
        }
        logits = answers[0].get("logits")
    lines = tuple(f"{key}: {_told(value)}" for key, value in outputs.items())
    picture = None
    if logits is not None and logits.ndim == 2 and logits.size:
        picture = Picture(logits, "logit", "frame", "output", {})
    return Report(lines, outputs, picture)


def _read(path: Path) -> dict[str, Array]:
    content = path.read_bytes()
    if content.startswith(b"\x93NUMPY"):
        raise InputError(f"--input: expected an .npz file. Received: {path}, one array")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _LARGEST:
            raise ValueError(f"{size:,} bytes when unpacked, at most {_LARGEST:,}")
        with np.load(io.BytesIO(content), allow_pickle=False) as loaded:
            arrays = dict(loaded)
    except Exception as error:
        # Damaged files fail in zlib, zipfile, tokenize or NumPy, with many kinds of errors.
        problem = f"{path}, damaged or other content ({reason(error)})"
        raise InputError(f"--input: expected an .npz file. Received: {problem}") from error
    if not arrays:
        raise InputError(f"--input: expected an .npz file with arrays. Received: {path}, without")
    return arrays


def _told(value: Array) -> str:
    kind = "string" if value.dtype == object else str(value.dtype)
    told = f"{kind} {list(value.shape)}"
    if value.dtype == object:
        text = " ".join(one.decode("utf-8", "replace") for one in value.ravel().tolist())
        return f"{told} {text[:_SHOWN]}{'...' if len(text) > _SHOWN else ''}"
    numbers = value[~np.isnan(value)]
    return f"{told} from {numbers.min():.4g} to {numbers.max():.4g}" if numbers.size else told
