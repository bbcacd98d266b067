"""Speech: which phone is heard when."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.errors import InputError, RecordingError
from common.media import audio
from serving.clients.answers.report import Picture, Report, softmax
from serving.clients.predictor import Predictor
from serving.clients.ragged import predict_sequences

SIGNATURE = "audio"

STEP_SECONDS = 0.01
"""Time from one frame to the next, as in `zoo.frontends.MFCC` and the paper."""


def report(predictor: Predictor, path: Path, signature: str | None = None) -> Report:
    """Classifies the frames of an audio file with a speech model.

    Args:
        predictor: the model.
        path: a file in a format that `common.media.audio` reads.
        signature: name of the signature; `audio` if None.

    Raises:
        InputError: if the file is not audio of one channel.
        ServingError: if the model does not answer, or does not accept audio.
    """
    try:
        samples = audio.read(str(path))
    except RecordingError as error:
        raise InputError(f"--input: expected an audio file. Received: {path}, {error}") from error
    sequences = [samples.astype(np.float32)]
    (outputs,) = predict_sequences(predictor, sequences, signature or SIGNATURE)
    chances = softmax(outputs["logits"])
    best = chances.argmax(axis=-1) if chances.size else np.zeros(0, int)
    if "classes" in outputs:
        classes = [name.decode() for name in outputs["classes"]]
    else:
        classes = [f"class {one}" for one in best]
    names = dict(zip(best.tolist(), classes, strict=True))
    lines = (
        f"{path}: {len(samples) / audio.SAMPLE_RATE:.2f} s, {len(classes)} frames",
        *(f"{start:8.2f} {end:8.2f}  {name}" for start, end, name in segments(classes)),
    )
    picture = Picture(chances, "probability", "seconds", "class", names, STEP_SECONDS)
    return Report(lines, outputs, picture)


def segments(classes: Sequence[str]) -> list[tuple[float, float, str]]:
    """Joins consecutive frames of the same class.

    Returns:
        Start and end in seconds, and the class, of each segment.

    Example:
        >>> segments(["h#", "h#", "iy"])
        [(0.0, 0.02, 'h#'), (0.02, 0.03, 'iy')]
    """
    found = []
    start = 0
    for name, frames in itertools.groupby(classes):
        end = start + len(list(frames))
        found.append((start * STEP_SECONDS, end * STEP_SECONDS, name))
        start = end
    return found
