"""Converts a spoken text to TIMIT's segments: where each phone begins and ends.

eSpeak NG marks a stop where its burst begins, and counts the silence before it - the closure - as
part of the previous phoneme; the closure of a voiced stop lies within the stop. In TIMIT, closure
and burst are separate segments, so both are located in the sound.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import ndimage, signal

from tuner.tasks.speech.labels import Segment
from tuner.tasks.speech.phones import SILENCE
from tuner.tasks.speech.synthesis import mnemonics
from tuner.tasks.speech.synthesis.espeak import SAMPLE_RATE, Speech

PAUSE = "pau"
CLOSURES = {
    "p": "pcl", "b": "bcl", "t": "tcl", "d": "dcl", "k": "kcl", "g": "gcl", "ch": "tcl", "jh": "dcl"
}
"""The closure of each stop and affricate."""

_FIRST_SHARE = 0.65
"""Share of its first phone in the time of a diphthong."""

_PIECE = 66
"""Samples per value of a sound's level, 3 ms."""

_PITCH_PERIOD = 5
"""In pieces: closing shorter gaps bridges the quiet between two pulses of the deepest voice."""

_QUIET = 2.0
"""How far, in nepers, a closure is below the phoneme before it."""

_RISE = 1.0
"""How far, in nepers, a burst is at least above its closure."""

_SHORTEST_CLOSURE, _LATEST_MARK = 3, 3
"""In pieces: the shortest closure, and how late after the start of the burst a mark may be."""

_BURST_HERTZ = 2_500
"""With a closed mouth, a voice has no energy above this frequency; bursts do."""

_HIGH_PASS = signal.butter(4, _BURST_HERTZ, "highpass", fs=SAMPLE_RATE, output="sos")


@dataclasses.dataclass
class _Span:
    """A phoneme as marked by eSpeak NG, in samples.

    Attributes:
        start: first sample.
        end: sample after the last one.
        phones: phones that it stands for; empty for silence.
        burst: sample at which the burst begins; None if there is no closure.
    """

    start: int
    end: int
    phones: tuple[str, ...]
    burst: int | None = None


def segments(speech: Speech, accent: str) -> tuple[Segment, ...]:
    """Finds the segments of a text that was spoken in an accent.

    Returns:
        Segments that tile the audio, in samples at `SAMPLE_RATE`; silence is `h#` at the ends and
        `pau` in between.

    Raises:
        mnemonics.Unmapped: if a phoneme has no known phone.
    """
    spans = _spans(speech, accent)
    sound = speech.samples.astype(np.float64)
    level = _level(sound)
    for before, span in itertools.pairwise(spans):
        if before.phones and span.phones and (span.phones[0] in CLOSURES or span.phones == ("q",)):
            _take_silence(before, span, level)
    high_level = _level(signal.sosfilt(_HIGH_PASS, sound))
    for span in spans:
        if span.burst is None and span.phones and span.phones[0] in CLOSURES:
            span.burst = _burst(span, high_level)
    found = [segment for span in spans for segment in _cut(span)]
    ends = (0, len(found) - 1)
    return tuple(
        dataclasses.replace(segment, phone=SILENCE)
        if segment.phone == PAUSE and index in ends
        else segment
        for index, segment in enumerate(found)
        if segment.start < segment.end
    )


def _spans(speech: Speech, accent: str) -> list[_Span]:
    length = len(speech.samples)
    starts = [min(mark.sample, length) for mark in speech.marks]
    spans = [_Span(0, starts[0], ())]
    for mark, start, end in zip(speech.marks, starts, [*starts[1:], length], strict=True):
        plain = mnemonics.plain(mark.mnemonic)
        phones = mnemonics.phones(plain, accent) if plain not in ("", mnemonics.GLIDE) else ()
        if start == end:
            continue
        if plain == mnemonics.GLIDE or not (phones or spans[-1].phones):
            spans[-1].end = end
        else:
            spans.append(_Span(start, end, phones))
    return [span for span in spans if span.start < span.end]


def _level(sound: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Measures the level of each piece, `ln(1 + RMS)`, and bridges the gaps between pulses."""
    pieces = np.resize(np.append(sound, np.zeros(_PIECE)), (len(sound) // _PIECE + 1, _PIECE))
    level = np.log1p(np.sqrt(np.mean(pieces**2, axis=1)))
    return np.asarray(ndimage.grey_closing(level, _PITCH_PERIOD))


def _take_silence(before: _Span, stop: _Span, level: npt.NDArray[np.float64]) -> None:
    """Moves the silence at the end of a span to the stop after it."""
    sounding = before.start if before.burst is None else before.burst
    first, last = sounding // _PIECE, stop.start // _PIECE
    if last - first < 2 * _SHORTEST_CLOSURE:
        return
    quiet = level < np.median(level[first : (first + last) // 2]) - _QUIET
    burst = last
    while burst > last - _LATEST_MARK and not quiet[burst - 1]:
        burst -= 1
    closure = burst
    while closure > first and quiet[closure - 1]:
        closure -= 1
    if burst - closure >= _SHORTEST_CLOSURE:
        before.end = stop.start = closure * _PIECE
        stop.burst = burst * _PIECE


def _burst(stop: _Span, high_level: npt.NDArray[np.float64]) -> int | None:
    """Finds the burst of a stop with a voiced closure: the high frequencies return."""
    first = -(-stop.start // _PIECE)
    levels = high_level[first : stop.end // _PIECE]
    if len(levels) < 2 * _SHORTEST_CLOSURE:
        return None
    low, high = np.min(levels[: len(levels) // 2]), np.max(levels[len(levels) // 3 :])
    if high - low < _RISE:
        return None
    above = levels >= (low + high) / 2
    closed = int(np.argmin(levels[: len(levels) // 2]))
    risen = closed + int(np.argmax(above[closed:]))
    return (first + risen) * _PIECE if risen >= _SHORTEST_CLOSURE else None


def _cut(span: _Span) -> Iterable[Segment]:
    """Cuts a span into segments; some may be empty."""
    if not span.phones:
        yield Segment(span.start, span.end, PAUSE)
    elif span.burst is not None and span.phones[0] in CLOSURES:
        yield Segment(span.start, span.burst, CLOSURES[span.phones[0]])
        yield Segment(span.burst, span.end, span.phones[0])
    elif len(span.phones) == 2:
        middle = span.start + round(_FIRST_SHARE * (span.end - span.start))
        yield Segment(span.start, middle, span.phones[0])
        yield Segment(middle, span.end, span.phones[1])
    else:
        yield Segment(span.start, span.end, span.phones[0])
