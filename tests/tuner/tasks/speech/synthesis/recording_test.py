from __future__ import annotations

import numpy as np
import pytest

from common.media import audio
from tuner.tasks.speech import labels
from tuner.tasks.speech.synthesis import recording, voices
from tuner.tasks.speech.synthesis.espeak import Mark, Speech
from tuner.tasks.speech.synthesis.recording import record


class _Engine:
    """Speaks half a second: a vowel until 0.2 seconds, then silence."""

    def __init__(self, *marks: tuple[int, str]) -> None:
        sound = np.zeros(11025, np.int16)
        sound[:4410] = 9000 * np.sin(np.arange(4410))
        self.speech = Speech(sound, tuple(Mark(*mark) for mark in marks))

    def speak(self, voice, text):
        return self.speech


VOICE = voices.voices("train", 1)[0]


@pytest.mark.parametrize("marks", [((0, "V"), (4410, "_")), ((441, "V"), (4410, "_"))])
def test_segments_are_brought_to_16_kilohertz_behind_the_silence(marks):
    result = record(_Engine(*marks), VOICE, "Uh.")

    loud = np.flatnonzero(np.abs(result.samples) > 500)
    first, vowel, last = result.segments
    assert [first.phone, vowel.phone, last.phone] == ["h#", "ah", "h#"]
    assert (first.start, last.end) == (0, len(result.samples))
    assert 0.05 * 16000 <= loud[0] <= 0.26 * 16000
    assert vowel.start == pytest.approx(loud[0] + marks[0][0] * 320 / 441, abs=16)
    assert vowel.end == pytest.approx(loud[-1], abs=16)
    assert 8000 + 2 * 800 <= len(result.samples) <= 8000 + 2 * 4000


def test_speech_to_the_end_is_followed_by_silence():
    result = record(_Engine((0, "V"), (4410, "I")), VOICE, "Uh.")

    assert [segment.phone for segment in result.segments] == ["h#", "ah", "ih", "h#"]


def test_loudness_and_noise_are_of_the_ranges():
    results = [record(_Engine((0, "V"), (4410, "_")), VOICE, f"Uh {n}.") for n in range(20)]

    peaks = [np.abs(result.samples.astype(int)).max() for result in results]
    noises = [np.std(result.samples[-1600:].astype(float)) for result in results]
    assert 2_900 < min(peaks) < max(peaks) < 9_200 and max(peaks) > 1.5 * min(peaks)
    assert 3.5 < min(noises) < max(noises) < 21 and max(noises) > 2 * min(noises)


def test_what_is_written_is_what_was_recorded(tmp_path):
    result = record(_Engine((0, "V"), (4410, "_")), VOICE, "Uh.")

    result.write(tmp_path, "SX7")

    np.testing.assert_array_equal(audio.read(str(tmp_path / "SX7.WAV")), result.samples)
    assert labels.read(tmp_path / "SX7.PHN").segments == result.segments
    text = (tmp_path / "SX7.TXT").read_text("ascii")
    assert text == f"0 {len(result.samples)} Uh.\n"


def test_equal_speech_becomes_an_equal_recording_and_another_text_another():
    one, two, other = (
        record(_Engine((0, "V"), (4410, "_")), VOICE, text) for text in ("Uh.", "Uh.", "Oh.")
    )

    np.testing.assert_array_equal(one.samples, two.samples)
    assert one.segments == two.segments != other.segments


def test_the_rates_are_in_the_ratio_of_320_to_441():
    assert (recording._UP, recording._DOWN) == (320, 441)
