"""A piece of music, drawn frame by frame from a model that is asked for one step at a time."""

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
"""MIDI pitches of the chord that a piece without a prompt begins with: C5 E5 G5 C6.

No chord begins more of the chorales that the models learned from (26 of 229).
"""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to draw.

    Attributes:
        frames: frames to compose after the prompt; in chorales, quarter notes.
        temperature: above 0; what logits are divided by.
        voices: most notes of a frame.
        seed: the same seed gives the same piece.
    """

    frames: int = 64
    temperature: float = 1.0
    voices: int = 4
    seed: int = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """What was composed.

    Attributes:
        roll: uint8 `[frames, 88]`, the prompt first.
        given: how many frames are the prompt.
        nll: of the composed frames under the model as it is (temperature 1, any number of voices),
            in nats per frame.
    """

    roll: Roll
    given: int
    nll: float


def chord(pitches: Collection[int] = TONIC) -> Roll:
    """Makes the prompt of a piece that begins with a chord: one frame.

    Args:
        pitches: MIDI pitches of the chord.

    Raises:
        ValueError: if there are none, or one is no key of a piano.
    """
    if not pitches or not all(LOWEST_PITCH <= pitch <= HIGHEST_PITCH for pitch in pitches):
        raise ValueError(f"Expected pitches of a piano. Received: {pitches}")
    roll = np.zeros((1, PITCHES), np.uint8)
    roll[0, [pitch - LOWEST_PITCH for pitch in pitches]] = 1
    return roll


def compose(predictor: Predictor, prompt: Roll, settings: Settings) -> Piece:
    """Draws a piece: every frame from the model's probabilities after all frames before it.

    Args:
        predictor: a served or local music model with the signatures `chunk` and `step`.
        prompt: uint8 `[frames, 88]`, what the piece begins with; at least one frame.
        settings: how to draw.

    Raises:
        InputError: if the model has no such signatures, or is no model of 88 pitches.
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
        # A server's answer may leave the last size open.
        width = spec.shape[-1] if spec.shape else None
        if width not in (None, PITCHES):
            raise InputError(
                f"model: expected a music model, {PITCHES} pitches in {where} of the signature "
                f"step. Received: {width}"
            )
