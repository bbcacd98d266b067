"""Handwriting: the transcription of pen strokes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.errors import InputError, RecordingError
from common.media import ink
from serving.clients.answers.report import Picture, Report, softmax
from serving.clients.predictor import Predictor
from serving.clients.ragged import predict_sequences

SIGNATURE = "strokes"


def report(
    predictor: Predictor, path: Path, signature: str | None = None, *, scale: float = 1.0
) -> Report:
    """Transcribes a file of pen strokes with a handwriting model.

    Args:
        predictor: the model.
        path: InkML, or a stroke file of IAM-OnDB.
        signature: name of the signature; `strokes` if None.
        scale: factor that converts coordinates to the units of the model's training data.

    Raises:
        InputError: if the file has no pen strokes, or the model has no output `text`.
        ServingError: if the model does not answer, or does not accept strokes.
    """
    try:
        points = ink.read(str(path), path.read_bytes())
    except RecordingError as error:
        raise InputError(f"--input: expected pen strokes. Received: {path}, {error}") from error
    points = points * np.array([scale, scale, 1, 1], np.float32)
    (outputs,) = predict_sequences(predictor, [points], signature or SIGNATURE)
    if "text" not in outputs:
        raise InputError(
            f"--model: expected one that was exported with labels, and so has the output text. "
            f"Received: {', '.join(outputs)}"
        )
    strokes = int(points[:, 3].sum())
    lines = (
        f"{path}: {strokes} strokes, {len(points)} points, {points[-1, 2]:.2f} s",
        f"text: {outputs['text'].decode()}",
    )
    chances = softmax(outputs["logits"])
    names = {chances.shape[-1] - 1: "blank"}
    return Report(lines, outputs, Picture(chances, "probability", "frame", "character", names))
