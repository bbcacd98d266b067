"""One utterance: what eSpeak NG speaks, as TIMIT would have recorded it."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import signal

from common.media import sphere
from tuner.tasks.speech import labels
from tuner.tasks.speech.labels import Segment
from tuner.tasks.speech.phones import SILENCE
from tuner.tasks.speech.synthesis import espeak
from tuner.tasks.speech.synthesis.espeak import Espeak
from tuner.tasks.speech.synthesis.segments import segments
from tuner.tasks.speech.synthesis.voices import Voice

_COMMON_RATE = math.gcd(espeak.SAMPLE_RATE, sphere.SAMPLE_RATE)
_UP, _DOWN = sphere.SAMPLE_RATE // _COMMON_RATE, espeak.SAMPLE_RATE // _COMMON_RATE

_PEAK = (3_000, 9_000)
_NOISE_STD = (4, 20)
_SILENCE_SECONDS = (0.05, 0.25)
"""Ranges of what differs between recordings; the silence is that before and that after."""


@dataclasses.dataclass(frozen=True)
class Recording:
    """An utterance.

    Attributes:
        text: what is said.
        samples: int16 `[samples]` at 16 kHz.
        segments: who tile the samples.
    """

    text: str
    samples: npt.NDArray[np.int16]
    segments: tuple[Segment, ...]

    def write(self, folder: Path, name: str) -> None:
        """Writes audio, labels and text as TIMIT has them."""
        sphere.write(folder / f"{name}.WAV", self.samples)
        labels.write(folder / f"{name}.PHN", self.segments)
        (folder / f"{name}.TXT").write_text(f"0 {len(self.samples)} {self.text}\n", "ascii")


def record(engine: Espeak, voice: Voice, text: str) -> Recording:
    """Lets a voice speak a text, with silence around it and noise over it.

    Raises:
        mnemonics.Unmapped: if it holds a phoneme for which no phone is known.
        InputError: if this eSpeak NG does not have the voice.
    """
    speech = engine.speak(voice, text)
    spoken = segments(speech, voice.accent)
    numbers = random.Random(f"{voice.name} {text}")
    sound = signal.resample_poly(speech.samples.astype(np.float64), _UP, _DOWN)
    sound *= numbers.uniform(*_PEAK) / max(1.0, float(np.abs(sound).max()))
    before, after = (
        round(sphere.SAMPLE_RATE * numbers.uniform(*_SILENCE_SECONDS)) for _ in range(2)
    )
    sound = np.pad(sound, (before, after))
    std = numbers.uniform(*_NOISE_STD)
    noise = np.random.default_rng(numbers.getrandbits(64)).normal(scale=std, size=len(sound))
    samples = np.clip(np.round(sound + noise), -32768, 32767).astype(np.int16)
    return Recording(text, samples, _placed(spoken, before, len(samples)))


def _placed(spoken: tuple[Segment, ...], before: int, length: int) -> tuple[Segment, ...]:
    """Brings segments to 16 kHz and behind the silence before, which becomes `h#` with them."""
    bounds = [before + round(segment.start * _UP / _DOWN) for segment in spoken]
    phones = [segment.phone for segment in spoken]
    if phones[0] == SILENCE:
        bounds[0] = 0
    else:
        bounds, phones = [0, *bounds], [SILENCE, *phones]
    if phones[-1] != SILENCE:
        bounds, phones = [*bounds, before + round(spoken[-1].end * _UP / _DOWN)], [*phones, SILENCE]
    ends = [*bounds[1:], length]
    return tuple(
        Segment(start, end, phone)
        for start, end, phone in zip(bounds, ends, phones, strict=True)
        if start < end
    )
