from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import InputError, Unsuitable
from common.media import audio, remote_audio, sphere

SAMPLES = np.random.default_rng(0).integers(-32768, 32768, size=4321).astype(np.int16)


@pytest.fixture
def soundfile() -> Any:
    return pytest.importorskip("soundfile")


def test_reads_sphere_without_soundfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    # The name says nothing.
    sphere.write(tmp_path / "a.flac", SAMPLES)
    np.testing.assert_array_equal(audio.read(str(tmp_path / "a.flac")), SAMPLES)


def test_other_audio_without_soundfile_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    (tmp_path / "a.wav").write_bytes(b"OggS")
    with pytest.raises(InputError, match=r"run `pip install 'lstm-odyssey\[speech\]'`$"):
        audio.read(str(tmp_path / "a.wav"))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "NIST", "W64"])
def test_16_bits_come_back_exactly(tmp_path: Path, soundfile: Any, kind: str) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, SAMPLES, 16_000, format=kind, subtype="PCM_16")
    samples = audio.read(str(path))
    assert samples.dtype == np.int16
    np.testing.assert_array_equal(samples, SAMPLES)


@pytest.mark.parametrize("subtype", ["PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_other_sample_types_are_scaled(tmp_path: Path, soundfile: Any, subtype: str) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, SAMPLES / 32768, 16_000, subtype=subtype)
    np.testing.assert_array_equal(audio.read(str(path)), SAMPLES)


def test_too_loud_floats_are_clipped(tmp_path: Path, soundfile: Any) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, np.array([1.5, -1.5, 0.25]), 16_000, subtype="FLOAT")
    assert audio.read(str(path)).tolist() == [32767, -32768, 8192]


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled(tmp_path: Path, soundfile: Any, rate: int) -> None:
    path = tmp_path / "audio.wav"
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate) / 2
    soundfile.write(path, tone, rate)
    samples = audio.read(str(path))
    assert len(samples) == 16_000
    expected = 16384 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    # At the ends the filter sees the silence around the tone.
    assert np.abs(samples - expected)[500:-500].max() < 60


def test_audio_of_two_channels_is_refused(tmp_path: Path, soundfile: Any) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, np.stack([SAMPLES, SAMPLES], axis=1), 16_000)
    problem = "other audio format: expected one channel. Received: 2"
    with pytest.raises(Unsuitable, match=re.escape(problem)):
        audio.read(str(path))


@pytest.mark.parametrize("rate", [1, 3_999])
def test_absurd_rates_are_refused(tmp_path: Path, soundfile: Any, rate: int) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, SAMPLES, rate)
    with pytest.raises(Unsuitable, match=r"other audio format: expected 4 kHz to 768 kHz"):
        audio.read(str(path))


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_truncated_audio_is_refused(tmp_path: Path, soundfile: Any, kind: str) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, SAMPLES, 16_000, format=kind)
    content = path.read_bytes()
    for size in (len(content) - 2, len(content) // 2, 30):
        path.write_bytes(content[:size])
        with pytest.raises(Unsuitable, match="truncated audio|damaged audio"):
            audio.read(str(path))


def test_a_riff_file_out_of_a_pipe_is_read(tmp_path: Path, soundfile: Any) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, SAMPLES, 16_000)
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff\xff\xff\xff" + content[8:])
    np.testing.assert_array_equal(audio.read(str(path)), SAMPLES)


def test_what_soundfile_does_not_know_goes_to_tensorflow_io(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soundfile: Any
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"something else that is no audio")
    answers = {str(path): (SAMPLES, 8_000)}
    monkeypatch.setattr(remote_audio, "decode", answers.__getitem__)
    samples = audio.read(str(path))
    assert (samples.dtype, len(samples)) == (np.int16, 2 * len(SAMPLES))


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsuitable, match="unreadable file: .*absent.wav: No such file"):
        audio.read(str(tmp_path / "absent.wav"))
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(Unsuitable, match="unreadable file: .*folder.wav: Is a directory"):
        audio.read(str(tmp_path / "folder.wav"))


def test_random_changes_never_crash(tmp_path: Path, soundfile: Any, monkeypatch: Any) -> None:
    def refuse(path: str) -> tuple[np.ndarray, int]:
        raise Unsuitable("no audio", path)

    monkeypatch.setattr(remote_audio, "decode", refuse)
    generator = np.random.default_rng(0)
    original, path = tmp_path / "original.wav", tmp_path / "changed.wav"
    soundfile.write(original, SAMPLES, 16_000)
    for _ in range(200):
        shutil.copy(original, path)
        content = bytearray(path.read_bytes())
        for place in generator.integers(0, 60, size=2):
            content[place] = generator.integers(0, 256)
        path.write_bytes(bytes(content))
        try:
            assert audio.read(str(path)).dtype == np.int16
        except Unsuitable as unsuitable:
            assert "\n" not in str(unsuitable)
