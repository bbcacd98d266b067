from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from tuner.tasks.speech.synthesis import espeak
from tuner.tasks.speech.synthesis.espeak import Espeak
from tuner.tasks.speech.synthesis.mnemonics import plain
from tuner.tasks.speech.synthesis.voices import Voice

ANNA = Voice("f3", "en-us", "f", rate=160, pitch=50, pitch_range=50)
BERT = Voice("m4", "en-gb-x-rp", "m", rate=160, pitch=50, pitch_range=50)


def test_phonemes_are_marked_in_the_order_of_time_within_the_audio(engine):
    speech = engine.speak(ANNA, "She saw a shoe.")

    starts = [mark.sample for mark in speech.marks]
    assert [p for p in map(plain, (mark.mnemonic for mark in speech.marks)) if p] == [
        "S", "i:", "s", "O:", "a#", "S", "u:"
    ]  # fmt: skip
    assert starts == sorted(starts)
    assert 0 < starts[0] and starts[-1] <= len(speech.samples)
    assert speech.samples.dtype == np.int16 and np.abs(speech.samples).max() > 1000


def test_the_first_speech_of_equal_processes_is_equal(tmp_path):
    code = """
        import hashlib
        from tuner.tasks.speech.synthesis.espeak import Espeak
        from tuner.tasks.speech.synthesis.voices import Voice
        speech = Espeak().speak(Voice("f3", "en-us", "f", 160, 50, 50), "Nobody knows.")
        print(hashlib.sha256(speech.samples.tobytes()).hexdigest(), speech.marks)
    """

    def run() -> str:
        command = [sys.executable, "-c", textwrap.dedent(code)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        if "expected eSpeak NG" in done.stderr:
            pytest.skip("no eSpeak NG")
        return done.stdout

    first = run()
    # Noise that the time of day has seeded is another a second later.
    second = int(time.time())
    while int(time.time()) == second:
        time.sleep(0.05)
    assert first == run() != ""


def test_voice_accent_and_rate_are_heard(engine):
    text = "The farmer had a better car."
    anna = engine.speak(ANNA, text)
    bert = engine.speak(BERT, text)
    slow = engine.speak(Voice("f3", "en-us", "f", rate=110, pitch=50, pitch_range=50), text)

    assert "t#" in [plain(mark.mnemonic) for mark in anna.marks]
    assert "t#" not in [plain(mark.mnemonic) for mark in bert.marks]
    assert len(slow.samples) > 1.2 * len(anna.samples)


def _pitch(speech: espeak.Speech) -> float:
    """The strongest period of the loudest tenth of a second, in hertz."""
    sound = speech.samples.astype(float)
    power = np.convolve(sound**2, np.ones(2205), "valid")
    piece = sound[np.argmax(power) :][:2205]
    correlation = np.correlate(piece, piece, "full")[len(piece) - 1 :]
    shortest = 60
    return espeak.SAMPLE_RATE / (shortest + int(np.argmax(correlation[shortest:400])))


def test_pitch_is_heard(engine):
    low, high = (
        engine.speak(Voice("f3", "en-us", "f", 160, pitch, 30), "Ah, ah, ah.") for pitch in (20, 80)
    )

    assert _pitch(high) > 1.2 * _pitch(low)


@pytest.mark.parametrize(
    "voice",
    [Voice("nobody", "en-us", "f", 160, 50, 50), Voice("f3", "en-nowhere", "f", 160, 50, 50)],
)
def test_an_unknown_voice_is_refused_in_one_line(engine, voice):
    with pytest.raises(InputError, match=r"expected a voice en-.*\+.*Received: none") as caught:
        engine.speak(voice, "Hello.")

    assert "\n" not in str(caught.value)


def test_without_espeak_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(espeak, "_SYSTEM_LIBRARIES", ())

    with pytest.raises(InputError, match=r"pip install .*\[speech\]'"):
        Espeak()


def test_a_package_in_a_very_long_path_speaks(tmp_path):
    loader = pytest.importorskip("espeakng_loader")
    folder = tmp_path.joinpath(*["a folder with a long name"] * 8)
    shutil.copytree(Path(loader.__file__).parent, folder / "espeakng_loader")
    code = f"""
        import sys
        sys.path.insert(0, {str(folder)!r})
        from tuner.tasks.speech.synthesis.espeak import Espeak
        from tuner.tasks.speech.synthesis.voices import Voice
        print(len(Espeak().speak(Voice("f3", "en-029", "f", 160, 50, 50), "Hello.").samples) > 4000)
    """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )

    assert len(str(folder)) > 200
    assert done.stdout == "True\n", done.stderr


def test_a_package_without_data_is_refused(tmp_path):
    loader = pytest.importorskip("espeakng_loader")
    shutil.copytree(
        Path(loader.__file__).parent,
        tmp_path / "espeakng_loader",
        ignore=shutil.ignore_patterns("phon*", "lang", "*_dict"),
    )
    code = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from common.errors import InputError
        from tuner.tasks.speech.synthesis.espeak import Espeak
        try:
            Espeak()
        except InputError as error:
            print(error)
    """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )

    assert done.stdout.startswith("eSpeak NG: expected its data at ")
    assert done.stdout.count("\n") == 1
