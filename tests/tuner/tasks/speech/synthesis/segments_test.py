from __future__ import annotations

import itertools

import numpy as np
import pytest

from tuner.tasks.speech.synthesis.espeak import SAMPLE_RATE, Mark, Speech
from tuner.tasks.speech.synthesis.mnemonics import Unmapped
from tuner.tasks.speech.synthesis.segments import segments

TOLERANCE = 0.004


def _vowel(seconds: float) -> np.ndarray:
    """Pulses of a voice at 100 Hz in a formant of 700 Hz."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return 8000 * np.exp(-300 * (time % 0.01)) * np.sin(2 * np.pi * 700 * (time % 0.01))


def _closed_voice(seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return 2000 * np.sin(2 * np.pi * 100 * time)


def _silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * SAMPLE_RATE))


def _noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(5).normal(scale=1500, size=round(seconds * SAMPLE_RATE))


def _speech(parts: list[np.ndarray], marks: dict[float, str]) -> Speech:
    samples = np.concatenate(parts).astype(np.int16)
    return Speech(
        samples, tuple(Mark(round(time * SAMPLE_RATE), name) for time, name in marks.items())
    )


def _times(speech: Speech, accent: str = "en-us") -> list[tuple[str, float]]:
    found = segments(speech, accent)
    assert found[0].start == 0 and found[-1].end == len(speech.samples)
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
    assert all(one.start < one.end for one in found)
    return [(segment.phone, segment.start / SAMPLE_RATE) for segment in found]


def _assert_near(found: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    assert [phone for phone, _ in found] == [phone for phone, _ in expected]
    assert [time for _, time in found] == pytest.approx(
        [time for _, time in expected], abs=TOLERANCE
    )


@pytest.mark.parametrize(("mnemonic", "closure", "burst"), [("k", "kcl", "k"), ("tS", "tcl", "ch")])
@pytest.mark.parametrize("late", [0, 0.004])
def test_the_silence_before_a_burst_is_its_closure(mnemonic, closure, burst, late):
    parts = [_silence(0.02), _vowel(0.15), _silence(0.05), _noise(0.04), _vowel(0.1)]
    marks = {0.02: "'a", 0.22 + late: mnemonic, 0.26: "I"}

    _assert_near(
        _times(_speech(parts, marks)),
        [("h#", 0), ("ae", 0.02), (closure, 0.17), (burst, 0.22), ("ih", 0.26)],
    )


def test_the_voiced_closure_lies_within_the_stop():
    parts = [_silence(0.02), _vowel(0.15), _closed_voice(0.05), _noise(0.025), _vowel(0.1)]

    _assert_near(
        _times(_speech(parts, {0.02: "V", 0.17: "b", 0.245: "i"})),
        [("h#", 0), ("ah", 0.02), ("bcl", 0.17), ("b", 0.22), ("iy", 0.245)],
    )


def test_a_voiced_closure_may_buzz():
    time = np.arange(round(0.06 * SAMPLE_RATE)) / SAMPLE_RATE % 0.012
    buzz = 600 * np.exp(-800 * time) * np.sin(2 * np.pi * 3000 * time)
    parts = [_vowel(0.15), buzz, _noise(0.03), _vowel(0.1)]

    _assert_near(
        _times(_speech(parts, {0: "V", 0.15: "dZ", 0.24: "i"})),
        [("ah", 0), ("dcl", 0.15), ("jh", 0.21), ("iy", 0.24)],
    )


def test_two_stops_have_a_closure_each():
    parts = [_vowel(0.15), _silence(0.05), _noise(0.03), _silence(0.03), _noise(0.03), _vowel(0.1)]

    _assert_near(
        _times(_speech(parts, {0: "E", 0.2: "p", 0.26: "t", 0.29: "@"})),
        [("eh", 0), ("pcl", 0.15), ("p", 0.2), ("tcl", 0.23), ("t", 0.26), ("ax", 0.29)],
    )


@pytest.mark.parametrize("echo", [0, 0.02])
def test_a_stop_after_a_pause_is_all_burst(echo):
    pause = [echo * _vowel(0.12), _silence(0.08)]
    parts = [_vowel(0.15), *pause, _noise(0.04), _vowel(0.1), _silence(0.1)]
    marks = {0: "E", 0.15: "_:", 0.3: "_", 0.35: "t", 0.39: "@", 0.49: "_:"}

    _assert_near(
        _times(_speech(parts, marks)),
        [("eh", 0), ("pau", 0.15), ("t", 0.35), ("ax", 0.39), ("h#", 0.49)],
    )


def test_a_stop_after_a_sound_without_silence_is_all_burst():
    parts = [_vowel(0.15), _noise(0.04), _vowel(0.1)]

    _assert_near(
        _times(_speech(parts, {0: "E", 0.15: "t", 0.19: "@"})),
        [("eh", 0), ("t", 0.15), ("ax", 0.19)],
    )


def test_a_glottal_stop_has_the_silence_before_it_and_its_own():
    parts = [_vowel(0.15), _silence(0.06), _closed_voice(0.1)]

    _assert_near(
        _times(_speech(parts, {0: "V", 0.19: "?", 0.21: "n-"})),
        [("ah", 0), ("q", 0.15), ("en", 0.21)],
    )


def test_silence_before_a_fricative_stays_where_it_was():
    parts = [_vowel(0.15), _silence(0.02), _noise(0.1)]

    _assert_near(_times(_speech(parts, {0: "V", 0.17: "s"})), [("ah", 0), ("s", 0.17)])


def test_a_diphthong_of_two_labels_is_cut_at_two_thirds_of_its_time():
    parts = [_vowel(0.2), _noise(0.1)]

    _assert_near(
        _times(_speech(parts, {0: "'A@", 0.2: "s"})), [("aa", 0), ("r", 0.13), ("s", 0.2)]
    )


def test_a_glide_belongs_to_the_vowel_before_it():
    parts = [_vowel(0.3)]

    _assert_near(
        _times(_speech(parts, {0: "I2", 0.1: ";", 0.15: "oU"})), [("ix", 0), ("ow", 0.15)]
    )


def test_empty_phonemes_are_left_out():
    marks = [(0, "_"), (1000, "E"), (1000, "_"), (2205, "V"), (2205, "I"), (6615, "_")]

    speech = Speech(_vowel(0.3).astype(np.int16), tuple(Mark(*mark) for mark in marks))

    _assert_near(_times(speech), [("h#", 0), ("ih", 0.1)])


def test_an_unmapped_phoneme_is_never_silent():
    with pytest.raises(Unmapped, match="Received: y@ in en"):
        segments(_speech([_vowel(0.2)], {0: "V", 0.1: "'y@"}), "en")
