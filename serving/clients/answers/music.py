"""Music: how well the model predicts a piece, and which notes it expects next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.errors import InputError, RecordingError, counted
from common.media.midi import LOWEST_PITCH, PITCHES, Roll, pitch_name, read_midi
from serving.clients.answers.report import Picture, Report, sigmoid
from serving.clients.checks import signature_of
from serving.clients.predictor import Array, Predictor
from serving.clients.ragged import predict_sequences
from serving.runtime.specs import DEFAULT_SIGNATURE

_SHOWN = 8


def report(predictor: Predictor, path: Path, signature: str | None = None) -> Report:
    """Scores a MIDI file with a music model, and reports the notes that it expects next.

    Args:
        predictor: the model.
        path: the MIDI file.
        signature: name of the signature; `serving_default` if None.

    Raises:
        InputError: if the file is not MIDI with a piano roll, or the model is not of 88 pitches.
        ServingError: if the model does not answer.
    """
    name = signature or DEFAULT_SIGNATURE
    spec = signature_of("--model", predictor.signatures(), name)
    sequence = spec.inputs.get("sequence")
    if sequence is None or sequence.shape is None or sequence.shape[-1] != PITCHES:
        features = None if sequence is None else sequence.shape
        raise InputError(
            f"--model: expected one of music, whose sequence has {PITCHES} features, for {path}. "
            f"Received: {features or ', '.join(spec.inputs)}"
        )
    try:
        piece = read_midi(path.read_bytes())
    except RecordingError as error:
        raise InputError(f"--input: expected a MIDI file. Received: {path}, {error}") from error
    roll = piece.roll
    (outputs,) = predict_sequences(predictor, [roll], name)
    logits = outputs["logits"]
    nll = negative_log_likelihood(logits, roll)
    hardest = int(np.argmax(nll))
    sounding = " ".join(map(_name, np.flatnonzero(roll[hardest + 1]).tolist()))
    chances = sigmoid(logits)
    likely = np.argsort(-chances[-1], kind="stable")[:_SHOWN].tolist()
    lines = (
        f"{path}: {len(roll)} quarter notes" + (f"; {counted(piece.odd)}" if piece.odd else ""),
        f"NLL: {nll.mean():.2f} nats per frame, mean of frames 2 to {len(roll)}",
        f"least expected: frame {hardest + 2} ({sounding or 'silence'}), {nll[hardest]:.2f} nats",
        "next: " + ", ".join(f"{_name(column)} {chances[-1, column]:.2f}" for column in likely),
    )
    octaves = {column: _name(column) for column in range(24 - LOWEST_PITCH, PITCHES, 12)}
    picture = Picture(chances, "probability in the next frame", "quarter note", "pitch", octaves)
    return Report(lines, outputs, picture)


def _name(column: int) -> str:
    return pitch_name(LOWEST_PITCH + column)


def negative_log_likelihood(logits: Array, roll: Roll) -> npt.NDArray[np.float64]:
    """Computes the negative log-likelihood of every frame but the first, in nats.

    For the frame after t it is Σ_j [ln(1 + exp(z_tj)) − z_tj · x_(t+1)j]: the pitches j are
    independent of each other.

    Args:
        logits: z, `[frames, 88]`; those at t predict the frame after t.
        roll: x, `[frames, 88]`.

    Returns:
        Array `[frames - 1]`.
    """
    z = logits[:-1].astype(np.float64)
    return np.asarray((np.logaddexp(0.0, z) - z * roll[1:]).sum(axis=1))
