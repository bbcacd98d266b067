"""The process that records a corpus: `python -m tuner.tasks.speech.synthesis.recording`.

It reads a plan from standard input, and ends when it is done or when its parent has ended. Every
speaker is recorded in a fork of this process, made before eSpeak NG has spoken: what it speaks
depends on what it spoke before, and so a speaker sounds the same regardless of which others are
recorded, in which order, and on how many cores.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import signal

from common.errors import InputError
from common.media import audio
from tuner.tasks.speech import labels
from tuner.tasks.speech.labels import Segment
from tuner.tasks.speech.phones import SILENCE
from tuner.tasks.speech.synthesis import espeak
from tuner.tasks.speech.synthesis.espeak import Espeak
from tuner.tasks.speech.synthesis.mnemonics import Unmapped
from tuner.tasks.speech.synthesis.segments import segments
from tuner.tasks.speech.synthesis.voices import Voice

REFUSED = 2
"""Exit status after a line on standard error that is meant for the user."""

_COMMON_RATE = math.gcd(espeak.SAMPLE_RATE, audio.SAMPLE_RATE)
_UP, _DOWN = audio.SAMPLE_RATE // _COMMON_RATE, espeak.SAMPLE_RATE // _COMMON_RATE

_PEAK = (3_000, 9_000)
_NOISE_STD = (4, 20)
_SILENCE_SECONDS = (0.05, 0.25)
"""Ranges of what varies between recordings; the silence is before and after the speech."""


@dataclasses.dataclass(frozen=True)
class Recording:
    """A recording: its text, int16 `[samples]` at 16 kHz, and the segments that tile them."""

    text: str
    samples: npt.NDArray[np.int16]
    segments: tuple[Segment, ...]

    def write(self, folder: Path, name: str) -> None:
        """Writes audio, labels and text in TIMIT's formats."""
        audio.write_sphere(folder / f"{name}.WAV", self.samples)
        labels.write(folder / f"{name}.PHN", self.segments)
        (folder / f"{name}.TXT").write_text(f"0 {len(self.samples)} {self.text}\n", "ascii")


def record(engine: Espeak, voice: Voice, text: str) -> Recording:
    """Records a text spoken by a voice, with silence around it and noise over it.

    Raises the exceptions of `espeak.Espeak.speak` and `segments.segments`.
    """
    speech = engine.speak(voice, text)
    spoken = segments(speech, voice.accent)
    numbers = random.Random(f"{voice.name} {text}")
    sound = signal.resample_poly(speech.samples.astype(np.float64), _UP, _DOWN)
    sound *= numbers.uniform(*_PEAK) / max(1.0, float(np.abs(sound).max()))
    before, after = (
        round(audio.SAMPLE_RATE * numbers.uniform(*_SILENCE_SECONDS)) for _ in range(2)
    )
    sound = np.pad(sound, (before, after))
    std = numbers.uniform(*_NOISE_STD)
    noise = np.random.default_rng(numbers.getrandbits(64)).normal(scale=std, size=len(sound))
    samples = np.clip(np.round(sound + noise), -32768, 32767).astype(np.int16)
    return Recording(text, samples, _placed(spoken, before, len(samples)))


def _placed(spoken: tuple[Segment, ...], before: int, length: int) -> tuple[Segment, ...]:
    """Converts segments to 16 kHz and places them after the leading silence, labeled `h#`."""
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


@dataclasses.dataclass(frozen=True)
class Session:
    """What one speaker says: sentences by the names of their files, and an absolute folder."""

    folder: str
    voice: Voice
    texts: Mapping[str, str]


def plan(sessions: list[Session], processes: int) -> str:
    """Serializes what this process is to record, and how many speakers at once."""
    fields = [dataclasses.asdict(session) for session in sessions]
    return json.dumps({"processes": processes, "sessions": fields})


def _session(fields: Mapping[str, Any]) -> Session:
    return Session(**{**fields, "voice": Voice(**fields["voice"])})


def _hold(engine: Espeak, session: Session) -> int:
    """Records one speaker; returns the exit status of its process."""
    try:
        for name, text in session.texts.items():
            record(engine, session.voice, text).write(Path(session.folder), name)
    except (Unmapped, InputError) as error:
        whose = f"eSpeak NG {engine.version}: " if isinstance(error, Unmapped) else ""
        print(f"{whose}{error}", file=sys.stderr)
        return REFUSED
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _wait() -> int:
    _, status = os.wait()
    return os.waitstatus_to_exitcode(status)


def main() -> int:
    """Records the plan from standard input, and prints eSpeak NG's version."""
    parent = os.getppid()
    wanted = json.load(sys.stdin)
    try:
        engine = Espeak()
    except InputError as error:
        print(error, file=sys.stderr)
        return REFUSED
    running = problem = 0
    for fields in wanted["sessions"]:
        if running == wanted["processes"]:
            problem = problem or _wait()
            running -= 1
        if problem or os.getppid() != parent:
            break
        if os.fork() == 0:
            os._exit(_hold(engine, _session(fields)))
        running += 1
    for _ in range(running):
        status = _wait()
        problem = problem or status
    if not problem:
        print(engine.version)
    return problem


if __name__ == "__main__":
    sys.exit(main())
