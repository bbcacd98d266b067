"""Samples a piece of music frame by frame, from a model that is run one step at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np

from common.errors import InputError
from common.media.midi import HIGHEST_PITCH, LOWEST_PITCH, PITCHES, Roll
from serving.clients.predictor import Predictor
from serving.clients.streaming import Stream
from serving.composer import chords

TONIC = (72, 76, 79, 84)
"""MIDI pitches of the first chord of a piece without a prompt: C5 E5 G5 C6.

It is the most frequent first chord of the chorales that the models were trained on (26 of 229).
"""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the sampler.

    Attributes:
        frames: number of frames to compose after the prompt; in chorales, quarter notes.
        temperature: divisor of the logits, above 0.
        voices: largest number of notes in a frame.
        seed: the same seed gives the same piece.
    """

    frames: int = 64
    temperature: float = 1.0
    voices: int = 4
    seed: int = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """A composed piece.

    Attributes:
        roll: uint8 `[frames, 88]`, starting with the prompt.
        given: number of frames in the prompt.
        nll: negative log-likelihood of the composed frames under the unmodified model (temperature
            1, any number of voices), in nats per frame.
    """

    roll: Roll
    given: int
    nll: float


def chord(pitches: Collection[int] = TONIC) -> Roll:
    """Makes a prompt of one frame, with a chord.

    Args:
        pitches: MIDI pitches of the chord.

    Raises:
        ValueError: if there are no pitches, or one is not on a piano.
    """
    if not pitches or not all(LOWEST_PITCH <= pitch <= HIGHEST_PITCH for pitch in pitches):
        raise ValueError(f"Expected pitches of a piano. Received: {pitches}")
    roll = np.zeros((1, PITCHES), np.uint8)
    roll[0, [pitch - LOWEST_PITCH for pitch in pitches]] = 1
    return roll


def compose(predictor: Predictor, prompt: Roll, settings: Settings) -> Piece:
    """Composes a piece: samples every frame given all frames before it.

    Args:
        predictor: a served or local music model with the signatures `chunk` and `step`.
        prompt: uint8 `[frames, 88]`, the beginning of the piece; at least one frame.
        settings: settings of the sampler.

    Raises:
        InputError: if the model lacks these signatures, or does not have 88 pitches.
    """
    _require_music(predictor)
    stream = Stream(predictor)
    generator = np.random.default_rng(settings.seed)
    logits = stream.chunk(prompt[None].astype(np.float32))["logits"][0, -1]
    frames, total = [], 0.0
    for _ in range(settings.frames):
        probability = chords.probabilities(logits, settings.temperature)
        frame = chords.draw(probability, settings.voices, generator)
        total += chords.nll(logits, frame)
        frames.append(frame)
        logits = stream.step(frame[None].astype(np.float32))["logits"][0]
    return Piece(np.stack([*prompt, *frames]), len(prompt), total / settings.frames)


def _require_music(predictor: Predictor) -> None:
    signatures = predictor.signatures()
    if not {"chunk", "step"} <= signatures.keys():
        raise InputError(
            "model: expected the signatures chunk and step, which a network that reads forward "
            f"only has. Received: {', '.join(sorted(signatures))}"
        )
    step = signatures["step"]
    for where, spec in (("frame", step.inputs["frame"]), ("logits", step.outputs["logits"])):
        # A server may report the last dimension as free.
        width = spec.shape[-1] if spec.shape else None
        if width not in (None, PITCHES):
            raise InputError(
                f"model: expected a music model, {PITCHES} pitches in {where} of the signature "
                f"step. Received: {width}"
            )
