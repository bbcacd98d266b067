"""Handwriting: what it says."""

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
    """Asks a model of handwriting about a file of pen strokes.

    Args:
        predictor: the model.
        path: InkML, or a stroke file of IAM-OnDB.
        signature: of the model; `strokes` if None.
        scale: what coordinates are multiplied by, to have the unit of the model's training data.

    Raises:
        InputError: if it is no such file.
        ServingError: if the model gives no answer, or takes no strokes.
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
